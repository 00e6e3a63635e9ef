"""What is measured of a peer: its rate, its time per step, and how it grows with a conversation.

The text is written before the clock starts, every answer is compared, and every call is counted.
"""

import asyncio
import time
from dataclasses import dataclass

from bench import conversation as script
from bench.peers.peer import MODEL_CALLS, STEPS, TOOL_CALLS, Peer, Place, Talk
from bench.peers.store import stored_bytes

MILESTONES = (10, 100, 1000)
WINDOW_TURNS = 10
WARM_TURNS = 2
WARM_CONVERSATION = 1_000_000


class WrongWork(Exception):
    """A peer answered something else, called too often or too rarely, or forgot."""


@dataclass(frozen=True)
class Span:
    """From when to when, on the monotonic clock that all processes of a machine share."""

    began: float
    ended: float
    cpu_s: float


async def warm(talk: Talk, worker: int) -> None:
    """Two turns that no measurement holds: imports, pools, prepared statements."""
    for turn in range(1, WARM_TURNS + 1):
        await _turn(talk, WARM_CONVERSATION + worker, turn)


async def rate(talk: Talk, conversations: range, turns: int, at_once: int) -> Span:
    """Hold all conversations, `at_once` of them at any moment, each turn after turn."""
    before = talk.calls.model, talk.calls.tool
    todo = iter(conversations)

    async def hold() -> None:
        for conversation in todo:
            for turn in range(1, turns + 1):
                await _turn(talk, conversation, turn)

    began, cpu = time.monotonic(), time.process_time()
    async with asyncio.TaskGroup() as group:
        for _ in range(min(at_once, len(conversations))):
            group.create_task(hold())
    span = Span(began, time.monotonic(), time.process_time() - cpu)
    _count(talk, before, len(conversations) * turns)
    return span


async def steps(talk: Talk, conversations: range, turns: int) -> list[float]:
    """Seconds per step, one per turn, one conversation at a time."""
    before = talk.calls.model, talk.calls.tool
    each = [
        await _turn(talk, conversation, turn) / STEPS
        for conversation in conversations
        for turn in range(1, turns + 1)
    ]
    _count(talk, before, len(each))
    return each


async def growth(peer: Peer, place: Place, talk: Talk, cap_s: float) -> list[dict[str, object]]:
    """One conversation up to 1,000 turns, or to the first turn that ends after `cap_s`."""
    before = talk.calls.model, talk.calls.tool
    empty = stored_bytes(peer.store, place)
    recent: list[float] = []
    found: list[dict[str, object]] = []
    spent = 0.0
    for turn in range(1, MILESTONES[-1] + 1):
        recent = [*recent[1 - WINDOW_TURNS :], await _turn(talk, 0, turn)]
        spent += recent[-1]
        stopped = spent > cap_s and turn < MILESTONES[-1]
        if turn in MILESTONES or stopped:
            stored = stored_bytes(peer.store, place)
            found.append(
                {
                    "turn": turn,
                    "ms_per_turn": round(1000 * sum(recent) / len(recent), 3),
                    "elapsed_s": round(spent, 2),
                    "stored_bytes": None if stored is None or empty is None else stored - empty,
                    "json_bytes": len(script.chat_json(0, turn).encode()),
                    "stopped": stopped,
                }
            )
        if stopped:
            break
    _count(talk, before, turn)
    return found


async def remembered(talk: Talk, conversations: list[int], turns: int) -> None:
    """Every text of the conversations stands in the store, which somebody else wrote."""
    for conversation in conversations:
        read = await talk.texts(conversation, turns)
        if read != script.texts(conversation, turns):
            raise WrongWork(f"conversation {conversation} read back differs: {str(read)[:300]}")


async def _turn(talk: Talk, conversation: int, turn: int) -> float:
    script.question(conversation, turn)
    script.query(conversation, turn)
    expected = script.answer(conversation, turn)
    began = time.perf_counter()
    answer = await talk.turn(conversation, turn)
    took = time.perf_counter() - began
    if answer != expected:
        raise WrongWork(f"turn {conversation}/{turn}: answered {answer[:200]!r}")
    return took


def _count(talk: Talk, before: tuple[int, int], turns: int) -> None:
    ran = talk.calls.model - before[0], talk.calls.tool - before[1]
    due = turns * MODEL_CALLS, turns * TOOL_CALLS
    if ran != due:
        raise WrongWork(f"{turns} turns: (model, tool) calls {ran}, expected {due}")

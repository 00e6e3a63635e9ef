"""kill -9 of nats-server under load, and a server that is gone for a while.

STEPFOLD_SLOW=1 makes "a while" a real minute.
"""

from __future__ import annotations

import asyncio
import os
import time
from functools import partial

import pytest

from tests.crash.stage import Stage
from tests.waiting import eventually

SLOW = bool(os.environ.get("STEPFOLD_SLOW"))
GONE_S = 60.0 if SLOW else 2.0
WAIT_S = 1.0
FLUSH_S = 0.5
"""A killed server forgets to whom it handed out what in its last moments."""
CONVERSATIONS = tuple(f"c{number}" for number in range(12))


async def test_a_server_that_is_killed_under_load_loses_nothing_and_doubles_nothing(
    stage: Stage,
) -> None:
    """Three kills, while contacts write and two workers work; acknowledged is answered."""
    workers = [stage.worker(model_s=0.05, tool_s=0.02, ack_wait_s=5) for _ in range(2)]
    await stage.ready(*workers)
    writing = asyncio.create_task(_write(stage, turns=4))
    for kills in range(1, 4):
        await eventually(partial(_have_run, stage, 8 * kills))
        stage.server.kill()
        stage.server.start()
    acknowledged = await writing

    await stage.rest(CONVERSATIONS, 60)

    for conversation in CONVERSATIONS:
        entries = await stage.entries(conversation)
        assert set(acknowledged[conversation]) <= {entry.id for entry in entries}
        await stage.each_step_once(conversation)
        await stage.every_message_is_answered(conversation)
    assert set(stage.ran.values()) == {1}
    assert await stage.asked_although_recorded() == set()


def _have_run(stage: Stage, calls: int) -> bool:
    return len(stage.ran) >= calls


async def _passes(seconds: float) -> None:
    end = time.monotonic() + seconds
    await eventually(lambda: time.monotonic() > end, seconds + 5)


async def _write(stage: Stage, *, turns: int) -> dict[str, list[str]]:
    """The ids of the messages whose receipt was acknowledged."""

    async def one(conversation: str) -> list[str]:
        ids: list[str] = []
        for turn in range(1, turns + 1):
            entry = await stage.say_until_acknowledged(conversation, turn)
            ids.append(entry.id)
            await stage.rest([conversation], 60)
        return ids

    ids = await asyncio.gather(*map(one, CONVERSATIONS))
    return dict(zip(CONVERSATIONS, ids, strict=True))


@pytest.mark.timeout(240)
async def test_while_the_server_is_gone_workers_keep_what_they_paid_for(stage: Stage) -> None:
    """It is gone for longer than `ack_wait`; some calls end meanwhile, some after it is back."""
    paces = [{"model_s": GONE_S / 2, "tool_s": 0.1}, {"model_s": GONE_S + 2, "tool_s": 0.1}]
    workers = [stage.worker(ack_wait_s=WAIT_S, **pace) for pace in paces]
    await stage.ready(*workers)
    for conversation in CONVERSATIONS:
        await stage.say(conversation)
    await eventually(lambda: len(stage.asked) == len(CONVERSATIONS))
    await _passes(FLUSH_S)

    stage.server.kill()
    await _passes(GONE_S)
    stage.server.start()
    await stage.rest(CONVERSATIONS, GONE_S * 2 + 60)

    for conversation in CONVERSATIONS:
        await stage.each_step_once(conversation)
        await stage.every_message_is_answered(conversation)
    assert set(stage.asked.values()) == {1}, stage.asked
    assert set(stage.ran.values()) == {1}
    assert await stage.unknown(CONVERSATIONS) == set()


async def test_tools_that_end_while_the_server_is_gone_are_not_lost(stage: Stage) -> None:
    workers = [stage.worker(ack_wait_s=WAIT_S, tool_s=GONE_S / 2) for _ in range(2)]
    await stage.ready(*workers)
    for conversation in CONVERSATIONS:
        await stage.say(conversation)
    await eventually(lambda: len(stage.ran) == len(CONVERSATIONS))
    await _passes(FLUSH_S)

    stage.server.kill()
    await _passes(GONE_S)
    stage.server.start()
    await stage.rest(CONVERSATIONS, GONE_S * 2 + 60)

    for conversation in CONVERSATIONS:
        await stage.every_message_is_answered(conversation)
    assert set(stage.ran.values()) == {1}
    assert await stage.unknown(CONVERSATIONS) == set()

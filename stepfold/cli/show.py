"""`stepfold show`: one conversation, turn by turn: who did what, how long it took, what it cost."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime

from stepfold.app import opened
from stepfold.cli import find
from stepfold.cli.lines import say_step
from stepfold.cli.options import ConversationName, Data, Json
from stepfold.cli.screen import count, lapse, paragraph, price, say, say_json
from stepfold.cli.turn import answer_of, at_rest, say_answer
from stepfold.cli.where import existing
from stepfold.events.envelope import Entry
from stepfold.events.event import MessageReceived
from stepfold.projections.conversation import evolve, replay
from stepfold.projections.state import EMPTY, Conversation
from stepfold.settings import Settings


def show(conversation: ConversationName, data: Data = None, json: Json = False) -> None:
    """Show a conversation with all its steps."""
    entries = asyncio.run(_read(existing(data), conversation))
    state = replay(entry.event for entry in entries)
    if json:
        _say_json(entries, state)
    else:
        _say(entries, state)


async def _read(here: Settings, name: str) -> list[Entry]:
    async with opened(here) as found:
        return await find.read(found, name)


def _say_json(entries: Sequence[Entry], state: Conversation) -> None:
    say_json(
        {
            "conversation": "/".join(entries[0].key),
            "agent": state.agent,
            "state": _told(state),
            "cost_usd": state.spent_usd,
            "turns": [answer_of(turn) for turn in _turns(entries)],
            "entries": entries,
        }
    )


def _say(entries: Sequence[Entry], state: Conversation) -> None:
    say("/".join(entries[0].key), bold=True)
    say(paragraph(f"agent {state.agent or 'none'}, {_told(state)}"))
    for turn in _turns(entries):
        say()
        say(f"{turn[0].at.astimezone():%Y-%m-%d %H:%M:%S}", dim=True)
        for entry in turn:
            _say_entry(entry, since=turn[0].at)
        _say_sum(turn)


def _say_entry(entry: Entry, *, since: datetime) -> None:
    """What was said to each other stands below its line, in full."""
    if isinstance(entry.event, MessageReceived):
        say_step(entry, since=since, told=entry.event.contact or "contact")
        say(paragraph(entry.event.text, first="  > ", rest="    "), bold=True)
    else:
        say_step(entry, since=since)
        say_answer([entry])


def _say_sum(turn: Sequence[Entry]) -> None:
    sums = answer_of(turn)
    calls = count(sums.model_calls, "model call")
    say(f"  {lapse(sums.elapsed_ms)}, {calls}, {price(sums.cost_usd)}", dim=True)


def _turns(entries: Sequence[Entry]) -> list[list[Entry]]:
    """The steps, cut where a message comes to a conversation at rest."""
    turns: list[list[Entry]] = []
    state = EMPTY
    for entry in entries:
        opens = isinstance(entry.event, MessageReceived) and at_rest(state) and state.turns
        if opens or not turns:
            turns.append([])
        turns[-1].append(entry)
        state = evolve(state, entry.event)
    return turns


def _told(state: Conversation) -> str:
    if state.stopped:
        return f"stopped: {state.stopped}"
    if state.unreadable:
        return f"unreadable: {state.unreadable.reason}"
    if state.origin:
        return f"imported from {state.origin}"
    if state.turn is not None:
        return f"turn {state.turn.number} is running"
    return "waiting to be heard" if state.unheard else "at rest"

"""Streams that somebody comes back to in a silence, and streams that end whatever they wait for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress

import httpx2

from stepfold.events.envelope import Entry, first
from stepfold.events.event import ConversationStarted, MessageReceived, ReasonRequested
from stepfold.events.event import Event as LogEvent
from stepfold.gateway.streaming import pulsed
from stepfold.streams.tokens import Tokens
from tests.gateway.house import LIMIT_S, Event, House, events

PATH = "/v1/conversations/c1/events"
OPENS: tuple[LogEvent, ...] = (ConversationStarted("a", "d"), MessageReceived("When?"))


async def asked(home: House) -> Entry:
    """A call that is open."""
    drafts = [
        first("acme", "c1", event, by="test", key=f"{number}")
        for number, event in enumerate((*OPENS, ReasonRequested("r1", 2, "m", attempt=3)))
    ]
    return (await home.found.log.append(drafts, after=0))[-1]


async def next_of(client: httpx2.AsyncClient, last: str) -> Event:
    """What somebody who comes back is told first."""
    headers = {"Last-Event-ID": last}
    async with asyncio.timeout(LIMIT_S), client.stream("GET", PATH, headers=headers) as response:
        return await anext(events(response))


async def test_who_comes_back_while_nothing_is_said_is_told_what_was_said_meanwhile(
    home: House,
) -> None:
    client, entry, tokens = await home.client(), await asked(home), Tokens(home.found.client)
    tokens.speak(entry, "r1", 3).texts["text"] = "At nine."  # and no part of it comes

    async with tokens.serving():
        told = await next_of(client, str(entry.position))

    assert (told.event, told.data["text"], told.data["offset"]) == ("words", "At nine.", 0)


async def test_words_that_nobody_can_vouch_for_are_taken_back_by_their_turn(home: House) -> None:
    client, entry = await home.client(), await asked(home)

    told = await next_of(client, f"{entry.position}.r1.5.0123456789ab")

    assert told.event == "taken_back"
    assert told.data == {"call": "r1", "turn": 2, "attempt": 3}


async def test_a_stream_ends_whose_source_swallows_a_cancellation() -> None:
    async def deaf() -> AsyncGenerator[str, None]:
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await asyncio.Event().wait()
        yield ""

    closing = asyncio.Event()
    told = pulsed(deaf(), closing, pulse_s=0.01)
    pulse = await anext(told)
    closing.set()

    async with asyncio.timeout(LIMIT_S):
        rest = [each async for each in told]

    assert pulse is None
    assert set(rest) <= {None}

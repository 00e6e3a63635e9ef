"""What has changed, told to pages that are open: they ask again for the part that shows it."""

from __future__ import annotations

import asyncio
import html
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress

from starlette.responses import Response, StreamingResponse

from stepfold.events.envelope import Entry
from stepfold.events.event import Reasoned, ReasonFailed
from stepfold.gateway.dashboard.page import HEADERS, Visit
from stepfold.gateway.front import FrontRefused
from stepfold.gateway.streaming import GOODBYE, HELLO, MEDIA, PULSE, PULSE_S, pulsed
from stepfold.streams.listening import TakenBack, Words

LOOK_S = 1.0
"""How often a page is told at most that there is something new."""
WORDS_S = 0.15
"""How often words that are being said are shown."""
POSITION_DIGITS = 19
SAID_CHARS = 4_000
"""The last words that are shown while they are said."""


async def changes(visit: Visit) -> Response:
    """`changed`, whenever the views have read more of the log than the page has `seen`."""
    seen = visit.request.headers.get("last-event-id", "") or visit.asked("seen")
    body = _frames(visit, _changes(visit, _position(seen)), LOOK_S)
    return _stream(body)


async def _changes(visit: Visit, seen: int) -> AsyncGenerator[str, None]:
    while True:
        with suppress(FrontRefused):  # the views are away; the page says so when it asks them
            if (now := await visit.seen()) != seen:
                seen = now
                yield f"id: {now}\nevent: changed\ndata: {now}\n\n"
        await asyncio.sleep(LOOK_S)


def _position(text: str) -> int:
    """0, the beginning, for what is none."""
    return int(text) if text.isdecimal() and len(text) < POSITION_DIGITS else 0


async def conversation(visit: Visit) -> Response:
    """`step` for each one that is new, and in between what the model is saying."""
    who, name = visit.acting(visit.named("customer")), visit.named("conversation")
    seen = visit.request.headers.get("last-event-id", "") or visit.asked("after")
    await visit.front.check(who, name)
    happenings = visit.front.happenings(who, name, after=_position(seen))
    return _stream(_told(visit, _heard(happenings)))


async def _heard(happenings: AsyncGenerator[object, None]) -> AsyncGenerator[str | Words, None]:
    async with aclosing(happenings) as told:
        async for each in told:
            match each:
                case Entry(position=position, event=event):
                    if isinstance(event, Reasoned | ReasonFailed):
                        yield said("")
                    yield f"id: {position}\nevent: step\ndata: {position}\n\n"
                case TakenBack():
                    yield said("")
                case Words(kind="text"):
                    yield each
                case _:
                    continue


async def _told(visit: Visit, heard: AsyncGenerator[str | Words, None]) -> AsyncIterator[str]:
    """Words of one call are shown together, a few times a second."""
    call, words, shown = "", "", ""
    spoke = time.monotonic()
    yield HELLO
    async with aclosing(pulsed(heard, closing(visit), pulse_s=WORDS_S)) as items:
        async for each in items:
            if isinstance(each, Words):
                words = (words if each.call == call else "") + each.text
                call = each.call
            elif each is not None:
                call, words, shown = "", "", ""
                spoke = time.monotonic()
                yield each
            now = time.monotonic()
            if words != shown and now - spoke >= WORDS_S:
                shown, spoke = words, now
                yield said(words)
            elif now - spoke >= PULSE_S:
                spoke = now
                yield PULSE
    yield GOODBYE


def said(words: str) -> str:
    """Put in the place where words appear while they are said."""
    text = html.escape(words[-SAID_CHARS:])
    partial = f'<hx-partial hx-target="#said" hx-swap="innerHTML">{text}</hx-partial>'
    return "".join(f"data: {line}\n" for line in partial.split("\n")) + "\n"


async def _frames(
    visit: Visit, items: AsyncGenerator[str, None], pulse_s: float
) -> AsyncIterator[str]:
    yield HELLO
    spoke = time.monotonic()
    async with aclosing(pulsed(items, closing(visit), pulse_s=pulse_s)) as told:
        async for each in told:
            if each is not None or time.monotonic() - spoke >= PULSE_S:
                spoke = time.monotonic()
                yield PULSE if each is None else each
    yield GOODBYE


def closing(visit: Visit) -> asyncio.Event:
    """Set when this process is about to end; an app without it just ends."""
    found = getattr(visit.request.app, "closing", None)
    return found if isinstance(found, asyncio.Event) else asyncio.Event()


def _stream(body: AsyncIterator[str]) -> Response:
    headers = {**HEADERS, "X-Accel-Buffering": "no"}  # nginx would keep the words back
    return StreamingResponse(body, headers=headers, media_type=MEDIA)

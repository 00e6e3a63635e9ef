"""What has changed, told to pages that are open: they ask again for the part that shows it."""

from __future__ import annotations

import asyncio
import html
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

from msgspec import Struct
from starlette.responses import Response

from stepfold.events.envelope import Entry
from stepfold.events.event import Reasoned, ReasonFailed
from stepfold.gateway.dashboard.page import HEADERS, Visit
from stepfold.gateway.refusals import FrontRefused
from stepfold.gateway.streaming import GOODBYE, HELLO, PULSE, PULSE_S, Stream, pulsed
from stepfold.streams.listening import Happening, TakenBack, Words

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
    return _stream(visit, _frames(visit, _changes(visit, _position(seen)), LOOK_S))


async def _changes(visit: Visit, seen: int) -> AsyncGenerator[Heard, None]:
    """`away` when nobody keeps the views any more, `back` when somebody does again."""
    away = False
    while True:
        try:
            now = await visit.seen()
        except FrontRefused:
            if not away:
                yield Grown("away", seen)
            away = True
        else:
            if away:
                yield Grown("back", now)
            if now != seen:
                yield Grown("changed", now)
            seen, away = now, False
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
    return _stream(visit, _frames(visit, _heard(happenings), WORDS_S))


class Grown(Struct, frozen=True):
    """There is something new; `event` is what the page listens to."""

    event: str
    position: int


class Silence(Struct, frozen=True):
    """What was being said is said, or was taken back."""


async def _heard(happenings: AsyncGenerator[Happening, None]) -> AsyncGenerator[Heard, None]:
    async with aclosing(happenings) as told:
        async for each in told:
            match each:
                case Entry(position=position, event=event):
                    if isinstance(event, Reasoned | ReasonFailed):
                        yield Silence()
                    yield Grown("step", position)
                case TakenBack():
                    yield Silence()
                case Words(kind="text"):
                    yield each
                case _:
                    continue


Heard = Grown | Silence | Words


async def _frames(
    visit: Visit, items: AsyncGenerator[Heard, None], pulse_s: float
) -> AsyncGenerator[str, None]:
    """What goes over the wire. What is being said is shown a few times a second, all of it."""
    yield HELLO
    saying, spoke = _Saying(), time.monotonic()
    async with aclosing(pulsed(items, _closing(visit), pulse_s=pulse_s)) as told:
        async for each in told:
            frame = saying.take(each)
            now = time.monotonic()
            if not frame and now - spoke >= PULSE_S:
                frame = PULSE
            if frame:
                spoke = now
                yield frame
    yield GOODBYE


class _Saying:
    """The words of the call that speaks, and how much of them is shown."""

    def __init__(self) -> None:
        self._call, self._words, self._shown = "", "", ""
        self._at = 0.0

    def take(self, heard: Heard | None) -> str:
        """What to tell now; empty where there is nothing, or not yet."""
        match heard:
            case Grown(event=event, position=position):
                return f"id: {position}\nevent: {event}\ndata: {position}\n\n"
            case Silence():
                self._call, self._words, self._shown = "", "", ""
                return said("")
            case Words():
                begun = self._words if heard.call == self._call else ""
                self._call, self._words = heard.call, begun + heard.text
            case None:
                pass
        now = time.monotonic()
        if self._words == self._shown or now - self._at < WORDS_S:
            return ""
        self._shown, self._at = self._words, now
        return said(self._words)


def said(words: str) -> str:
    """Put in the place where words appear while they are said."""
    text = html.escape(words[-SAID_CHARS:])
    partial = f'<hx-partial hx-target="#said" hx-swap="innerHTML">{text}</hx-partial>'
    return "".join(f"data: {line}\n" for line in partial.splitlines()) + "\n"


def _closing(visit: Visit) -> asyncio.Event:
    """Set when this process is about to end; an app without it just ends."""
    found = getattr(visit.request.app, "closing", None)
    return found if isinstance(found, asyncio.Event) else asyncio.Event()


def _stream(visit: Visit, body: AsyncGenerator[str, None]) -> Response:
    """It ends with the session. TooMany when this key has too many open."""
    response = Stream(body, visit.limits.open(visit.session.who))
    response.headers.update(HEADERS)
    return response

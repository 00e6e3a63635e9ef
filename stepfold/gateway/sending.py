"""How an answer goes out, whatever the protocol: in pieces while it is made, or as a whole."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing

import msgspec
from msgspec import Struct
from starlette.responses import Response

from stepfold.events.envelope import Entry
from stepfold.gateway.answers import Ended, Given, Item, answered
from stepfold.gateway.doors import Asked, Json
from stepfold.gateway.front import FrontRefused
from stepfold.gateway.streaming import (
    MEDIA,
    PULSE,
    PULSE_S,
    STILL,
    STILL_S,
    Still,
    Stream,
    pulsed,
)
from stepfold.gateway.web import gateway_of

WAIT_S = 600.0
"""So long an answer is waited for that is wanted as a whole."""
BODY_BYTES_MAX = 4_000_000
"""A client that sends the whole history sends much."""
DONE = "data: [DONE]\n\n"
NO_RETRY = {"X-Should-Retry": "false"}
"""The openai clients ask again by themselves where this does not stand."""
log = logging.getLogger("stepfold.gateway")


class StreamEvent(Struct, frozen=True, omit_defaults=True):
    """A server-sent event; `data` is JSON as the protocol has it, or `[DONE]`."""

    data: str
    event: str = "message"


Body = Callable[[Entry], AsyncGenerator[str, None]]
Failed = Callable[[FrontRefused], str]


def data(event: Json, name: str = "") -> str:
    """One server-sent event."""
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {msgspec.json.encode(event).decode()}\n\n"


class NoAnswer(FrontRefused):
    """The turn ended without one: to ask again is to ask anew."""


def no_answer(ended: Ended, conversation: str) -> NoAnswer:
    """FrontRefused in the words of why there is none."""
    statuses = {"budget": 429, "cost": 429, "channel": 403, "time": 504}
    status = 409 if ended.kind in ("cancelled", "stopped") else statuses.get(ended.reason, 502)
    return NoAnswer(status, "No answer", f"no answer: {ended.why}; conversation {conversation!r}")


async def streamed(
    asked: Asked,
    say: Callable[[], Awaitable[Entry]],
    body: Body,
    failed: Failed,
    *,
    headers: Mapping[str, str] = {},
) -> Response:
    """Say it, and answer with what `body` makes of it. FrontRefused before the first byte; what
    goes wrong later is told as `failed` has it.
    """
    gateway = gateway_of(asked.request)
    closed = gateway.guard.limits.open(asked.who)
    try:
        entry = await say()
    except BaseException:
        closed()
        raise
    response = Stream(_frames(asked, body(entry), failed), closed, media=MEDIA)
    response.headers.update({"X-Conversation": entry.conversation, **headers})
    return response


async def _frames(
    asked: Asked, body: AsyncGenerator[str, None], failed: Failed, *, pulse_s: float = PULSE_S
) -> AsyncGenerator[str, None]:
    closing, over = gateway_of(asked.request).closing, False

    async def ending() -> AsyncGenerator[str, None]:
        nonlocal over
        async for each in body:
            yield each
        over = True

    try:
        async with aclosing(pulsed(ending(), closing, pulse_s=pulse_s)) as told:
            async for each in told:
                yield PULSE if each is None else each
        if not over:
            yield failed(_ends())
    except FrontRefused as error:
        yield failed(error)
    except Exception:
        log.exception("%s %s failed", asked.request.method, asked.request.url.path)
        yield failed(FrontRefused(500, "Gateway failed", "the log of the gateway says how"))
    finally:
        await body.aclose()


def _ends() -> FrontRefused:
    return FrontRefused(503, "Gateway ends", "this gateway ends: ask again, another one answers")


async def whole(
    asked: Asked, say: Callable[[], Awaitable[Entry]], *, wait_s: float = WAIT_S
) -> tuple[Entry, list[Item]]:
    """Say it, and wait for all items of the answer; the last is its end. FrontRefused (504, 503)
    where none comes.
    """
    closed = gateway_of(asked.request).guard.limits.open(asked.who)
    try:
        entry = await say()
        return entry, await _whole(asked, entry, wait_s)
    finally:
        closed()


async def _whole(asked: Asked, entry: Entry, wait_s: float) -> list[Item]:
    closing = gateway_of(asked.request).closing
    still: Still | None = asked.request.scope.get(STILL)
    until, found = time.monotonic() + wait_s, list[Item]()
    items = answered(asked.front, asked.who, entry, live=False)
    async with aclosing(pulsed(items, closing, pulse_s=min(wait_s, STILL_S))) as told:
        async for each in told:
            if each is not None:
                found.append(each)
            elif time.monotonic() > until:
                why = f"it is still worked on after {wait_s:g} s; see {entry.conversation!r}"
                raise FrontRefused(504, "No answer yet", why)
            elif still is not None and not await still():
                raise FrontRefused(401, "Not signed in", "the key is not good any more")
    if not found or not isinstance(found[-1], Given | Ended):
        raise _ends()
    return found

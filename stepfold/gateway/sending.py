"""How an answer goes out, whatever the protocol: in pieces while it is made, or as a whole."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from http import HTTPStatus

import msgspec
from msgspec import Struct
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from stepfold.events.envelope import Entry
from stepfold.gateway.answers import answered
from stepfold.gateway.doors import Asked, Json
from stepfold.gateway.items import Ended, Given, Item
from stepfold.gateway.refusals import FrontRefused
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
from stepfold.streams.ending import end

WAIT_S = 600.0
"""So long an answer is waited for that is wanted as a whole."""
BODY_BYTES_MAX = 4_000_000
"""A client that sends the whole history sends much."""
DONE = "data: [DONE]\n\n"
NO_RETRY = {"X-Should-Retry": "false"}
"""The openai clients ask again by themselves where this does not stand."""
LATER = {
    "Gateway ends": "this gateway ends, another one answers",
    "Log unavailable": "the log is away",
    "No answer yet": "it is still worked on",
}
"""By titles of problems: what to say once a question is recorded."""
PASSES = (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT)
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
    """The question is recorded, and there is none: to ask again is to ask anew."""


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
    once: bool = False,
) -> Response:
    """Say it, and answer with what `body` makes of it. FrontRefused before the first byte; what
    goes wrong later is told as `failed` has it. `once`: without an Idempotency-Key whoever asks
    again asks anew.
    """
    gateway = gateway_of(asked.request)
    closed = gateway.guard.limits.open(asked.who)
    try:
        entry = await say()
    except BaseException:
        closed()
        raise

    def told(error: FrontRefused) -> str:
        return failed(_once(asked, entry, error) if once else error)

    response = Stream(_frames(asked, body(entry), told), closed, media=MEDIA)
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
        log.exception("%s %r failed", asked.request.method, asked.request.url.path)
        yield failed(FrontRefused(500, "Gateway failed", "the log of the gateway says how"))
    finally:
        await body.aclose()


def _ends() -> FrontRefused:
    return FrontRefused(503, "Gateway ends", "this gateway ends: ask again, another one answers")


def _once(asked: Asked, entry: Entry, error: FrontRefused) -> FrontRefused:
    """What went wrong after the question was recorded. Whoever asks again without an id of its own
    would ask anew, and pay twice; the answer comes all the same.
    """
    if error.status not in PASSES or "idempotency-key" in asked.request.headers:
        return error
    why = (
        f"{LATER.get(error.title, error.detail)}; the question is recorded, and the answer will be"
    )
    return NoAnswer(504, "No answer yet", f"{why} in conversation {entry.conversation!r}")


async def whole(
    asked: Asked, say: Callable[[], Awaitable[Entry]], *, wait_s: float = WAIT_S
) -> tuple[Entry, list[Item]]:
    """Say it, and wait for all items of the answer; the last is its end. FrontRefused (504, 503)
    where none comes. ClientDisconnect when nobody waits any more.
    """
    closed = gateway_of(asked.request).guard.limits.open(asked.who)
    try:
        entry = await say()
        try:
            return entry, await _unless_gone(asked.request, _whole(asked, entry, wait_s))
        except FrontRefused as error:
            raise _once(asked, entry, error) from error
    finally:
        closed()


async def _unless_gone(request: Request, items: Awaitable[list[Item]]) -> list[Item]:
    """The items, while the client is there."""
    coming, gone = asyncio.ensure_future(items), asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait((coming, gone), return_when=asyncio.FIRST_COMPLETED)
        if not coming.done():
            raise ClientDisconnect
        return coming.result()
    finally:
        await end(coming, gone)


async def _gone(request: Request) -> None:
    """Returns when the client has hung up. The body was read before."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


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

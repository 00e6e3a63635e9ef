"""Server-sent events that outlive a quiet hour, a client that leaves, and a gateway that ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import TypeVar

import msgspec
from msgspec import Struct
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from stepfold.gateway.refusals import FrontRefused
from stepfold.streams.ending import end

PULSE_S = 15.0
"""Proxies close what is silent for longer, most of them after 30 or 60 s."""
AGAIN_MS = 1_000
"""How long a client waits before it comes back."""
HELLO = f"retry: {AGAIN_MS}\n\n"
PULSE = ": still here\n\n"
GOODBYE = ": this gateway ends; come back with Last-Event-ID\n\n"
MEDIA = "text/event-stream"

Item = TypeVar("Item")


class Sent(Struct, frozen=True):
    """One event; `id` is where to go on from."""

    event: str
    data: Struct
    id: str = ""

    def encode(self) -> str:
        head = f"id: {self.id}\n" if self.id else ""
        return f"{head}event: {self.event}\ndata: {msgspec.json.encode(self.data).decode()}\n\n"


async def pulsed(
    items: AsyncGenerator[Item, None], closing: asyncio.Event, *, pulse_s: float = PULSE_S
) -> AsyncGenerator[Item | None, None]:
    """The items; None after each `pulse_s` without one. `closing` ends them."""
    ending = asyncio.ensure_future(closing.wait())
    coming = asyncio.ensure_future(anext(items, None))
    try:
        while True:
            done, _ = await asyncio.wait(
                (coming, ending), timeout=pulse_s, return_when=asyncio.FIRST_COMPLETED
            )
            if coming in done:
                item = coming.result()
                if item is None:
                    return
                yield item
                coming = asyncio.ensure_future(anext(items, None))
            elif ending in done:
                return
            else:
                yield None
    finally:
        await end(ending, coming)
        await items.aclose()


async def frames(
    items: AsyncGenerator[Sent, None], closing: asyncio.Event, *, pulse_s: float = PULSE_S
) -> AsyncGenerator[str, None]:
    """What goes over the wire."""
    yield HELLO
    try:
        async with aclosing(pulsed(items, closing, pulse_s=pulse_s)) as told:
            async for each in told:
                yield PULSE if each is None else each.encode()
    except FrontRefused as error:
        yield f": {error.title.lower()}; come back with Last-Event-ID\n\n"
    if closing.is_set():
        yield GOODBYE


STILL = "stepfold.still"
"""A scope's way to ask whether whoever was let in may still be here."""
Still = Callable[[], Awaitable[bool]]
STILL_S = 1.0
"""How often an open stream asks."""


class Stream(StreamingResponse):
    """A body that comes in pieces; `closed` is called once, however it ends. It is cut off when the
    key or token that opened it is not good any more.
    """

    def __init__(
        self, body: AsyncGenerator[str, None], closed: Callable[[], None], *, media: str = MEDIA
    ) -> None:
        headers = {"X-Accel-Buffering": "no"}  # nginx would keep the words back
        super().__init__(body, media_type=media, headers=headers)
        self._body = body
        self._closed = closed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        telling = asyncio.ensure_future(super().__call__(scope, receive, send))
        watching = asyncio.ensure_future(_until_not(scope.get(STILL)))
        try:
            await asyncio.wait((telling, watching), return_when=asyncio.FIRST_COMPLETED)
            if telling.done():
                telling.result()
        finally:
            await end(telling, watching)
            self._closed()
            await self._body.aclose()


async def _until_not(still: Still | None) -> None:
    """Returns when they may not be here any more."""
    while still is None or await still():
        await asyncio.sleep(STILL_S)

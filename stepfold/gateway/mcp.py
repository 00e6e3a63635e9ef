"""POST /mcp: our agents for clients of the Model Context Protocol, each key for its own customer.

No session is kept: each request has all that it needs, so any gateway answers it. The library `mcp`
is an extra, and imported when somebody comes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import anyio
import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from stepfold.gateway.doors import BODY_BYTES_MAX, Asked, Door
from stepfold.gateway.principal import CHAT, READ
from stepfold.gateway.problems import problem, read_body
from stepfold.gateway.refusals import FrontRefused, refusing
from stepfold.gateway.streaming import STILL, STILL_S, Still
from stepfold.gateway.web import gateway_of

if TYPE_CHECKING:
    from mcp.server import Server

WAIT_S = 300.0
"""So long an answer is waited for."""
EXTRA = "the package `mcp` is not installed where this gateway runs: pip install 'stepfold[mcp]'"
CUT = -32_000
"""JSON-RPC leaves this code to servers."""
_OURS = ("access-control-", "cross-origin-", "vary")


async def speak(asked: Asked) -> Response:
    """One request, whatever it asks for. FrontRefused (501) where the extra is not installed."""
    try:
        from stepfold.gateway.mcp_desk import Desk  # noqa: PLC0415  (an extra)
        from stepfold.gateway.mcp_server import mcp_server  # noqa: PLC0415
    except ImportError as error:
        raise FrontRefused(501, "Not installed", EXTRA) from error
    front, who = asked.front, asked.who
    with refusing():
        agent = await front.found.appointed()
        inbox = await front.found.inbox(agent)
    desk = Desk(
        front.found,
        inbox,
        front.knowledge,
        agent,
        customer=who.customer,
        wait_s=WAIT_S,
        writes=True,
        reads=who.may(READ),
    )
    body = await read_body(asked.request)
    gateway = gateway_of(asked.request)
    closed = gateway.guard.limits.open(who)
    return Spoken(mcp_server(desk, expected), body, closed, gateway.closing)


def expected(error: Exception) -> str | None:
    """What the floors below refuse, in their own words."""
    try:
        with refusing():
            raise error
    except FrontRefused as refused:
        return refused.detail
    except Exception:  # noqa: BLE001  (nobody expected it)
        return None


class Spoken(Response):
    """What the library answers to a request with this `body`; `closed` is called at its end. It is
    cut off when the gateway is `closing`.
    """

    def __init__(
        self,
        server: Server[Any],
        body: bytes,
        closed: Callable[[], None],
        closing: asyncio.Event,
    ) -> None:
        super().__init__()
        self._server = server
        self._asked = body
        self._closed = closed
        self._closing = closing
        self._begun = self._over = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        from mcp.server.streamable_http_manager import (  # noqa: PLC0415
            StreamableHTTPSessionManager,
        )

        manager = StreamableHTTPSessionManager(
            self._server, stateless=True, max_request_body_size=BODY_BYTES_MAX
        )
        try:
            async with manager.run(), anyio.create_task_group() as tasks:
                tasks.start_soon(_watch, scope.get(STILL), self._closing, tasks.cancel_scope)
                await manager.handle_request(scope, self._read(receive), self._sent(send))
                tasks.cancel_scope.cancel()
            if not self._over:
                await self._cut(scope, receive, send)
        finally:
            self._closed()

    def _read(self, receive: Receive) -> Receive:
        """The body was read already; what comes after it is still to come."""
        left: list[Message] = [{"type": "http.request", "body": self._asked, "more_body": False}]

        async def read() -> Message:
            return left.pop() if left else await receive()

        return read

    def _sent(self, send: Send) -> Send:
        """With what lets a page of another site read it."""
        own = [each for each in self.raw_headers if each[0].decode().startswith(_OURS)]

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._begun = True
                message = {**message, "headers": [*message.get("headers", ()), *own]}
            elif message["type"] == "http.response.body":
                self._over = not message.get("more_body", False)
            await send(message)

        return sent

    async def _cut(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A stream that has begun is ended as the protocol has it; it is one of events always."""
        error = _ends() if self._closing.is_set() else _shut()
        if not self._begun:
            await problem(error, Request(scope))(scope, receive, send)
            return
        told = {"code": CUT, "message": f"{error.title}: {error.detail}"}
        failed = {"jsonrpc": "2.0", "id": _id_of(self._asked), "error": told}
        body = f"event: message\ndata: {msgspec.json.encode(failed).decode()}\n\n".encode()
        await send({"type": "http.response.body", "body": body})


async def _watch(still: Still | None, closing: asyncio.Event, scope: anyio.CancelScope) -> None:
    """Cut it off when the key is not good any more, or the gateway ends."""
    while not closing.is_set() and (still is None or await still()):
        with anyio.move_on_after(STILL_S):
            await closing.wait()
    scope.cancel()


def _id_of(body: bytes) -> str | int | None:
    """Of the request, as JSON-RPC has it."""
    try:
        return msgspec.json.decode(body, type=_Identified).id
    except msgspec.DecodeError:
        return None


class _Identified(msgspec.Struct):
    id: str | int | None = None


def _ends() -> FrontRefused:
    why = "this gateway ends; what was asked is recorded: ask another one for the conversation"
    return FrontRefused(503, "Gateway ends", why)


def _shut() -> FrontRefused:
    why = "this key or token is not good any more: ask for another"
    return FrontRefused(401, "Not signed in", why)


DOORS = (Door("POST", "/mcp", speak, scopes=(CHAT,)),)

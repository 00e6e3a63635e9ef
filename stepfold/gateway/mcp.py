"""POST /mcp: our agents for clients of the Model Context Protocol, each key for its own customer.

No session is kept: each request has all that it needs, so any gateway answers it. The library `mcp`
is an extra, and imported when somebody comes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import anyio
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from stepfold.gateway.doors import BODY_BYTES_MAX, Asked, Door
from stepfold.gateway.front import CHAT, READ, FrontRefused, refusing
from stepfold.gateway.streaming import STILL, STILL_S, Still
from stepfold.gateway.web import gateway_of

if TYPE_CHECKING:
    from mcp.server import Server

WAIT_S = 300.0
"""So long an answer is waited for."""
EXTRA = "the package `mcp` is not installed where this gateway runs: pip install 'stepfold[mcp]'"
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
        searches=who.may(READ),
    )
    body = await asked.request.body()
    closed = gateway_of(asked.request).guard.limits.open(who)
    return Spoken(mcp_server(desk, expected), body, closed)


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
    """What the library answers to a request with this `body`; `closed` is called at its end."""

    def __init__(self, server: Server[Any], body: bytes, closed: Callable[[], None]) -> None:
        super().__init__()
        self._server = server
        self._asked = body
        self._closed = closed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        from mcp.server.streamable_http_manager import (  # noqa: PLC0415
            StreamableHTTPSessionManager,
        )

        manager = StreamableHTTPSessionManager(
            self._server, stateless=True, max_request_body_size=BODY_BYTES_MAX
        )
        try:
            async with manager.run(), anyio.create_task_group() as tasks:
                tasks.start_soon(_watch, scope.get(STILL), tasks.cancel_scope)
                await manager.handle_request(scope, self._read(receive), self._sent(send))
                tasks.cancel_scope.cancel()
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
                message = {**message, "headers": [*message.get("headers", ()), *own]}
            await send(message)

        return sent


async def _watch(still: Still | None, scope: anyio.CancelScope) -> None:
    """Cut it off when the key is not good any more."""
    while still is None or await still():
        await anyio.sleep(STILL_S)
    scope.cancel()


DOORS = (Door("POST", "/mcp", speak, scopes=(CHAT,)),)

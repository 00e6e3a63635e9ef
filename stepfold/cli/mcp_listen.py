"""Where the MCP server is spoken to: stdin and stdout, or HTTP.

Over HTTP it listens on loopback unless it was told another address, and then only with a bearer
token. The Host and the Origin of each request must be among those that were named: a page in
somebody's browser cannot speak to it under a name of its own.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, cast

import anyio
import uvicorn
from mcp.server import Server
from mcp.server.stdio import stdio_server
from mcp.server.transport_security import TransportSecuritySettings
from msgspec import Struct
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from stepfold.cli import stdin
from stepfold.cli.exits import CommandRefused

PATH = "/mcp"
TOKEN = "STEPFOLD_MCP_TOKEN"
TOKEN_CHARS_MIN = 16
STOP_S = 5
"""So long open requests may take when it stops."""


class Place(Struct, frozen=True):
    """`names` are the hosts that clients know it by, beside the address itself."""

    host: str
    port: int
    token: str = ""
    names: tuple[str, ...] = ()


def check(place: Place) -> None:
    """CommandRefused where it would be open to anybody."""
    if place.token and len(place.token) < TOKEN_CHARS_MIN:
        raise CommandRefused(f"{TOKEN} has fewer than {TOKEN_CHARS_MIN} characters: make it longer")
    if _is_loopback(place.host):
        return
    if not place.token:
        raise CommandRefused(
            f"{place.host} is not loopback, so whoever asks must show a token: set {TOKEN}"
        )
    if not place.names and _is_any(place.host):
        raise CommandRefused(f"{place.host} is no name: give those that clients use, by --name")


async def speak(server: Server[Any]) -> None:
    """Over stdin and stdout, until the client closes them."""
    given = cast("anyio.AsyncFile[str]", stdin.lines())
    async with stdio_server(stdin=given) as (hears, says):
        await server.run(hears, says, server.create_initialization_options())


@asynccontextmanager
async def listening(
    server: Server[Any], place: Place
) -> AsyncIterator[tuple[str, asyncio.Task[None]]]:
    """The URL it is to be found at, and the task that serves it; OSError where it cannot be."""
    listener = bound(place)
    port = listener.getsockname()[1]
    app = server.streamable_http_app(
        streamable_http_path=PATH, host=place.host, transport_security=_security(place, port)
    )
    config = uvicorn.Config(
        _guarded(app, place.token),
        log_level="warning",
        access_log=False,
        lifespan="on",
        timeout_graceful_shutdown=STOP_S,
    )
    web = _Web(config)
    serving = asyncio.create_task(web.serve(sockets=[listener]))
    try:
        yield f"http://{_written(place.host)}:{port}{PATH}", serving
    finally:
        web.should_exit = True
        await serving
        listener.close()


def bound(place: Place) -> socket.socket:
    """asyncio sends at once only on sockets that say they are TCP: else each answer takes 40 ms.
    OSError where it cannot be.
    """
    family = socket.AF_INET6 if ":" in place.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((place.host, place.port))
        listener.listen()
    except OSError:
        listener.close()
        raise
    return listener


class _Web(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are for the command, which stops this in order."""
        yield


def _security(place: Place, port: int) -> TransportSecuritySettings:
    hosts = [f"{_written(place.host)}:{port}"]
    if _is_loopback(place.host):
        hosts += [f"127.0.0.1:{port}", f"localhost:{port}", f"[::1]:{port}"]
    schemes = ("http", "https")
    named = [*place.names, *(f"{name}:*" for name in place.names)]
    return TransportSecuritySettings(
        enable_dns_rebinding_protection=True,
        allowed_hosts=[*hosts, *named],
        allowed_origins=[f"{scheme}://{host}" for scheme in schemes for host in (*hosts, *named)],
    )


def _guarded(app: ASGIApp, token: str) -> ASGIApp:
    """`app` for those only who show the token, if there is one."""
    if not token:
        return app
    wanted = f"Bearer {token}".encode()

    async def guard(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not _shows(scope, wanted):
            why = f"show the token of {TOKEN} as Authorization: Bearer …\n"
            refusal = PlainTextResponse(why, 401, {"WWW-Authenticate": "Bearer"})
            await refusal(scope, receive, send)
            return
        await app(scope, receive, send)

    return guard


def _shows(scope: Scope, wanted: bytes) -> bool:
    shown = [value for name, value in scope["headers"] if name == b"authorization"]
    return len(shown) == 1 and hmac.compare_digest(shown[0], wanted)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_any(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def _written(host: str) -> str:
    return f"[{host}]" if ":" in host else host

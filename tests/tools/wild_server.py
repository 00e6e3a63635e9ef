"""A loopback server that answers each path with exactly the bytes, or the behaviour, of a test."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from msgspec import Struct


class Heard(Struct, frozen=True):
    """A request; header names are in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)


Behaviour = Callable[[Heard, asyncio.StreamWriter], Awaitable[None]]


def told(
    body: bytes = b"{}", *, status: int = 200, kind: str = "application/json", **headers: str
) -> bytes:
    """A proper answer. `retry_after="1"` is the header retry-after."""
    named = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    head = f"HTTP/1.1 {status} Told\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n"
    return f"{head}{named}\r\n".encode() + body


def json(value: Any, *, status: int = 200, **headers: str) -> bytes:
    return told(msgspec.json.encode(value), status=status, **headers)


def redirect(place: str, *, status: int = 302, **headers: str) -> bytes:
    return told(b"", status=status, location=place, **headers)


class WildServer:
    def __init__(self, answers: Mapping[str, bytes | Behaviour]) -> None:
        self.answers = dict(answers)
        self.heard: list[Heard] = []
        self.port = 0
        self._open: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            heard = await _heard(reader)
            self.heard.append(heard)
            answer = self.answers.get(heard.path, told(b"no such path", status=404))
            if isinstance(answer, bytes):
                writer.write(answer)
                await writer.drain()
            else:
                await answer(heard, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # who asked has gone
        finally:
            self._open.discard(writer)
            writer.close()

    def hang_up(self) -> None:
        for writer in self._open:
            writer.transport.abort()


@asynccontextmanager
async def wild(
    answers: Mapping[str, bytes | Behaviour] | None = None,
    *,
    host: str = "127.0.0.1",
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[WildServer]:
    """Each of its connections serves one request."""
    served = WildServer(answers or {})
    server = await asyncio.start_server(served.serve, host, 0, ssl=tls)
    served.port = server.sockets[0].getsockname()[1]
    try:
        yield served
    finally:
        server.close()
        served.hang_up()
        await server.wait_closed()


async def _heard(reader: asyncio.StreamReader) -> Heard:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, target, _ = head[0].split(" ", 2)
    pairs = (line.partition(":") for line in head[1:] if line)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Heard(method, target, headers, body)

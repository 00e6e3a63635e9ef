"""A server that answers with exactly the bytes that a test names: bad status, cuts, stalls.

It knows no provider. Each request gets the next of its answers; `requests` keeps what was asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, Literal

import msgspec
from msgspec import Struct

ENDED = b'{"error": {"message": "the script of this server has ended"}}'


class Answer(Struct, frozen=True):
    """`pieces` are sent one by one, chunked, in place of `body`.

    `ending`: `clean` as HTTP wants it; `abrupt` closes the connection before that; `stall` keeps it
    open and says no more; `silent` does not even begin.
    """

    status: int = 200
    body: bytes = b""
    pieces: tuple[bytes, ...] = ()
    content_type: str = "application/json"
    headers: dict[str, str] = {}
    ending: Literal["clean", "abrupt", "stall", "silent"] = "clean"


class Asked(Struct, frozen=True):
    """A request; header names are in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)


def json(value: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> Answer:
    return Answer(status, msgspec.json.encode(value), headers=headers or {})


def stream(
    *pieces: str | bytes, ending: Literal["clean", "abrupt", "stall", "silent"] = "clean"
) -> Answer:
    """Server-sent events, as text."""
    told = tuple(each.encode() if isinstance(each, str) else each for each in pieces)
    return Answer(pieces=told, content_type="text/event-stream", ending=ending)


class RawServer:
    def __init__(self, answers: Iterable[Answer]) -> None:
        self.requests: list[Asked] = []
        self.port = 0
        self._answers = iter(answers)
        self._open: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            self.requests.append(await _asked(reader))
            await _answer(next(self._answers, Answer(500, ENDED)), reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # who asked has gone
        finally:
            self._open.discard(writer)
            writer.close()

    def hang_up(self) -> None:
        for writer in self._open:
            writer.close()


@asynccontextmanager
async def serving(*answers: Answer) -> AsyncIterator[RawServer]:
    raw = RawServer(answers)
    server = await asyncio.start_server(raw.serve, "127.0.0.1", 0)
    raw.port = server.sockets[0].getsockname()[1]
    try:
        yield raw
    finally:
        server.close()
        raw.hang_up()
        await server.wait_closed()


async def _asked(reader: asyncio.StreamReader) -> Asked:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, path, _ = head[0].split(" ", 2)
    pairs = (line.partition(":") for line in head[1:] if line)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Asked(method, path, headers, body)


async def _answer(
    answer: Answer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    if answer.ending != "silent":
        writer.write(_head(answer))
        for piece in answer.pieces:
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await writer.drain()
        if not answer.pieces:
            writer.write(answer.body)
        elif answer.ending == "clean":
            writer.write(b"0\r\n\r\n")
        await writer.drain()
    if answer.ending in ("stall", "silent"):
        await reader.read()  # until the other side hangs up


def _head(answer: Answer) -> bytes:
    """An answer that does not end cleanly promises one byte more than it has."""
    promised = len(answer.body) + (answer.ending != "clean")
    length = "transfer-encoding: chunked" if answer.pieces else f"content-length: {promised}"
    named = (f"{name}: {value}" for name, value in answer.headers.items())
    lines = [f"HTTP/1.1 {answer.status} Scripted", f"content-type: {answer.content_type}", length]
    return "\r\n".join([*lines, "connection: close", *named, "", ""]).encode("latin-1")

"""One page over HTTP for whoever scrapes it: GET and HEAD of one path, one request a connection."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus

PATH = "/metrics"
LOOPBACK = "127.0.0.1"
PORT_MAX = 65_535
HEAD_BYTES_MAX = 16 * 1024
REQUEST_S = 10.0
"""How long one request may take, all of it."""
CONNECTIONS_MAX = 64

Render = Callable[[], Awaitable[bytes]]
log = logging.getLogger("stepfold.metrics")


def place(text: str) -> tuple[str, int]:
    """(host, port) of `[HOST:]PORT`; ValueError when it is none. Without a host, loopback."""
    host, _, port = text.rpartition(":")
    if not (port.isascii() and port.isdecimal()):
        raise ValueError(f"{text!r} is no place to listen at: give [HOST:]PORT, as 9464")
    if int(port) > PORT_MAX:
        raise ValueError(
            f"{text!r}: port {port} is out of range: give one up to {PORT_MAX}, as 9464"
        )
    return host.removeprefix("[").removesuffix("]") or LOOPBACK, int(port)


@asynccontextmanager
async def serving(host: str, port: int, render: Render, media: str) -> AsyncIterator[str]:
    """Serve what `render` gives until the block ends; yields the page's address."""
    page = _Page(render, media)
    server = await asyncio.start_server(page.answer, host, port, limit=HEAD_BYTES_MAX)
    try:
        port = server.sockets[0].getsockname()[1]
        yield f"http://{f'[{host}]' if ':' in host else host}:{port}{PATH}"
    finally:
        server.close()
        await page.close()


class _Page:
    def __init__(self, render: Render, media: str) -> None:
        self._render = render
        self._media = media
        self._answering: set[asyncio.Task[object]] = set()
        self._closing = False

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or self._closing or len(self._answering) >= CONNECTIONS_MAX:
            writer.close()
            return
        self._answering.add(task)
        try:
            async with asyncio.timeout(REQUEST_S):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(await self._response(head.partition(b"\r\n")[0]))
                await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            log.debug("a request for the metrics ended before it was answered")
        except asyncio.CancelledError:
            if not self._closing:
                raise  # else this task ends here: asyncio 3.11 logs one that ends cancelled
        finally:
            self._answering.discard(task)
            writer.close()

    async def close(self) -> None:
        self._closing = True
        for task in self._answering:
            task.cancel()
        await asyncio.gather(*self._answering, return_exceptions=True)

    async def _response(self, line: bytes) -> bytes:
        match line.split():
            case [b"GET" | b"HEAD" as method, target, _]:
                status, body = await self._page(target)
            case _:
                method, status, body = b"GET", HTTPStatus.METHOD_NOT_ALLOWED, b""
        lines = (
            f"HTTP/1.1 {status.value} {status.phrase}",
            f"Content-Type: {self._media if status is HTTPStatus.OK else 'text/plain'}",
            f"Content-Length: {len(body)}",
            "Connection: close",
        )
        head = "\r\n".join(lines).encode() + b"\r\n\r\n"
        return head if method == b"HEAD" else head + body

    async def _page(self, target: bytes) -> tuple[HTTPStatus, bytes]:
        if target.partition(b"?")[0] != PATH.encode():
            return HTTPStatus.NOT_FOUND, f"the page is {PATH}\n".encode()
        try:
            return HTTPStatus.OK, await self._render()
        except Exception:
            log.exception("the page of the metrics could not be made")
            return HTTPStatus.INTERNAL_SERVER_ERROR, b"see the log of this process\n"

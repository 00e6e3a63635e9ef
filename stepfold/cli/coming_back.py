"""How the browser's answer to an authorization comes back: to a port of this machine, or pasted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

from stepfold.cli.exits import CommandRefused
from stepfold.cli.screen import warn
from stepfold.cli.stdin import lines
from stepfold.tools.oauth_errors import NotOurs
from stepfold.tools.tool import ToolError

LOOPBACK = ("127.0.0.1", "::1", "localhost")
HEAD_BYTES_MAX, HEAD_S = 16_384, 10.0
PAGE = (
    "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nCache-Control: no-store\r\n"
    "Referrer-Policy: no-referrer\r\nConnection: close\r\n\r\n{text}\n"
)

Finish = Callable[[str], Awaitable[None]]


@asynccontextmanager
async def answers(back: str, finish: Finish, *, paste: bool) -> AsyncIterator[asyncio.Future[None]]:
    """What is done once an answer was accepted, and fails once one was refused."""
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    if paste:
        reading = asyncio.ensure_future(_pasted(back, finish))
        try:
            yield reading
        finally:
            reading.cancel()
        return
    where = urlsplit(back)
    if where.scheme != "http" or where.hostname not in LOOPBACK or where.port is None:
        raise CommandRefused(f"{back} is not on this machine: use --paste")
    listener = _Listener(back, finish, done)
    try:
        server = await asyncio.start_server(
            listener.take, where.hostname, where.port, limit=HEAD_BYTES_MAX
        )
    except OSError as error:
        raise CommandRefused(
            f"the browser cannot come back to {back} ({error.strerror}): end what listens there,"
            " take another --port that the provider knows, or use --paste"
        ) from error
    async with server:
        yield done


async def _pasted(back: str, finish: Finish) -> None:
    """What is no address of the kind is not repeated: it may hold half of a secret."""
    async for line in lines():
        told = line.strip()
        if told.partition("?")[0] == back.partition("?")[0] and "?" in told:
            await finish(told)
            return
        if told:
            warn(f"that is no such address: it begins with {back}? and has a code; paste it whole")
    raise CommandRefused("no address was pasted: authorize again")


class _Listener:
    """Takes the browser that comes back; whatever else knocks is shown out."""

    def __init__(self, back: str, finish: Finish, done: asyncio.Future[None]) -> None:
        self._back = back
        self._finish = finish
        self._done = done
        self._one = asyncio.Lock()

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(HEAD_S):
                head = await reader.readuntil(b"\r\n\r\n")
            async with self._one:
                await self._answer(head.split(b"\r\n")[0].decode("ascii", "replace"), writer)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return  # nobody who brings an answer
        finally:
            writer.close()

    async def _answer(self, request: str, writer: asyncio.StreamWriter) -> None:
        method, _, rest = request.partition(" ")
        path, _, query = rest.rpartition(" ")[0].partition("?")
        if method != "GET" or path != urlsplit(self._back).path or self._done.done():
            await _say_page(writer, "404 Not Found", "Nothing is here.")
            return
        try:
            await self._finish(f"{self._back}?{query}")
        except NotOurs:
            await _say_page(writer, "400 Bad Request", "This answers nothing that was asked.")
        except ToolError as error:
            await _say_page(writer, "400 Bad Request", "Not authorized: see the terminal.")
            self._done.set_exception(error)
        else:
            await _say_page(writer, "200 OK", "Authorized. This window can be closed.")
            self._done.set_result(None)


async def _say_page(writer: asyncio.StreamWriter, status: str, text: str) -> None:
    writer.write(PAGE.format(status=status, text=text).encode())
    with suppress(OSError):  # whoever left without reading has brought the answer all the same
        await writer.drain()

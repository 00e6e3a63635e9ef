"""Two processes that begin and end together: one leads, the other has its end of a pair of sockets
as stdin.

    led      "ready\n" when it answers     then waits for a line
    leader   "go\n" when it has spoken     then the led one speaks; it ends when the leader is gone
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

STDIN = 0
READY, GO = b"ready\n", b"go\n"


class Leader:
    """What the led one has of its leader."""

    def __init__(self, hears: asyncio.StreamReader, says: asyncio.StreamWriter) -> None:
        self._hears = hears
        self._says = says

    async def ready(self) -> None:
        """Returns when the leader has spoken, or is gone."""
        self._says.write(READY)
        with suppress(ConnectionError):
            await self._hears.readline()

    async def gone(self) -> None:
        with suppress(ConnectionError):
            await self._hears.read()


class Led:
    """What the leader has of whom it leads."""

    def __init__(self, hears: asyncio.StreamReader, says: asyncio.StreamWriter) -> None:
        self._hears = hears
        self._says = says

    async def ready(self) -> bool:
        """False when it has ended before."""
        try:
            return await self._hears.readline() == READY
        except ConnectionError:
            return False

    def go(self) -> None:
        self._says.write(GO)


@asynccontextmanager
async def leading(mine: socket.socket) -> AsyncIterator[Led]:
    hears, says = await asyncio.open_unix_connection(sock=mine)
    try:
        yield Led(hears, says)
    finally:
        says.close()


@asynccontextmanager
async def led() -> AsyncIterator[Leader]:
    mine = socket.socket(fileno=os.dup(STDIN))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, STDIN)  # whoever is started from here has no end of it
    os.close(nothing)
    hears, says = await asyncio.open_unix_connection(sock=mine)
    try:
        yield Leader(hears, says)
    finally:
        says.close()

"""Room for so many at once. Whoever finds none waits in a line; the first in it is the next."""

from __future__ import annotations

import asyncio
from collections import deque


class Room:
    """`size` may change at any time: with less, those who are in stay until they leave."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._taken = 0
        self._line: deque[asyncio.Future[None]] = deque()

    @property
    def size(self) -> int:
        return self._size

    @size.setter
    def size(self, size: int) -> None:
        self._size = size
        self._admit()

    async def enter(self) -> None:
        """Whoever entered must leave."""
        ticket: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._line.append(ticket)
        self._admit()
        try:
            await ticket
        except asyncio.CancelledError:
            if not ticket.cancelled():  # it was let in, and is gone before it noticed
                self.leave()
            elif ticket in self._line:
                self._line.remove(ticket)
            raise

    def leave(self) -> None:
        self._taken -= 1
        self._admit()

    def _admit(self) -> None:
        while self._line and self._taken < self._size:
            ticket = self._line.popleft()
            if not ticket.cancelled():
                self._taken += 1
                ticket.set_result(None)

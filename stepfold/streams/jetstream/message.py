"""A delivered message: where it stands, and what becomes of it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime

import nats.errors
from nats.aio.msg import Msg

Message = Msg
WORDS_WITHOUT_DOMAIN = 9
"""`$JS.ACK.<stream>.<consumer>.<deliveries>.<position>.<n>.<stamp>.<pending>`."""


def place(message: Msg) -> tuple[int, datetime, int]:
    """(position, server's time, deliveries so far) of a message, from its reply subject."""
    words = message.reply.split(".")
    start = 4 if len(words) == WORDS_WITHOUT_DOMAIN else 6
    deliveries, position, _, stamp = words[start : start + 4]
    return int(position), datetime.fromtimestamp(int(stamp) / 1e9, UTC), int(deliveries)


async def acknowledge(message: Msg) -> None:
    """Done with it. A lost acknowledgement costs a redelivery, which finds nothing left to do."""
    with suppress(nats.errors.Error):
        await message.ack()


async def give_back(message: Msg, delay_s: float) -> None:
    """Let it be delivered again in `delay_s` seconds."""
    with suppress(nats.errors.Error):
        await message.nak(delay=max(delay_s, 0.001))


class Pulse:
    """Tells the server, every `every_s`, that a message is still being worked on."""

    def __init__(self, message: Msg, every_s: float) -> None:
        self._message = message
        self._every_s = every_s
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None
        self._timer = self._loop.call_later(every_s, self._beat)

    def _beat(self) -> None:
        self._task = self._loop.create_task(self._tell())
        self._timer = self._loop.call_later(self._every_s, self._beat)

    async def _tell(self) -> None:
        with suppress(nats.errors.Error):
            await self._message.in_progress()

    def stop(self) -> None:
        self._timer.cancel()

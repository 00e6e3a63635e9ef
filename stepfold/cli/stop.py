"""SIGINT and SIGTERM: the first asks to finish, the second stops at once."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import TypeVar

Item = TypeVar("Item")


class Stop:
    """Made inside the task that the second signal ends."""

    def __init__(self, on_first: Callable[[], None]) -> None:
        self.signals = 0
        self._on_first = on_first
        self._asked = asyncio.Event()
        self._task = asyncio.current_task()
        loop = asyncio.get_running_loop()
        for each in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(each, self._on_signal)

    async def asked(self) -> None:
        await self._asked.wait()

    def _on_signal(self) -> None:
        self.signals += 1
        if self.signals == 1:
            self._on_first()
            self._asked.set()
        elif self._task is not None:
            self._task.cancel()


async def until_stopped(
    items: AsyncGenerator[Item, None], stop: Stop
) -> AsyncGenerator[Item, None]:
    """The items as they come, until a signal comes."""
    asked = asyncio.ensure_future(stop.asked())
    try:
        async with aclosing(items):
            while True:
                coming = asyncio.ensure_future(anext(items, None))
                await asyncio.wait((coming, asked), return_when=asyncio.FIRST_COMPLETED)
                if not coming.done():
                    coming.cancel()
                    await asyncio.gather(coming, return_exceptions=True)
                    return
                item = coming.result()
                if item is None:
                    return
                yield item
    finally:
        asked.cancel()

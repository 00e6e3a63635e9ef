"""Looks, while a worker runs, whether its turn is still wanted; ends its time when it is not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from stepfold.streams.log import LogUnavailable


class Watch:
    """Cheap when the work is short: nothing happens before the first look at `every_s`."""

    def __init__(
        self, is_over: Callable[[], Awaitable[bool]], limit: asyncio.Timeout, every_s: float
    ) -> None:
        self.over = False
        self._is_over = is_over
        self._limit = limit
        self._every_s = every_s
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None
        self._timer = self._loop.call_later(every_s, self._look)

    def _look(self) -> None:
        self._task = self._loop.create_task(self._ask())

    async def _ask(self) -> None:
        try:
            self.over = await self._is_over()
        except LogUnavailable:
            self.over = False
        if self.over:
            self._limit.reschedule(self._loop.time())
        else:
            self._timer = self._loop.call_later(self._every_s, self._look)

    def stop(self) -> None:
        self._timer.cancel()
        if self._task is not None:
            self._task.cancel()

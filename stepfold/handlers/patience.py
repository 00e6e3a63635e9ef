"""Sets a turn's durable timer only when the turn outlives a grace period: most turns never do.

Who opened the turn watches it meanwhile. Should it die within the grace, whoever handles the turn's
next step sees that its time is over; only a turn whose request nobody ever takes would then wait.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime

from stepfold.streams.log import LogUnavailable, Timers

IsRunning = Callable[[str, str, int], Awaitable[bool]]
RETRY_S = 1.0
log = logging.getLogger("stepfold.patience")


class Patience:
    """Implements Timers over `timers`."""

    def __init__(self, timers: Timers, is_running: IsRunning, grace_s: float) -> None:
        self._timers = timers
        self._is_running = is_running
        self._grace_s = grace_s
        self._waiting: dict[tuple[str, str, int], tuple[datetime, asyncio.TimerHandle]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def set(self, customer: str, conversation: str, turn: int, due: datetime) -> None:
        self._wait((customer, conversation, turn), due, self._grace_s)

    def _wait(self, turn: tuple[str, str, int], due: datetime, delay_s: float) -> None:
        if turn in self._waiting:
            self._waiting[turn][1].cancel()
        timer = asyncio.get_running_loop().call_later(delay_s, self._look, turn, due)
        self._waiting[turn] = due, timer

    def _look(self, turn: tuple[str, str, int], due: datetime) -> None:
        del self._waiting[turn]
        task = asyncio.get_running_loop().create_task(self._set_if_running(turn, due))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _set_if_running(self, turn: tuple[str, str, int], due: datetime) -> None:
        try:
            if await self._is_running(*turn):
                await self._timers.set(*turn, due)
        except LogUnavailable as error:
            log.warning("the timer of turn %d of %s/%s waits: %s", turn[2], *turn[:2], error)
            self._wait(turn, due, RETRY_S)

    async def close(self) -> None:
        """Before this process ends: what it still watches gets its durable timer now."""
        for turn, (due, timer) in list(self._waiting.items()):
            timer.cancel()
            self._look(turn, due)
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for _, timer in self._waiting.values():
            timer.cancel()

"""Counts a log as it grows, from where it is now on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

from stepfold.observability.metrics import Lane, Metrics
from stepfold.observability.numbers import Numbers
from stepfold.streams.log import Log, LogUnavailable

AGAIN_S = 1.0
END_S = 0.1
LANES_S = 2.0
"""How long a page waits for how the lanes stand; then it goes without."""

Look = Callable[[], Awaitable[Mapping[str, Lane]]]
log = logging.getLogger("stepfold.metrics")


class Counting:
    """The numbers of all processes' steps; how the lanes stand is looked up when it is asked."""

    def __init__(self, steps: Log, look: Look, position: int) -> None:
        self.metrics = Metrics()
        self.position = position
        self._steps = steps
        self._look = look
        self._following = asyncio.create_task(self._follow())
        self._following.add_done_callback(_say_broken)

    async def now(self) -> Numbers:
        """Raises what broke the counting: numbers that stand still would look like calm."""
        if self._following.done():
            self._following.result()
        try:
            async with asyncio.timeout(LANES_S):
                lanes = await self._look()
        except (LogUnavailable, TimeoutError):
            lanes = {}
        self.metrics.stand(lanes)
        return self.metrics.numbers

    async def close(self) -> None:
        await end(self._following)

    async def _follow(self) -> None:
        while True:
            try:
                async for batch in self._steps.scan(after=self.position, follow=True):
                    for stored in batch:
                        self.metrics.take(stored)
                        self.position = stored.position
            except LogUnavailable as error:
                log.warning("the metrics wait: %s", error)
                await asyncio.sleep(AGAIN_S)


async def end(task: asyncio.Task[None]) -> None:
    """Cancel it until it has ended: Python 3.11's `wait_for` may swallow a cancellation."""
    while not task.done():
        task.cancel()
        await asyncio.wait((task,), timeout=END_S)


def _say_broken(following: asyncio.Task[None]) -> None:
    error = None if following.cancelled() else following.exception()
    if error is not None:
        log.error("no metrics any more", exc_info=error)


@asynccontextmanager
async def counting(steps: Log, look: Look) -> AsyncIterator[Counting]:
    counts = Counting(steps, look, await steps.last())
    try:
        yield counts
    finally:
        await counts.close()

"""A process that is given a request and watched until it has replied or reached a limit.

It reads the request on stdin, writes its reply to stdout and prints to stderr. Whatever it is, it
is dead when `serve` returns or is cancelled.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from msgspec import Struct

from stepfold.sandbox.child import Child
from stepfold.sandbox.sandbox import Limits, Outcome, Usage
from stepfold.sandbox.watch import Seen, below

INTERVALS_S = (0.01, 0.02, 0.02, 0.05)
"""Between two looks at what it uses; the last one goes on."""

Joined = Callable[[int], None]
"""Told the id of the process before it has its request."""


class Ended(Struct, frozen=True):
    """How it ended. `reached` is the limit for which it was killed; `status` its exit code,
    negative for a signal.
    """

    reached: Outcome | None
    reason: str
    status: int
    reply: bytes
    output: bytes
    usage: Usage


class _Reached(Exception):
    def __init__(self, limit: Outcome, reason: str) -> None:
        super().__init__(limit, reason)
        self.limit, self.reason = limit, reason


class _Kept:
    """What came through a pipe, up to a limit."""

    def __init__(self, bytes_max: int, over: _Reached) -> None:
        self.content = bytearray()
        self._bytes_max = bytes_max
        self._over = over

    async def read(self, chunks: AsyncIterator[bytes]) -> None:
        async for chunk in chunks:
            room = self._bytes_max - len(self.content)
            self.content += chunk[:room]
            if len(chunk) > room:
                raise self._over


class _Watcher:
    """Looks at the processes below one until they use more than they may."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.most = Seen()

    async def watch(self, pid: int) -> None:
        looks = iter(INTERVALS_S)
        interval_s = next(looks)
        while True:
            await asyncio.sleep(interval_s)
            interval_s = next(looks, interval_s)
            self._judge(below(pid))

    def _judge(self, seen: Seen) -> None:
        most, limits = self.most, self._limits
        self.most = Seen(
            max(most.cpu_s, seen.cpu_s),
            max(most.memory_bytes, seen.memory_bytes),
            max(most.tasks, seen.tasks),
        )
        if seen.cpu_s > limits.cpu_s:
            raise _Reached("cpu", f"more than {limits.cpu_s:g} s of CPU time")
        if seen.memory_bytes > limits.memory_bytes:
            raise _Reached("memory", f"more than {limits.memory_bytes} bytes of memory")


async def serve(
    child: Child,
    request: bytes,
    *,
    limits: Limits,
    reply_bytes_max: int,
    joined: Joined | None = None,
) -> Ended:
    """Give a started child its request and watch it to its end. Its time begins now."""
    begin = time.monotonic()
    reply = _Kept(reply_bytes_max, _Reached("output", "a reply larger than any it may give"))
    output = _Kept(
        limits.output_bytes, _Reached("output", f"more than {limits.output_bytes} bytes printed")
    )
    watcher = _Watcher(limits)
    reached: _Reached | None = None
    try:
        if joined is not None:
            joined(child.pid)
        await _first(
            _served(child, request, reply, output), watcher.watch(child.pid), limits.wall_s
        )
    except TimeoutError:
        reached = _Reached("time", f"more than {limits.wall_s:g} s")
    except _Reached as over:
        reached = over
    finally:
        await child.end()
    seen = watcher.most
    return Ended(
        reached=reached.limit if reached else None,
        reason=reached.reason if reached else "",
        status=child.status,
        reply=bytes(reply.content),
        output=bytes(output.content),
        usage=Usage(time.monotonic() - begin, seen.cpu_s, seen.memory_bytes or None),
    )


async def _first(
    serving: Coroutine[Any, Any, None], watching: Coroutine[Any, Any, None], timeout_s: float
) -> None:
    """Until it is served. Raises the first exception of either, TimeoutError after `timeout_s`."""
    tasks = [asyncio.create_task(serving), asyncio.create_task(watching)]
    try:
        done, _ = await asyncio.wait(tasks, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        if not done:
            raise TimeoutError
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _served(child: Child, request: bytes, reply: _Kept, output: _Kept) -> None:
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(child.give(request))
            group.create_task(reply.read(child.replies()))
            group.create_task(output.read(child.prints()))
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    await child.ended()

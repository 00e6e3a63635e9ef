"""A child process and its pipes, on the running loop.

Not asyncio's own: a cancelled `create_subprocess_exec` waits for ever (Python 3.11), and a killed
child's pipes keep it from being waited for.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from typing import IO, Any

CHUNK = 65_536
LOOK_S = 0.002
END_S = 2.0
"""Once it is killed a child is gone within so long, or nobody waits any more."""


class Child:
    """Started with nothing of this process's but `environment` and `descriptors`."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        descriptors: Sequence[int] = (),
    ) -> None:
        self._popen = subprocess.Popen(
            command,
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            pass_fds=descriptors,
            start_new_session=True,
        )
        for pipe in self._pipes():
            os.set_blocking(pipe.fileno(), False)

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def status(self) -> int:
        """Its exit code, negative for a signal; 0 while it runs."""
        return self._popen.returncode or 0

    def runs(self) -> bool:
        return self._popen.poll() is None

    async def give(self, content: bytes) -> None:
        """Write all of it to stdin and close that; as much as it takes where it reads no more."""
        loop, left = asyncio.get_running_loop(), memoryview(content)
        assert self._popen.stdin is not None
        with suppress(BrokenPipeError):
            while left:
                try:
                    left = left[os.write(self._popen.stdin.fileno(), left) :]
                except BlockingIOError:
                    await _ready(self._popen.stdin, loop.add_writer, loop.remove_writer)
        self._popen.stdin.close()

    def replies(self) -> AsyncIterator[bytes]:
        assert self._popen.stdout is not None
        return _chunks(self._popen.stdout)

    def prints(self) -> AsyncIterator[bytes]:
        assert self._popen.stderr is not None
        return _chunks(self._popen.stderr)

    async def ended(self) -> None:
        while self.runs():
            await asyncio.sleep(LOOK_S)

    async def end(self) -> None:
        """Kill it and its group, if it runs, and let go of its pipes. The group: what it has just
        started may not yet have heard with whom it is to die.
        """
        if self.runs():
            os.killpg(self.pid, signal.SIGKILL)
        for pipe in self._pipes():
            pipe.close()
        last = time.monotonic() + END_S
        while self.runs() and time.monotonic() < last:
            await asyncio.sleep(LOOK_S)

    def _pipes(self) -> list[IO[bytes]]:
        every = (self._popen.stdin, self._popen.stdout, self._popen.stderr)
        return [pipe for pipe in every if pipe is not None]


async def _chunks(pipe: IO[bytes]) -> AsyncIterator[bytes]:
    loop = asyncio.get_running_loop()
    while True:
        try:
            chunk = os.read(pipe.fileno(), CHUNK)
        except BlockingIOError:
            await _ready(pipe, loop.add_reader, loop.remove_reader)
            continue
        if not chunk:
            return
        yield chunk


async def _ready(
    pipe: IO[bytes], add: Callable[..., Any], remove: Callable[[IO[bytes]], bool]
) -> None:
    ready = asyncio.Event()
    add(pipe, ready.set)
    try:
        await ready.wait()
    finally:
        remove(pipe)

"""One started sandbox kept ready for the next run, so that nobody waits for an interpreter.

It has no code and no secret; each serves one run.
"""

from __future__ import annotations

from collections.abc import Callable

from stepfold.sandbox.child import Child

Start = Callable[[int], Child]


class Warm:
    """`start` starts a sandbox whose folder holds so many bytes."""

    def __init__(self, start: Start) -> None:
        self._start = start
        self._size = -1
        self._spare: Child | None = None

    async def take(self, size: int) -> Child:
        """The one that is ready, or a new one."""
        spare, self._spare = self._spare, None
        if spare is not None:
            if spare.runs() and self._size == size:
                return spare
            await spare.end()
        return self._start(size)

    def prepare(self, size: int) -> None:
        """Start one for the next run; nothing where one is ready."""
        if self._spare is None:
            self._size = size
            self._spare = self._start(size)

    async def close(self) -> None:
        spare, self._spare = self._spare, None
        if spare is not None:
            await spare.end()

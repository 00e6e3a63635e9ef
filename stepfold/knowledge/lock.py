"""One writer at a time, across processes; the system gives the lock back when a process dies."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stepfold.knowledge.errors import CollectionBusy

LOCK_WAIT_S = 60.0
_POLL_S = 0.02


@contextmanager
def locked(file: Path, *, wait_s: float = LOCK_WAIT_S) -> Iterator[None]:
    """Holds `file`'s lock; raises CollectionBusy when it is not free within `wait_s`."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _take(descriptor, file, wait_s)
        yield
    finally:
        os.close(descriptor)


def _take(descriptor: int, file: Path, wait_s: float) -> None:
    until = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise CollectionBusy(
                    f"collection {file.parent.name!r}: another process has been writing for "
                    f"{wait_s:g} s; try again when it has ended"
                ) from None
            time.sleep(_POLL_S)
        else:
            return

"""What tools print goes to stderr where stdout is for answers: JSON, or the messages of a protocol.

    with kept_apart():          stdout is ours, until the block ends
        with aside(): ...       what is printed here is a tool's, such as while its file is loaded

Ours is what the main thread writes outside of a tool's call. A tool's are its calls, its threads
and, where stdout is a file of the system, its child processes and libraries too.
"""

from __future__ import annotations

import io
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TextIO, cast

from stepfold.tools.tool import NOBODY, caller

STDOUT, STDERR = 1, 2
_aside: ContextVar[bool] = ContextVar("aside", default=False)


@contextmanager
def aside() -> Iterator[None]:
    """What is printed in the block is a tool's."""
    before = _aside.set(True)
    try:
        yield
    finally:
        _aside.reset(before)


@contextmanager
def kept_apart() -> Iterator[None]:
    """Stdout is ours until the block ends."""
    before = sys.stdout
    before.flush()
    with _ours(before) as ours:
        sys.stdout = cast(TextIO, _Divided(ours))
        try:
            yield
            ours.flush()
        finally:
            sys.stdout = before


@contextmanager
def _ours(stdout: TextIO) -> Iterator[TextIO]:
    """Where our words go. Where stdout is the system's, what does not ask Python goes to stderr."""
    if not _is_systems(stdout):
        yield stdout
        return
    kept = os.dup(STDOUT)
    os.dup2(STDERR, STDOUT)
    lines = isinstance(stdout, io.TextIOWrapper) and stdout.line_buffering
    try:
        with open(
            kept,
            "w",
            encoding=stdout.encoding,
            errors=stdout.errors,
            buffering=1 if lines else -1,
            closefd=False,
        ) as ours:
            yield ours
    finally:
        os.dup2(kept, STDOUT)
        os.close(kept)


def _is_systems(stdout: TextIO) -> bool:
    try:
        return stdout.fileno() == STDOUT
    except (AttributeError, OSError, ValueError):
        return False


class _Divided:
    """In the place of stdout: a stream for whoever asks."""

    def __init__(self, ours: TextIO) -> None:
        self._ours = ours

    def __getattr__(self, name: str) -> Any:
        return getattr(sys.stderr if _is_a_tools() else self._ours, name)


def _is_a_tools() -> bool:
    return (
        _aside.get()
        or caller() != NOBODY
        or threading.current_thread() is not threading.main_thread()
    )

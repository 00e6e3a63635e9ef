"""Lines from stdin without blocking the loop: a terminal or a pipe is watched, a file just read.

A thread would do, but a thread that waits for a line cannot be stopped, so Ctrl-C would hang.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator

CHUNK = 65_536


async def lines() -> AsyncIterator[str]:
    """Until the end of the input; a last line without its end counts."""
    buffer = b""
    while chunk := await _read(sys.stdin.fileno()):
        *whole, buffer = (buffer + chunk).split(b"\n")
        for line in whole:
            yield line.decode(errors="replace")
    if buffer:
        yield buffer.decode(errors="replace")


async def _read(descriptor: int) -> bytes:
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    try:
        loop.add_reader(descriptor, readable.set)
    except PermissionError:  # a file is always readable, and epoll refuses to watch it
        return os.read(descriptor, CHUNK)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(descriptor)
    return os.read(descriptor, CHUNK)

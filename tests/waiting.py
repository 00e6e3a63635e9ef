"""No sleeps in tests: wait for a condition, with a limit."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar, overload

LOOK_S = 0.01

T = TypeVar("T")


@overload
async def eventually(
    condition: Callable[[], Awaitable[T]], within_s: float = ..., *, what: str = ...
) -> T: ...
@overload
async def eventually(
    condition: Callable[[], T], within_s: float = ..., *, what: str = ...
) -> T: ...
async def eventually(
    condition: Callable[[], object], within_s: float = 10.0, *, what: str = ""
) -> object:
    """What `condition` gives once it is true; AssertionError when it is not within `within_s`."""
    end = time.monotonic() + within_s
    while True:
        found = condition()
        if inspect.isawaitable(found):
            found = await found
        if found:
            return found
        assert time.monotonic() < end, f"not within {within_s:g} s: {what or condition}"
        await asyncio.sleep(LOOK_S)

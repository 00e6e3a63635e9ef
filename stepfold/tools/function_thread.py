"""A plain function run beside the loop, in a thread of its own that keeps nobody from ending.

The loop's own threads would do, but a function that hangs would hold one of them for good, starve
whoever else needs them, and hold up the end of the process.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from typing import Any

from stepfold.tools.tool import ToolError

THREADS_MAX = 64
"""Functions that run at once in a process, those counted that nobody waits for any more."""

_free = threading.BoundedSemaphore(THREADS_MAX)


async def in_thread(function: Callable[[], Any], name: str) -> Any:
    """What `function` returns or raises, in the caller's context. Who stops waiting does not stop
    it. ToolError: too many still run; then it has not begun.
    """
    if not _free.acquire(blocking=False):
        raise ToolError(f"not begun: {THREADS_MAX} tools that are plain functions run already")
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[Any] = loop.create_future()
    context = copy_context()

    def work() -> None:
        try:
            settle, value = outcome.set_result, context.run(function)
        except BaseException as error:  # noqa: BLE001  (whatever it is, who waits is told)
            settle, value = outcome.set_exception, _raisable(error)
        finally:
            _free.release()
        with suppress(RuntimeError):  # the loop is closed: nobody waits
            loop.call_soon_threadsafe(_settle, outcome, settle, value)

    threading.Thread(target=work, name=f"tool {name}", daemon=True).start()
    return await outcome


def _settle(outcome: asyncio.Future[Any], settle: Callable[[Any], None], value: Any) -> None:
    if not outcome.done():
        settle(value)


def _raisable(error: BaseException) -> Exception:
    """Of what would end the loop, or cannot pass through a future, an error that says so."""
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    return RuntimeError(f"it raised {type(error).__name__}: {error}")

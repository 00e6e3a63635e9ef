"""Tasks that are to end do end. `asyncio.wait_for` of Python 3.11, with which nats-py waits,
swallows a cancellation that comes together with what it waits for: its task then goes on.
"""

from __future__ import annotations

import asyncio
from typing import Any

AGAIN_S = 1.0
"""A task has so long to clear up before it is cancelled once more."""


async def end(*tasks: asyncio.Future[Any]) -> None:
    """Cancelled until they have ended; what they raise on the way is nobody's."""
    while running := [task for task in tasks if not task.done()]:
        for task in running:
            task.cancel()
        await asyncio.wait(running, timeout=AGAIN_S)
    for task in tasks:
        if not task.cancelled():
            task.exception()


def go_on() -> None:
    """CancelledError where the running task has been cancelled and nobody noticed."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError

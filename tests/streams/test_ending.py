"""Tasks end for certain, whatever swallows their cancellation."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from stepfold.streams.ending import end, go_on


async def test_a_task_that_swallows_its_cancellation_is_cancelled_again() -> None:
    heard = 0

    async def deaf() -> None:
        nonlocal heard
        while heard < 2:
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            heard += 1

    task = asyncio.create_task(deaf())
    await asyncio.sleep(0)

    await end(task)

    assert task.done()
    assert heard == 2


async def test_what_a_task_raises_while_it_ends_is_nobodys() -> None:
    async def breaks() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError

    broken, over = asyncio.create_task(breaks()), asyncio.create_task(asyncio.sleep(0))
    await over

    await end(broken, over)

    assert isinstance(broken.exception(), ValueError)


async def test_who_goes_on_after_a_cancellation_is_stopped() -> None:
    async def goes_on() -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        go_on()

    task = asyncio.create_task(goes_on())
    await asyncio.sleep(0)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    go_on()

"""The log's numbers on the page of metrics."""

from __future__ import annotations

import asyncio

from stepfold.gateway.counting import counted
from stepfold.streams.config import STEPS
from tests.gateway.house import House


async def followers(home: House) -> int:
    info = await home.found.client.jetstream().stream_info(STEPS)
    return int(info.state.consumer_count)


async def test_all_who_look_first_at_once_follow_the_log_once(home: House) -> None:
    async with counted(home.found) as render:
        before = await followers(home)
        await render()
        one = await followers(home) - before
    async with counted(home.found) as render:
        before = await followers(home)

        pages = await asyncio.gather(*(render() for _ in range(5)))

        assert await followers(home) - before == one == 1
    assert all(b"stepfold_" in page for page in pages)

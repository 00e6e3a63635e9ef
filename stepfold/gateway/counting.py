"""The log's numbers for the gateway's page of metrics: counted from the first look on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from stepfold.app import Opened
from stepfold.gateway.web import Render
from stepfold.observability.counting import Counting, counting
from stepfold.observability.metrics import Lane
from stepfold.observability.prometheus import text
from stepfold.streams import jetstream
from stepfold.streams.config import STEPS, TIMERS


@asynccontextmanager
async def counted(found: Opened) -> AsyncIterator[Render]:
    """Whoever never looks pays nothing: the log is followed only once somebody has looked."""
    counts: list[Counting] = []
    beginning = asyncio.Lock()

    async def lanes() -> Mapping[str, Lane]:
        streams = [await jetstream.standing(found.client, name) for name in (STEPS, TIMERS)]
        return {name: Lane(*lane) for each in streams for name, lane in each.items()}

    async with AsyncExitStack() as stack:

        async def render() -> bytes:
            async with beginning:  # else all who look first at once follow it
                if not counts:
                    counts.append(await stack.enter_async_context(counting(found.log, lanes)))
            return text(await counts[0].now())

        yield render

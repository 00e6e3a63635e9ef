"""Sends the numbers every so often. What did not arrive is in the next ones: counts only grow."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from stepfold.observability.counting import Counting, end
from stepfold.observability.otlp import ExportError
from stepfold.observability.otlp_numbers import NumberSender

INTERVAL = "OTEL_METRIC_EXPORT_INTERVAL"
INTERVAL_S = 60.0
"""Unless the environment says so many milliseconds, as it does to all of OpenTelemetry."""

log = logging.getLogger("stepfold.metrics")


def interval_s(environment: Mapping[str, str] = os.environ) -> float:
    """ValueError when what the environment says is no length of time."""
    told = environment.get(INTERVAL, "")
    if told and (not told.isdecimal() or int(told) == 0):
        raise ValueError(f"{INTERVAL}={told!r} is no number of milliseconds, such as 60000")
    return int(told) / 1000 if told else INTERVAL_S


@asynccontextmanager
async def pushing(counts: Counting, place: str, every_s: float) -> AsyncIterator[None]:
    """Until the block ends; `place` is where a receiver takes metrics."""
    sender = await asyncio.to_thread(NumberSender, place, datetime.now(UTC))
    sending = asyncio.create_task(_send(counts, sender, every_s))
    try:
        yield
    finally:
        sender.close()
        await end(sending)


async def _send(counts: Counting, sender: NumberSender, every_s: float) -> None:
    said = ""
    while True:
        await asyncio.sleep(every_s)
        why = ""
        try:
            numbers = sender.gather(await counts.now(), datetime.now(UTC))
            await asyncio.to_thread(sender.send, numbers)
        except ExportError as error:
            why = f"the metrics did not arrive: {error}"
        except Exception:
            log.exception("no metrics are sent any more")
            return
        if why != said:
            log.warning("%s", why or "the metrics arrive again")
            said = why

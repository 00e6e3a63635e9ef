"""Durable timers: messages that wait for their time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from nats.aio.client import Client

from stepfold.events.names import token
from stepfold.streams.config import TIMERS
from stepfold.streams.jetstream.connection import TIMEOUT_S, unavailable
from stepfold.streams.jetstream.headers import SCHEDULE, SCHEDULE_TARGET


class JetStreamTimers:
    """A message that waits in the stream `timers` until it is due; it survives every restart."""

    def __init__(self, client: Client, *, timeout_s: float = TIMEOUT_S) -> None:
        self._js = client.jetstream(timeout=timeout_s)

    async def set(self, customer: str, conversation: str, turn: int, due: datetime) -> None:
        where = f"{token('customer', customer)}.{token('conversation', conversation)}.{turn}"
        due = max(due, datetime.now(UTC) + timedelta(seconds=1))
        at = due.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        headers = {
            SCHEDULE: f"@at {at}",
            SCHEDULE_TARGET: f"timers.due.{where}",
        }
        with unavailable(f"the timer {where} was not set"):
            await self._js.publish(f"timers.set.{where}", b"", stream=TIMERS, headers=headers)

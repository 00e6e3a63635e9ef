"""Steps of one kind of all of a customer's conversations, a page at a time."""

from __future__ import annotations

from datetime import datetime

from stepfold.events.envelope import Entry
from stepfold.events.names import token
from stepfold.events.wire import decode
from stepfold.streams.config import STEPS
from stepfold.streams.jetstream.connection import TIMEOUT_S, Connection
from stepfold.streams.jetstream.gets import Gets
from stepfold.streams.jetstream.headers import AT, moment
from stepfold.streams.jetstream.log import JetStreamLog


class Listing:
    def __init__(self, client: Connection, log: JetStreamLog) -> None:
        self._gets = Gets(client, TIMEOUT_S)
        self._log = log

    async def page(self, customer: str, kind: str, *, after: int, most: int) -> list[Entry]:
        """Up to `most` of them beyond position `after`, in order."""
        where = f"{STEPS}.{token('customer', customer)}.*.{kind}"
        found: list[Entry] = []
        async for message in self._gets.all(STEPS, where, after):
            headers = message.headers or {}
            stored = datetime.fromisoformat(headers["Nats-Time-Stamp"])
            found.append(
                decode(
                    headers["Nats-Subject"],
                    await self._log.whole(message.data),
                    position=int(headers["Nats-Sequence"]),
                    at=moment(headers.get(AT, "")) or stored,
                )
            )
            if len(found) == most:
                break
        return found

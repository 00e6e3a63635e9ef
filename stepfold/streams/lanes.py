"""The lanes: durable pull consumers, each handing its kinds of step to the shell.

A step is acknowledged when it was handled, given back when it was not, kept alive while it runs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from typing import Protocol

from stepfold.events.envelope import Entry
from stepfold.events.names import EventError
from stepfold.events.wire import decode
from stepfold.streams.config import ACK_WAIT_S, STEPS, TIMERS
from stepfold.streams.jetstream import Connection, Handle, JetStreamLog, Message, Pull, place
from stepfold.streams.log import LogUnavailable

AWAY_S = 1.0
AT_ONCE = 256
"""How many messages of one lane are handled at once in one process."""

log = logging.getLogger("stepfold.lanes")


class Take(Protocol):
    def __call__(self, entry: Entry, /, *, deliveries: int) -> Awaitable[float | None]:
        """Handle a step: None = acknowledge it, else deliver it again in so many seconds."""
        ...


class Due(Protocol):
    def __call__(
        self, customer: str, conversation: str, turn: int, /, *, deliveries: int
    ) -> Awaitable[float | None]:
        """Handle a timer that fired; the answer is as that of `Take`."""
        ...


class Lanes:
    """Mount lanes, then `start`; `stop` finishes or gives back what was fetched."""

    def __init__(self, client: Connection, *, pulse_s: float = ACK_WAIT_S / 3) -> None:
        self._client = client
        self._pulse_s = pulse_s
        self._whole = JetStreamLog(client).whole
        self._pulls: list[Pull] = []

    def mount(self, durable: str, take: Take, *, at_once: int = AT_ONCE) -> None:
        """Hand the steps of the consumer `durable` of the stream `steps` to `take`."""

        async def handle(message: Message) -> float | None:
            position, at, deliveries = place(message)
            if at < self._client.back_at:
                deliveries = max(deliveries, 2)
            try:
                payload = await self._whole(message.data)
                entry = decode(message.subject, payload, position=position, at=at)
            except LogUnavailable as error:
                log.warning("lane %s: step %d waits: %s", durable, position, error)
                return AWAY_S
            except EventError as error:
                log.error("lane %s: %s", durable, error)
                return None
            return await take(entry, deliveries=deliveries)

        self._mount(STEPS, durable, handle, at_once)

    def mount_timers(self, durable: str, due: Due) -> None:
        async def handle(message: Message) -> float | None:
            match message.subject.split("."):
                case ["timers", "due", customer, conversation, turn] if turn.isdecimal():
                    deliveries = place(message)[2]
                    return await due(customer, conversation, int(turn), deliveries=deliveries)
                case _:
                    log.error("lane %s: %r is not a timer of ours", durable, message.subject)
                    return None

        self._mount(TIMERS, durable, handle, AT_ONCE)

    def _mount(self, stream: str, durable: str, handle: Handle, at_once: int) -> None:
        self._pulls.append(
            Pull(self._client, stream, durable, handle, at_once=at_once, pulse_s=self._pulse_s)
        )

    async def start(self) -> None:
        for pull in self._pulls:
            await pull.start()

    async def stop(self) -> None:
        """Ask for nothing more, finish what runs, give the rest back."""
        await asyncio.gather(*(pull.stop() for pull in self._pulls))

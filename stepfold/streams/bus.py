"""The bus for everybody else: FastStream mounts observing hooks as durable pull consumers.

The only file that knows FastStream. What it would do to messages is switched off (acknowledging,
decoding, declaring streams), because each of those loses or repeats work. The lanes of the loop
pull by themselves (streams/lanes.py, docs/decisions/0012).
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from faststream import AckPolicy
from faststream.nats import JStream, NatsBroker, PullSub

from stepfold.events.envelope import Entry
from stepfold.events.wire import decode
from stepfold.streams.config import STEPS
from stepfold.streams.jetstream import Message, acknowledge, give_back, place

FETCH_S = 5.0
"""A longer standing fetch was deaf for 22 s after a server restart."""
RETRY_S = 5.0
GRACE_S = 5.0

See = Callable[[Entry], Awaitable[None]]
Whole = Callable[[bytes], Awaitable[bytes]]
"""A payload with its event in it, wherever that was kept."""
log = logging.getLogger("stepfold.bus")


class Bus:
    """Mount hooks, then `start`. `broker` is FastStream's own, for middlewares and handlers of a
    user's own.
    """

    def __init__(self, url: str, *, name: str, whole: Whole) -> None:
        self._whole = whole
        self.broker = NatsBroker(
            url,
            name=name,
            logger=None,
            apply_types=False,
            max_reconnect_attempts=-1,
            reconnect_time_wait=1,
            graceful_timeout=GRACE_S,
        )

    def mount(self, durable: str, see: See) -> None:
        """Tell `see` of the steps of the consumer `durable`, one after the other, at least once."""

        async def handle(message: Message) -> None:
            position, at, _ = place(message)
            try:
                payload = await self._whole(message.data)
                await see(decode(message.subject, payload, position=position, at=at))
            except Exception:
                log.exception("observer %r failed at step %d, told again later", durable, position)
                await give_back(message, RETRY_S)
            else:
                await acknowledge(message)

        self.broker.subscriber(
            "steps.>",
            stream=JStream(STEPS, declare=False),
            durable=durable,
            pull_sub=PullSub(batch_size=1, timeout=FETCH_S),
            ack_policy=AckPolicy.MANUAL,
            decoder=_raw,
            no_reply=True,
        )(handle)

    async def start(self) -> None:
        await self.broker.start()

    async def stop(self) -> None:
        await self.broker.stop()


async def _raw(message: Any) -> Message:
    raw: Message = message.raw_message
    return raw

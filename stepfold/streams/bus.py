"""The bus: FastStream mounts a table of lanes as durable pull consumers. The only file that knows it.

FastStream connects, fetches and dispatches; what else it would do to messages is switched off (its
acknowledging, its decoding, its declaring of streams), because each of those loses or repeats work:
a step is acknowledged when it was handled, given back when it was not, kept alive while it runs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from faststream import AckPolicy
from faststream.nats import JStream, NatsBroker, PullSub

from stepfold.events.envelope import Entry
from stepfold.events.names import EventError
from stepfold.events.wire import decode
from stepfold.streams.config import ACK_WAIT_S, STEPS, TIMERS
from stepfold.streams.jetstream import Message, Pulse, acknowledge, give_back, place

FETCH = 64
FETCH_S = 5.0
AT_ONCE = 256
"""How many messages of one lane are handled at once in one process."""
HEARTBEAT_S = ACK_WAIT_S / 3
GRACE_S = 20.0
"""How long a stopping process finishes what it has in hand before it gives it back."""

log = logging.getLogger("stepfold.bus")


class Take(Protocol):
    def __call__(self, entry: Entry, /, *, deliveries: int) -> Awaitable[float | None]:
        """Handle a step: None = acknowledge it, else deliver it again in so many seconds."""
        ...


Due = Callable[[str, str, int], Awaitable[None]]
"""A timer that fired: customer, conversation, turn."""


Handle = Callable[[Message], Awaitable[float | None]]


class Bus:
    """Mount lanes, then `start`; `stop` finishes or gives back what was fetched."""

    def __init__(self, url: str, *, name: str) -> None:
        self._broker = NatsBroker(
            url,
            name=name,
            logger=None,
            apply_types=False,
            max_reconnect_attempts=-1,
            graceful_timeout=1.0,
            reconnect_time_wait=1,
        )
        self._lanes: list[_Lane] = []

    def mount(self, durable: str, take: Take, *, at_once: int = AT_ONCE) -> None:
        """Hand the steps of the consumer `durable` of the stream `steps` to `take`."""

        async def handle(message: Message) -> float | None:
            position, at, deliveries = place(message)
            entry = decode(message.subject, message.data, position=position, at=at)
            return await take(entry, deliveries=deliveries)

        self._mount(STEPS, durable, handle, at_once)

    def mount_timers(self, durable: str, due: Due) -> None:
        async def handle(message: Message) -> float | None:
            _, _, customer, conversation, turn = message.subject.split(".")
            await due(customer, conversation, int(turn))
            return None

        self._mount(TIMERS, durable, handle, AT_ONCE)

    def _mount(self, stream: str, durable: str, handle: Handle, at_once: int) -> None:
        lane = _Lane(durable, handle, at_once)
        self._lanes.append(lane)
        self._broker.subscriber(
            stream=JStream(stream, declare=False),
            subject=f"{stream}.>",
            durable=durable,
            pull_sub=PullSub(batch_size=min(FETCH, at_once), timeout=FETCH_S),
            ack_policy=AckPolicy.MANUAL,
            decoder=_raw,
            no_reply=True,
        )(lane.take)

    async def start(self) -> None:
        await self._broker.start()

    async def stop(self) -> None:
        """Fetch nothing more, finish what runs within GRACE_S, give the rest back."""
        for lane in self._lanes:
            lane.closing = True
        await asyncio.gather(*(lane.drain(GRACE_S) for lane in self._lanes))
        await self._broker.stop()


async def _raw(message: Any) -> Message:
    raw: Message = message.raw_message
    return raw


class _Lane:
    """What one process has in hand of one consumer."""

    def __init__(self, name: str, handle: Handle, at_once: int) -> None:
        self.closing = False
        self._name = name
        self._handle = handle
        self._room = asyncio.Semaphore(at_once)
        self._tasks: set[asyncio.Task[None]] = set()

    async def take(self, message: Message) -> None:
        """Start to handle a message and return at once, so that fetching goes on."""
        await self._room.acquire()
        if self.closing:
            self._room.release()
            await give_back(message, 0)
            return
        task = asyncio.create_task(self._run(message))
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._room.release()
        self._tasks.discard(task)

    async def _run(self, message: Message) -> None:
        pulse = Pulse(message, HEARTBEAT_S)
        try:
            delay_s = await self._handle(message)
        except asyncio.CancelledError:
            await give_back(message, 0)
            raise
        except EventError as error:
            log.error("lane %s: %s", self._name, error)
            delay_s = None
        except Exception:
            log.exception("lane %s: %s could not be handled", self._name, message.subject)
            delay_s = HEARTBEAT_S
        finally:
            pulse.stop()
        await (acknowledge(message) if delay_s is None else give_back(message, delay_s))

    async def drain(self, grace_s: float) -> None:
        if not self._tasks:
            return
        _, running = await asyncio.wait(self._tasks, timeout=grace_s)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

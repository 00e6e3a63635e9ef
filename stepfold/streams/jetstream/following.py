"""Steps as they come, from any position, over any number of connections.

A reader of the whole log spends nearly all of its time per message. So messages come here straight
from the connection, without the object, the queue and the task that nats-py makes of each: an
ordered consumer of our own, with its flow control, its heartbeats and its check for gaps.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from datetime import UTC, datetime

import nats.errors
from nats.aio.msg import Msg
from nats.js import JetStreamContext, api

from stepfold.events.steps import Steps
from stepfold.streams.config import STEPS
from stepfold.streams.jetstream.connection import TIMEOUT_S, Connection, unavailable
from stepfold.streams.jetstream.headers import recorded
from stepfold.streams.jetstream.message import WORDS_WITHOUT_DOMAIN
from stepfold.streams.log import LogUnavailable

LOOK_S = 0.5
"""How often a follower looks whether its connection is still the one it started on."""
HEARTBEAT_S = 2.0
SILENT_S = 3 * HEARTBEAT_S
"""A consumer that has been silent for so long is gone."""
ARRIVED_BYTES_MAX = 64 * 1024 * 1024
"""With more than so much waiting to be taken, the server is let wait."""
POSITION, POSITION_WITH_DOMAIN = 5, 7
"""Which word of a reply subject is the position; the consumer's own number and the time follow."""
log = logging.getLogger("stepfold.nats")


async def following(
    client: Connection, after: int | None, where: str = "steps.>"
) -> AsyncGenerator[Steps, None]:
    """Steps beyond `after` as they come, in batches of what has arrived meanwhile; an empty batch
    when there is nothing more for now.

    A consumer dies with its server: each connection gets its own one.
    """
    js = client.jetstream(timeout=TIMEOUT_S)
    if after is None:
        with unavailable(f"{where} cannot be followed"):
            after = (await js.stream_info(STEPS)).state.last_seq
    while True:
        try:
            async with (
                _consumer(client, js, after, where) as tap,
                aclosing(tap.batches()) as batches,
            ):
                async for batch in batches:
                    yield batch
                    after = batch.positions[-1] if batch else after
        except nats.errors.ConnectionClosedError as error:
            raise LogUnavailable(f"{where} cannot be followed: {error}") from error
        except nats.errors.Error as error:
            log.warning("%s cannot be followed now, trying again: %s", where, error)
            await asyncio.sleep(LOOK_S)


@asynccontextmanager
async def _consumer(
    client: Connection, js: JetStreamContext, after: int, where: str
) -> AsyncIterator[_Tap]:
    inbox = client.new_inbox()
    subscription = await client.subscribe(inbox, cb=_unused)
    tap = client.taps[subscription._id] = _Tap(client)
    try:
        consumer = await js.add_consumer(STEPS, _config(inbox, after, where))
        try:
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise asyncio.CancelledError  # which Python 3.11's `wait_for` may have swallowed
            yield tap
        finally:
            if client.is_connected:  # else its inactivity ends it
                with suppress(nats.errors.Error):
                    await js.delete_consumer(STEPS, consumer.name)
    finally:
        del client.taps[subscription._id]
        with suppress(nats.errors.Error):
            await subscription.unsubscribe()


def _config(inbox: str, after: int, where: str) -> api.ConsumerConfig:
    return api.ConsumerConfig(
        deliver_subject=inbox,
        filter_subject=where,
        deliver_policy=api.DeliverPolicy.BY_START_SEQUENCE,
        opt_start_seq=after + 1,
        ack_policy=api.AckPolicy.NONE,
        max_deliver=1,
        flow_control=True,
        idle_heartbeat=HEARTBEAT_S,
        inactive_threshold=60.0,
        mem_storage=True,
        num_replicas=1,
    )


async def _unused(message: Msg) -> None:
    """The tap takes every message before it would come here."""


class _Arrived:
    """Messages of one consumer as they came, column by column; what they say of themselves stands
    in the subject to reply to.
    """

    def __init__(self) -> None:
        self.subjects: list[bytes] = []
        self.replies: list[bytes] = []
        self.payloads: list[bytes] = []
        self.headers: list[bytes] = []

    def steps(self) -> Steps:
        """Positions without a gap need not be read one by one."""
        if not self.replies:
            return Steps.of(())
        words = self.replies[0].count(b".") + 1
        place = POSITION if words == WORDS_WITHOUT_DOMAIN else POSITION_WITH_DOMAIN
        first, last = (_word(self.replies[index], place) for index in (0, -1))
        positions: Sequence[int] = range(first, last + 1)
        if len(positions) != len(self.replies):
            positions = [_word(reply, place) for reply in self.replies]

        def at(index: int) -> datetime:
            stamp = _word(self.replies[index], place + 2)
            return recorded(self.headers[index]) or datetime.fromtimestamp(stamp / 1e9, UTC)

        return Steps(positions, self.subjects, self.payloads, at)

    def numbers(self) -> tuple[int, int]:
        """The consumer's own numbers of the first and the last message."""
        words = self.replies[0].count(b".") + 1
        place = 1 + (POSITION if words == WORDS_WITHOUT_DOMAIN else POSITION_WITH_DOMAIN)
        return _word(self.replies[0], place), _word(self.replies[-1], place)


def _word(reply: bytes, place: int) -> int:
    return int(reply.split(b".", place + 1)[place])


class _Tap:
    """What a consumer has delivered over one connection and nobody has taken yet."""

    def __init__(self, client: Connection) -> None:
        self._client = client
        self._connections = client.stats["reconnects"]
        self._loop = asyncio.get_running_loop()
        self._heard = self._loop.time()
        self._arrived = _Arrived()
        self._wake = asyncio.Event()
        self._taken = 0
        self._over = False
        self._waiting = ""
        self._idle = False
        self._bytes = 0

    def take(self, subject: bytes, reply: bytes, payload: bytes, headers: bytes) -> None:
        arrived = self._arrived
        arrived.subjects.append(subject)
        arrived.replies.append(reply)
        arrived.payloads.append(payload)
        arrived.headers.append(headers)
        self._bytes += len(payload)
        self._wake.set()

    async def told(self, reply: bytes, headers: bytes) -> None:
        """A heartbeat, or a question whether there is room for more."""
        self._heard = self._loop.time()
        told = self._client._parse_header_lines(headers)
        known = self._taken + len(self._arrived.payloads)
        if told.get("Nats-Last-Consumer", "0") not in ("0", str(known)):
            self._end()  # what it sent last never came
            return
        question = reply.decode() or told.get("Nats-Consumer-Stalled", "")
        self._idle = not question
        self._wake.set()
        if question and self._bytes > ARRIVED_BYTES_MAX:
            self._waiting = question
        elif question:
            await self._answer(question)

    async def _answer(self, question: str) -> None:
        with suppress(nats.errors.Error):  # unanswered, it is asked again with the heartbeat
            await self._client.publish(question)

    async def batches(self) -> AsyncGenerator[Steps, None]:
        """What has arrived, until a gap, silence or another connection ends it."""
        looking = asyncio.create_task(self._look())
        try:
            while not self._over or self._arrived.payloads:
                await self._wake.wait()
                self._wake.clear()
                arrived, self._arrived, self._bytes = self._arrived, _Arrived(), 0
                if self._waiting:
                    question, self._waiting = self._waiting, ""
                    await self._answer(question)
                if not self._follows(arrived):
                    return
                if arrived.payloads or self._idle:
                    self._heard, self._idle = self._loop.time(), False
                    yield arrived.steps()
        finally:
            looking.cancel()

    def _follows(self, arrived: _Arrived) -> bool:
        """Does it go on where the last batch ended, with nothing left out?"""
        begin, self._taken = self._taken + 1, self._taken + len(arrived.payloads)
        return not arrived.payloads or arrived.numbers() == (begin, self._taken)

    async def _look(self) -> None:
        while not self._over:
            await asyncio.sleep(LOOK_S)
            another = self._client.stats["reconnects"] != self._connections
            waits = bool(self._waiting or self._arrived.payloads)
            silent = not waits and self._loop.time() - self._heard > SILENT_S
            if another or silent:
                self._end()

    def _end(self) -> None:
        self._over = True
        self._wake.set()

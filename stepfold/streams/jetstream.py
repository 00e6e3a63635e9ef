"""The log on NATS JetStream: one message per step. The only file that knows nats-py.

Header names are case-sensitive and a wrong one is silently no fence, so they stand here once. A
publish that timed out may still arrive: the id and the fence make trying again safe.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import nats
import nats.errors
import nats.js.errors
from msgspec import Struct
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext, api

from stepfold.events.envelope import Draft, Entry, kind, record
from stepfold.events.names import EventError, conversation_filter, token
from stepfold.events.wire import attach, blob, decode, detach, encode, encode_event, subject
from stepfold.policy.agent import Agent, decode_agent, digest, encode_agent
from stepfold.streams.config import (
    ACK_WAIT_S,
    BLOB_BYTES,
    BLOBS,
    DUPLICATES_S,
    EVENT_BYTES_MAX,
    IN_FLIGHT_MAX,
    STEPS,
    STREAMS,
    TIMERS,
    Durability,
    Stream,
)
from stepfold.streams.log import (
    BATCH,
    AgentUnknown,
    LogConflict,
    LogError,
    LogRefused,
    LogUnavailable,
    Stored,
    chain,
)

MSG_ID = "Nats-Msg-Id"
FENCE = "Nats-Expected-Last-Subject-Sequence"
FENCE_SUBJECT = "Nats-Expected-Last-Subject-Sequence-Subject"
AT = "Stepfold-At"
SCHEDULE = "Nats-Schedule"
SCHEDULE_TARGET = "Nats-Schedule-Target"

Message = Msg
log = logging.getLogger("stepfold.nats")
FULL = frozenset({10023, 10047, 10077})
"""The store has reached its limit."""
CONFLICTS = frozenset({10071, 10164})
"""Somebody else was first; an append to this conversation is under way."""
TIMEOUT_S = 5.0
CONNECT_S = 5.0
RECONNECT_S = 0.2
BLOB_S = 30.0
LOOK_S = 0.5
"""How often a follower looks whether its connection is still the one it started on."""
TRIES = 3
CHECKED = (
    "subjects",
    "storage",
    "retention",
    "discard",
    "allow_direct",
    "allow_msg_schedules",
    "max_msgs_per_subject",
    "max_msgs",
    "max_bytes",
    "max_age",
    "max_msg_size",
    "subject_transform",
    "mirror",
    "sources",
)
"""What a stream must have as we made it: else steps are lost, or fences match nothing."""
DIRECT = "$JS.API.DIRECT.GET."
AWAY = (
    nats.errors.TimeoutError,
    nats.errors.NoRespondersError,
    nats.errors.ConnectionClosedError,
    nats.errors.ConnectionReconnectingError,
    nats.errors.OutboundBufferLimitError,
    nats.js.errors.ServiceUnavailableError,
)


class _Error(Struct, frozen=True):
    code: int = 0
    err_code: int = 0
    description: str = ""


class _Ack(Struct, frozen=True):
    seq: int = 0
    duplicate: bool = False
    error: _Error | None = None


_ack = msgspec.json.Decoder(_Ack)


class Connection(Client):
    """nats-py's client with its header parsing made quick: theirs looks at every character of every
    name, which is a third of the time of reading a log back. Server headers are plain ASCII.

    A killed server forgets what it handed out in its last moments, and hands it out as if for the
    first time: what was stored before `back_at` may have been handled already.
    """

    back_at = datetime.min.replace(tzinfo=UTC)

    @staticmethod
    def _parse_header_lines(raw: bytes) -> dict[str, str]:
        lines = (line.partition(b":") for line in raw.split(b"\r\n"))
        return {
            name.decode("ascii", "replace"): value.strip().decode("utf-8", "replace")
            for name, colon, value in lines
            if colon
        }


@asynccontextmanager
async def connect(
    url: str, *, name: str = "stepfold", within_s: float = CONNECT_S
) -> AsyncIterator[Connection]:
    """A connection that never gives up reconnecting; LogUnavailable when there is no server now."""
    client = Connection()
    told = _Told(client, url)
    try:
        async with asyncio.timeout(within_s):
            await client.connect(
                url,
                name=name,
                max_reconnect_attempts=-1,
                reconnect_time_wait=RECONNECT_S,  # type: ignore[arg-type]
                error_cb=told.error,
                disconnected_cb=told.lost,
                reconnected_cb=told.back,
            )
    except (OSError, nats.errors.Error, TimeoutError) as error:
        why = str(told.last or error) or "timed out"
        raise LogUnavailable(f"no NATS server answers at {url}: {why}") from error
    try:
        yield client
    finally:
        await client.close()


class _Told:
    """What the client tells of its connection: once when it is lost, once when it is back."""

    def __init__(self, client: Connection, url: str) -> None:
        self.last: Exception | None = None
        self._client = client
        self._url = url

    async def error(self, error: Exception) -> None:
        self.last = error
        level = logging.WARNING if self._client.is_connected else logging.DEBUG
        log.log(level, "NATS at %s: %s: %s", self._url, type(error).__name__, error)

    async def lost(self) -> None:
        """A request whose answer cannot come any more fails now, not when its time is over."""
        self._client.back_at = datetime.max.replace(tzinfo=UTC)
        for answer in self._client._resp_map.values():
            if not answer.done():
                answer.set_exception(nats.errors.ConnectionReconnectingError())
        if not self._client.is_closed:
            log.warning("the connection to NATS at %s is lost: trying again", self._url)

    async def back(self) -> None:
        self._client.back_at = datetime.now(UTC)
        log.warning("connected to NATS at %s again", self._url)


async def prepare(client: Client, *, durability: Durability) -> None:
    """Create the streams, or check that those that exist are as they must be."""
    js = client.jetstream(timeout=TIMEOUT_S)
    replicas = 3 if durability == "replicas" else 1
    with _unavailable("the log cannot be prepared (is JetStream on, is there room?)"):
        for stream in STREAMS:
            await _prepare(js, stream, replicas)
        try:
            await js.object_store(BLOBS)
        except nats.js.errors.NotFoundError:
            await js.create_object_store(
                BLOBS, config=api.ObjectStoreConfig(replicas=replicas, storage=api.StorageType.FILE)
            )


@contextmanager
def _unavailable(what: str) -> Iterator[None]:
    try:
        yield
    except (nats.errors.Error, TimeoutError) as error:
        raise LogUnavailable(f"{what}: {error}") from error


async def _prepare(js: JetStreamContext, stream: Stream, replicas: int) -> None:
    wanted = _stream_config(stream, replicas)
    try:
        info = await js.stream_info(stream.name)
    except nats.js.errors.NotFoundError:
        info = await js.add_stream(wanted)
    for field in CHECKED:
        want, has = getattr(wanted, field), getattr(info.config, field)
        if _nothing(want) != _nothing(has):
            raise LogError(
                f"stream {stream.name!r} has {field}={has!r}, stepfold needs {want!r}:"
                f" `nats stream edit {stream.name}`, or use another account"
            )


def _nothing(value: Any) -> Any:
    """No limit is told as None, 0 or -1."""
    return None if value in (None, 0, -1, False) else value


def _stream_config(stream: Stream, replicas: int) -> api.StreamConfig:
    return api.StreamConfig(
        name=stream.name,
        subjects=list(stream.subjects),
        storage=api.StorageType.FILE,
        retention=api.RetentionPolicy.LIMITS,
        compression=api.StoreCompression.S2 if stream.compressed else None,
        allow_direct=True,
        allow_msg_schedules=stream.schedules or None,
        max_msgs_per_subject=1 if stream.last_only else -1,
        discard=api.DiscardPolicy.OLD,
        duplicate_window=DUPLICATES_S,
        num_replicas=replicas,
    )


async def prepare_consumer(
    client: Client,
    stream: str,
    name: str,
    filters: Sequence[str],
    *,
    ack_wait_s: float = ACK_WAIT_S,
) -> None:
    """Create a durable pull consumer, or bring the one that is there up to date."""
    js = client.jetstream(timeout=TIMEOUT_S)
    config = api.ConsumerConfig(
        durable_name=name,
        filter_subjects=list(filters),
        ack_policy=api.AckPolicy.EXPLICIT,
        deliver_policy=api.DeliverPolicy.ALL,
        ack_wait=ack_wait_s,
        max_ack_pending=IN_FLIGHT_MAX,
        max_deliver=-1,
    )
    with _unavailable(f"the consumer {name!r} of the stream {stream!r} cannot be made"):
        await js.add_consumer(stream, config)


class JetStreamLog:
    def __init__(self, client: Client, *, timeout_s: float = TIMEOUT_S, tries: int = TRIES) -> None:
        self._client = client
        self._js = client.jetstream(timeout=timeout_s)
        self._timeout_s = timeout_s
        self._tries = tries
        self._gets = _Gets(client, timeout_s)

    async def append(self, drafts: Sequence[Draft], *, after: int) -> tuple[Entry, ...]:
        entries: list[Entry] = []
        for draft in drafts:
            entries.append(await self._append(draft, after))
            after = entries[-1].position
        return tuple(entries)

    async def _append(self, draft: Draft, after: int) -> Entry:
        at = datetime.now(UTC)
        where = subject(draft)
        payload = encode(draft, at=at, after=after)
        outside = "" if draft.cause else draft.id
        position = await self.append_raw(where, payload, id=outside, after=after)
        if position is not None:
            return record(draft, position=position, at=at, after=after)
        return await self._already(draft, after)

    async def append_raw(
        self, subject: str, payload: bytes, *, id: str, after: int, at: datetime | None = None
    ) -> int | None:
        """Publish a payload that is fenced on `after`: its position, or None when somebody else was
        first or it is already there. With `id` the server, too, recognises a repetition for a
        while: worth its bytes only for what comes from outside, everything else has the fence.
        `at` is for payloads that cannot say when they were recorded.
        """
        if len(payload) > BLOB_BYTES:
            payload = await self._offload(payload, subject)
        words = subject.split(".", 3)
        headers = {
            FENCE: str(after),
            FENCE_SUBJECT: conversation_filter(words[1], words[2]),
        }
        if id:
            headers[MSG_ID] = id
        if at is not None:
            headers[AT] = at.isoformat()
        ack = await self._publish(subject, payload, headers)
        if ack.error is None:
            return ack.seq if not ack.duplicate and ack.seq > after else None
        if ack.error.err_code in CONFLICTS:
            return None
        why = f"{ack.error.description} ({ack.error.err_code})"
        if ack.error.err_code in FULL:
            why = f"its store is full, make room or raise max_file_store: {why}"
        raise LogUnavailable(f"the log did not take {subject}: {why}")

    async def _publish(self, subject: str, payload: bytes, headers: dict[str, str]) -> _Ack:
        for attempt in itertools.count(1):
            try:
                message = await self._client.request(
                    subject, payload, timeout=self._timeout_s, headers=headers
                )
                return _ack.decode(message.data)
            except AWAY as error:
                if attempt >= self._tries:
                    raise LogUnavailable(_away(self._client, error)) from error
            except nats.errors.MaxPayloadError as error:
                size, most = len(payload), self._client.max_payload
                raise LogRefused(
                    f"{subject}: {size} bytes do not fit into one message (the server takes {most})"
                ) from error
        raise AssertionError("unreachable")

    async def _already(self, draft: Draft, after: int) -> Entry:
        """After a refusal: our own step, when it is there after all; else LogConflict.

        When nobody was first, the server remembers the id: then our step stands before `after`.
        """
        tail = await self.read(draft.customer, draft.conversation, after=after)
        for entry in tail or await self.read(draft.customer, draft.conversation):
            if entry.id == draft.id:
                return entry
        last = tail[-1].position if tail else "another position"
        where = f"{draft.customer}/{draft.conversation}"
        raise LogConflict(f"conversation {where} is at {last}, not at {after}")

    async def _offload(self, payload: bytes, subject: str) -> bytes:
        if len(payload) > EVENT_BYTES_MAX:
            raise LogRefused(
                f"{subject}: {len(payload)} bytes are more than a step may have ({EVENT_BYTES_MAX})"
            )
        name = "sha256:" + hashlib.sha256(payload).hexdigest()
        try:
            stub, event = detach(payload, name)
        except msgspec.DecodeError:
            return payload
        with _unavailable(f"the payload of {subject} was not kept"):
            async with asyncio.timeout(BLOB_S):
                store = await self._js.object_store(BLOBS)
                await store.put(name, event)
        return stub

    async def whole(self, payload: bytes) -> bytes:
        """The payload with its event in it, wherever it was kept."""
        name = blob(payload)
        if not name:
            return payload
        with _unavailable(f"{name} cannot be read now"):
            async with asyncio.timeout(BLOB_S):
                store = await self._js.object_store(BLOBS)
                try:
                    found = await store.get(name)
                except nats.js.errors.NotFoundError:
                    return payload
        return attach(payload, found.data or b"null")

    async def read(self, customer: str, conversation: str, *, after: int = 0) -> list[Entry]:
        where = conversation_filter(customer, conversation)
        found = [message async for message in self._gets.all(STEPS, where, after)]
        return list(chain([await self._entry(message) for message in found], after))

    async def _entry(self, message: Msg) -> Entry:
        headers = message.headers or {}
        return decode(
            headers["Nats-Subject"],
            await self.whole(message.data),
            position=int(headers["Nats-Sequence"]),
            at=datetime.fromisoformat(headers.get(AT) or headers["Nats-Time-Stamp"]),
        )

    async def tail(self, customer: str, conversation: str) -> int:
        last = await self._gets.last(STEPS, conversation_filter(customer, conversation))
        return int((last.headers or {})["Nats-Sequence"]) if last else 0

    async def last(self) -> int:
        try:
            info = await self._js.stream_info(STEPS)
        except AWAY as error:
            raise LogUnavailable(_away(self._client, error)) from error
        return int(info.state.last_seq)

    async def scan(
        self, *, after: int = 0, follow: bool = False
    ) -> AsyncIterator[Sequence[Stored]]:
        last = await self.last()
        if not follow and after >= last:
            return
        async with aclosing(_follow(self._client, after)) as batches:
            async for batch in batches:
                for index, stored in enumerate(batch):
                    if blob(stored.payload):
                        batch[index] = stored._replace(payload=await self.whole(stored.payload))
                yield batch
                if not follow and batch[-1].position >= last:
                    return

    async def follow(self, where: str, *, after: int | None = None) -> AsyncGenerator[Entry, None]:
        """The steps on subjects `where` beyond `after` as they come, for ever; None = only new."""
        async with aclosing(_follow(self._client, after, where)) as batches:
            async for batch in batches:
                for stored in batch:
                    payload = await self.whole(stored.payload)
                    try:
                        entry = decode(
                            stored.subject, payload, position=stored.position, at=stored.at
                        )
                    except EventError as error:
                        log.warning("position %d is left out: %s", stored.position, error)
                        continue
                    yield entry

    async def bury(self, entry: Entry, reason: str) -> None:
        event = encode_event(entry.event)
        grave = {
            "position": entry.position,
            "kind": kind(entry.event),
            "id": entry.id,
            "reason": reason,
            "event": msgspec.Raw(event if len(event) <= BLOB_BYTES else b"null"),
        }
        headers = {MSG_ID: f"dead-{entry.position}"}
        where = f"dead.{entry.customer}.{entry.conversation}"
        ack = await self._publish(where, msgspec.json.encode(grave), headers)
        if ack.error:
            raise LogUnavailable(f"{where} was not kept: {ack.error.description}")


class _Gets:
    """Direct reads of a stream: all steps of a subject beyond a position, or the last one."""

    def __init__(self, client: Client, timeout_s: float) -> None:
        self._client = client
        self._timeout_s = timeout_s
        self._inbox = client.new_inbox()
        self._numbers = itertools.count()
        self._waiting: dict[str, _Answer] = {}
        self._subscribed: asyncio.Future[None] | None = None

    async def all(self, stream: str, where: str, after: int) -> AsyncIterator[Msg]:
        pending = 1
        while pending:
            request = {"batch": BATCH, "seq": after + 1, "next_by_subj": where}
            messages, pending = await self._ask(stream, request, one=False)
            for message in messages:
                yield message
            if not messages:
                return
            after = int((messages[-1].headers or {})["Nats-Sequence"])

    async def last(self, stream: str, where: str) -> Msg | None:
        messages, _ = await self._ask(stream, {"last_by_subj": where}, one=True)
        return messages[0] if messages else None

    async def _ask(
        self, stream: str, request: dict[str, Any], *, one: bool
    ) -> tuple[list[Msg], int]:
        await self._subscribe()
        name = str(next(self._numbers))
        answer = self._waiting[name] = _Answer(one=one)
        try:
            await self._client.publish(
                DIRECT + stream, msgspec.json.encode(request), reply=f"{self._inbox}.{name}"
            )
            await asyncio.wait_for(answer.done, self._timeout_s)
        except (*AWAY, TimeoutError) as error:
            raise LogUnavailable(_away(self._client, error)) from error
        finally:
            del self._waiting[name]
        return answer.messages, answer.pending

    async def _subscribe(self) -> None:
        if self._subscribed is None:
            self._subscribed = asyncio.ensure_future(self._listen())
        try:
            await asyncio.shield(self._subscribed)
        except nats.errors.Error as error:
            self._subscribed = None
            raise LogUnavailable(_away(self._client, error)) from error

    async def _listen(self) -> None:
        await self._client.subscribe(
            f"{self._inbox}.*", cb=self._on_message, pending_msgs_limit=-1, pending_bytes_limit=-1
        )

    async def _on_message(self, message: Msg) -> None:
        answer = self._waiting.get(message.subject.rpartition(".")[2])
        if answer is not None:
            answer.take(message)


class _Answer:
    def __init__(self, *, one: bool) -> None:
        self.messages: list[Msg] = []
        self.pending = 0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._one = one

    def take(self, message: Msg) -> None:
        headers = message.headers or {}
        status = headers.get("Status")
        if status is None:
            self.messages.append(message)
        if status is not None or self._one:
            self.pending = int(headers.get("Nats-Num-Pending", 0)) if status == "204" else 0
            if status in (None, "204", "404"):
                self._end(None)
            else:
                self._end(LogUnavailable(f"the log cannot be read: {headers}"))

    def _end(self, error: Exception | None) -> None:
        if self.done.done():
            return
        if error:
            self.done.set_exception(error)
        else:
            self.done.set_result(None)


async def _follow(
    client: Client, after: int | None, where: str = "steps.>"
) -> AsyncGenerator[list[Stored], None]:
    """Steps beyond `after` as they come, in batches of what has arrived meanwhile.

    A consumer dies with its server, and nats-py may take 20 s to find out: each connection gets its
    own one.
    """
    js = client.jetstream(timeout=TIMEOUT_S)
    if after is None:
        after = (await js.stream_info(STEPS)).state.last_seq
    while True:
        try:
            async with aclosing(_follow_while_connected(client, js, after, where)) as batches:
                async for batch in batches:
                    yield batch
                    after = batch[-1].position
        except nats.errors.ConnectionClosedError:
            raise
        except nats.errors.Error as error:
            log.warning("%s cannot be followed now, trying again: %s", where, error)
            await asyncio.sleep(LOOK_S)


async def _follow_while_connected(
    client: Client, js: JetStreamContext, after: int, where: str
) -> AsyncGenerator[list[Stored], None]:
    arrived: list[Stored] = []
    wake = asyncio.Event()
    connections = client.stats["reconnects"]

    async def on_message(message: Msg) -> None:
        position, at, _ = place(message)
        if message.headers and AT in message.headers:
            at = datetime.fromisoformat(message.headers[AT])
        arrived.append(Stored(position, message.subject, message.data, at))
        wake.set()

    async def look() -> None:
        while client.stats["reconnects"] == connections:
            await asyncio.sleep(LOOK_S)
        wake.set()

    subscription = await js.subscribe(
        where,
        stream=STEPS,
        cb=on_message,
        ordered_consumer=True,
        pending_msgs_limit=-1,
        pending_bytes_limit=-1,
        config=api.ConsumerConfig(
            deliver_policy=api.DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=after + 1,
            mem_storage=True,
        ),
    )
    looking = asyncio.create_task(look())
    try:
        while not looking.done():
            await wake.wait()
            wake.clear()
            batch, arrived = arrived, []
            if batch:
                yield batch
    finally:
        looking.cancel()
        with suppress(nats.errors.ConnectionClosedError):
            await subscription.unsubscribe()


def place(message: Msg) -> tuple[int, datetime, int]:
    """(position, server's time, deliveries so far) of a delivered message, from its reply subject."""
    words = message.reply.split(".")
    start = 4 if len(words) == 9 else 6
    deliveries, position, _, stamp = words[start : start + 4]
    return int(position), datetime.fromtimestamp(int(stamp) / 1e9, UTC), int(deliveries)


async def acknowledge(message: Msg) -> None:
    """Done with it. A lost acknowledgement costs a redelivery, which finds nothing left to do."""
    with suppress(nats.errors.Error):
        await message.ack()


async def give_back(message: Msg, delay_s: float) -> None:
    """Let it be delivered again in `delay_s` seconds."""
    with suppress(nats.errors.Error):
        await message.nak(delay=max(delay_s, 0.001))


class Pulse:
    """Tells the server, every `every_s`, that a message is still being worked on."""

    def __init__(self, message: Msg, every_s: float) -> None:
        self._message = message
        self._every_s = every_s
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None
        self._timer = self._loop.call_later(every_s, self._beat)

    def _beat(self) -> None:
        self._task = self._loop.create_task(self._tell())
        self._timer = self._loop.call_later(self._every_s, self._beat)

    async def _tell(self) -> None:
        with suppress(nats.errors.Error):
            await self._message.in_progress()

    def stop(self) -> None:
        self._timer.cancel()


def _away(client: Client, error: Exception) -> str:
    where = client.connected_url.netloc if client.connected_url else "nowhere"
    what = "connected" if client.is_connected else "not connected"
    if client.is_connected and isinstance(error, TimeoutError):
        what += ", but it does not answer: is its disk full? see its log"
    return f"the log is away ({what}, server {where}): {type(error).__name__} {error}".rstrip()


class JetStreamAgents:
    def __init__(self, client: Client) -> None:
        self._js = client.jetstream(timeout=TIMEOUT_S)
        self._gets = _Gets(client, TIMEOUT_S)

    async def put(self, agent: Agent) -> str:
        name = digest(agent)
        where = "agents." + name.replace(":", "-")
        if await self._gets.last("agents", where) is None:
            with _unavailable(f"agent {agent.name!r} was not kept"):
                await self._js.publish(where, encode_agent(agent), stream="agents")
        return name

    async def get(self, digest: str) -> Agent:
        found = await self._gets.last("agents", "agents." + digest.replace(":", "-"))
        if found is None:
            raise AgentUnknown(f"no agent with digest {digest} was ever kept in this log")
        return decode_agent(found.data)


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
        with _unavailable(f"the timer {where} was not set"):
            await self._js.publish(f"timers.set.{where}", b"", stream=TIMERS, headers=headers)

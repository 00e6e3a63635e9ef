"""The log on NATS JetStream: one message per step.

A publish that timed out may still arrive: the id and the fence make trying again safe.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import UTC, datetime

import msgspec
import nats.errors
import nats.js.errors
from msgspec import Struct
from nats.aio.msg import Msg

from stepfold.events.envelope import Draft, Entry, kind, record
from stepfold.events.names import EventError, conversation_filter, split_subject, token
from stepfold.events.steps import Stored
from stepfold.events.traces import caller
from stepfold.events.wire import (
    BLOB,
    UNFIT,
    attach,
    blob,
    decode,
    detach,
    encode,
    encode_event,
    subject,
)
from stepfold.streams.config import BLOB_BYTES, BLOBS, EVENT_BYTES_MAX, STEPS
from stepfold.streams.jetstream.connection import (
    AWAY,
    TIMEOUT_S,
    Connection,
    away,
    log,
    unavailable,
)
from stepfold.streams.jetstream.following import following
from stepfold.streams.jetstream.gets import Gets
from stepfold.streams.jetstream.headers import (
    AT,
    FENCE,
    FENCE_SUBJECT,
    MSG_ID,
    TRACEPARENT,
    moment,
)
from stepfold.streams.log import (
    NOWHERE,
    LogConflict,
    LogRefused,
    LogUnavailable,
    Tail,
    chain,
)

FULL = frozenset({10023, 10047, 10077})
"""The store has reached its limit."""
CONFLICTS = frozenset({10071, 10164})
"""Somebody else was first; an append to this conversation is under way."""
BLOB_S = 30.0
TRIES = 3


class _Error(Struct, frozen=True):
    code: int = 0
    err_code: int = 0
    description: str = ""


class _Ack(Struct, frozen=True):
    seq: int = 0
    duplicate: bool = False
    error: _Error | None = None


_ack = msgspec.json.Decoder(_Ack)


class JetStreamLog:
    def __init__(
        self, client: Connection, *, timeout_s: float = TIMEOUT_S, tries: int = TRIES
    ) -> None:
        self._client = client
        self._js = client.jetstream(timeout=timeout_s)
        self._timeout_s = timeout_s
        self._tries = tries
        self._gets = Gets(client, timeout_s)

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
        position = await self.append_raw(where, payload, id=outside, after=after, trace=draft.trace)
        if position is not None:
            return record(draft, position=position, at=at, after=after)
        return await self._already(draft, after)

    async def append_raw(
        self,
        subject: str,
        payload: bytes,
        *,
        id: str,
        after: int,
        at: datetime | None = None,
        trace: str = "",
    ) -> int | None:
        """Publish a payload that is fenced on `after`: its position, or None when somebody else was
        first or it is already there. With `id` the server, too, recognises a repetition for a
        while: worth its bytes only for what comes from outside, everything else has the fence.
        `at` is for payloads that cannot say when they were recorded. `trace` goes along for those
        who follow the log; what is no `traceparent` does not.
        """
        if len(payload) > BLOB_BYTES:
            payload = await self._offload(payload, subject)
        headers = _fence(subject, after)
        if id:
            headers[MSG_ID] = id
        if at is not None:
            headers[AT] = at.isoformat()
        if caller(trace):
            headers[TRACEPARENT] = trace.strip()
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
                    raise LogUnavailable(away(self._client, error)) from error
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
        except UNFIT:
            return payload
        with unavailable(f"the payload of {subject} was not kept"):
            async with asyncio.timeout(BLOB_S):
                store = await self._js.object_store(BLOBS)
                await store.put(name, event)
        return stub

    async def whole(self, payload: bytes) -> bytes:
        """The payload with its event in it, wherever it was kept."""
        name = blob(payload)
        if not name:
            return payload
        with unavailable(f"{name} cannot be read now"):
            async with asyncio.timeout(BLOB_S):
                store = await self._js.object_store(BLOBS)
                try:
                    found = await store.get(name)
                except nats.js.errors.NotFoundError:
                    return payload
        try:
            return attach(payload, found.data or b"null")
        except UNFIT:  # a stranger's: decoding says what is wrong with it
            return payload

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
            at=moment(headers.get(AT, "")) or datetime.fromisoformat(headers["Nats-Time-Stamp"]),
        )

    async def tail(self, customer: str, conversation: str) -> Tail:
        found = await self._gets.last(STEPS, conversation_filter(customer, conversation))
        if found is None:
            return NOWHERE
        headers = found.headers or {}
        return Tail(int(headers["Nats-Sequence"]), headers["Nats-Subject"].split(".", 3)[3])

    async def locate(self, conversation: str) -> tuple[str, ...]:
        """The customers who have a conversation of this name."""
        where = f"{STEPS}.*.{token('conversation', conversation)}.>"
        with unavailable("the log cannot be searched"):
            info = await self._js.stream_info(STEPS, subjects_filter=where)
        return tuple(sorted({split_subject(each)[0] for each in info.state.subjects or {}}))

    async def last(self) -> int:
        try:
            info = await self._js.stream_info(STEPS)
        except AWAY as error:
            raise LogUnavailable(away(self._client, error)) from error
        return int(info.state.last_seq)

    async def scan(
        self, *, after: int = 0, follow: bool = False
    ) -> AsyncGenerator[Sequence[Stored], None]:
        last = await self.last()
        if not follow and after >= last:
            return
        async with aclosing(following(self._client, after)) as batches:
            async for batch in batches:
                payloads = batch.payloads
                for index in [i for i, payload in enumerate(payloads) if BLOB in payload]:
                    payloads[index] = await self.whole(payloads[index])
                if batch:
                    yield batch
                if not follow and (not batch or batch.positions[-1] >= last):
                    return

    async def follow(self, where: str, *, after: int | None = None) -> AsyncGenerator[Entry, None]:
        """The steps on subjects `where` beyond `after` as they come, for ever; None = only new."""
        async with aclosing(following(self._client, after, where)) as batches:
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


def _fence(subject: str, after: int) -> dict[str, str]:
    _, customer, conversation, _ = subject.split(".", 3)
    return {FENCE: str(after), FENCE_SUBJECT: conversation_filter(customer, conversation)}

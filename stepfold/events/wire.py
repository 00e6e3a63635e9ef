"""Steps as bytes: one JSON object per step, read back for ever.

The address (customer, conversation, kind) is the subject; everything else is in the payload.
`decode` never raises for what is inside a payload: what cannot be read becomes an `Unreadable`, so
that one bad message cannot hide the others.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw, Struct
from msgspec.structs import replace

from stepfold.events.envelope import Draft, Entry, is_id, kind, tag
from stepfold.events.event import Event, Unreadable
from stepfold.events.names import split_subject, step_subject

ENVELOPE_VERSION = 1
RAW_BYTES_MAX = 64 * 1024
UNKNOWN = -1
"""`after` of a step whose payload cannot be read."""

UNFIT = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for a payload that is not ours: text that is none, nesting without end."""

Upcaster = Callable[[dict[str, Any]], dict[str, Any]]

UPCASTERS: Mapping[str, Upcaster] = {}
"""Old tag to a function that gives the event in its next version's form, `type` included."""


class Envelope(Struct, frozen=True, omit_defaults=True):
    id: str
    at: Annotated[datetime, Meta(tz=True)]
    after: int
    event: Raw
    cause: str = ""
    by: str = ""
    trace: str = ""
    v: int = ENVELOPE_VERSION
    blob: str = ""


class _Kind(Struct, frozen=True):
    type: str


BLOB = b'"blob":"sha256:'
"""Stands in every payload whose event is in a blob, and in few others."""
_BLOB = re.compile(BLOB[:-7] + rb'(sha256:[0-9a-f]{64})"\}$')
_BLOB_CHARS = len(BLOB) + 64 + len('"}')

_encoder = msgspec.json.Encoder(decimal_format="string")
_envelope = msgspec.json.Decoder(Envelope)
_event: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)
_kind = msgspec.json.Decoder(_Kind)

TAGS: Mapping[str, type] = {str(member.__struct_config__.tag): member for member in Event.__args__}
KINDS = frozenset(name.partition("/")[0] for name in TAGS)


def encode(draft: Draft, *, at: datetime, after: int) -> bytes:
    """The payload of a step that is fenced on position `after`."""
    return _encoder.encode(
        Envelope(
            id=draft.id,
            at=at,
            after=after,
            event=Raw(_encoder.encode(draft.event)),
            cause=draft.cause,
            by=draft.by,
            trace=draft.trace,
        )
    )


def encode_event(event: Event) -> bytes:
    return _encoder.encode(event)


def detach(payload: bytes, blob: str) -> tuple[bytes, bytes]:
    """(the payload with its event replaced by a reference to `blob`, the event's bytes)."""
    envelope = _envelope.decode(payload)
    stub = Raw(_encoder.encode(_kind.decode(envelope.event)))
    return _encoder.encode(replace(envelope, event=stub, blob=blob)), bytes(envelope.event)


def attach(payload: bytes, event: bytes) -> bytes:
    """The payload as it was before `detach`."""
    return _encoder.encode(replace(_envelope.decode(payload), event=Raw(event), blob=""))


def blob(payload: bytes) -> str:
    """The name of the blob that holds this payload's event; empty when it is all here."""
    found = (
        _BLOB.search(payload, len(payload) - _BLOB_CHARS) if len(payload) > _BLOB_CHARS else None
    )
    return found.group(1).decode() if found else ""


def subject(draft: Draft) -> str:
    return step_subject(draft.customer, draft.conversation, kind(draft.event))


def decode(
    subject: str, payload: bytes, *, position: int, at: datetime, after: int = UNKNOWN
) -> Entry:
    """The step at `position`. `at` and `after` stand in only where the payload cannot be read.

    EventError when the subject is not a step's.
    """
    customer, conversation, word = split_subject(subject)
    try:
        envelope = _envelope.decode(payload)
    except UNFIT as error:
        event: Event = Unreadable(
            kind=word, reason=f"malformed: {error}", raw=payload[:RAW_BYTES_MAX], known=False
        )
        envelope = Envelope(id="", at=at, after=after, event=Raw(b"null"))
    else:
        event = _read_envelope(word, envelope, payload)
    return Entry(
        id=envelope.id,
        customer=customer,
        conversation=conversation,
        event=event,
        cause=envelope.cause,
        by=envelope.by,
        trace=envelope.trace,
        position=position,
        at=envelope.at,
        after=envelope.after,
    )


def _read_envelope(word: str, envelope: Envelope, payload: bytes) -> Event:
    if envelope.v > ENVELOPE_VERSION:
        reason = f"envelope version {envelope.v} is newer than ours ({ENVELOPE_VERSION})"
        return Unreadable(kind=word, reason=reason, raw=payload[:RAW_BYTES_MAX], known=True)
    if envelope.after < 0:
        reason = f"malformed: it says that it follows {envelope.after}"
        return Unreadable(kind=word, reason=reason, raw=payload[:RAW_BYTES_MAX])
    if envelope.blob:
        reason = f"its event is in blob {envelope.blob}, which is not in the object store"
        return Unreadable(kind=word, reason=reason, raw=payload[:RAW_BYTES_MAX])
    if not is_id(envelope.id):
        reason = f"malformed: id {envelope.id!r} is not a UUID"
        return Unreadable(kind=word, reason=reason, raw=payload[:RAW_BYTES_MAX])
    event = decode_event(bytes(envelope.event))
    if isinstance(event, Unreadable) or kind(event) == word:
        return event
    reason = f"malformed: subject says {word!r}, payload says {tag(event)!r}"
    return Unreadable(kind=word, reason=reason, raw=payload[:RAW_BYTES_MAX])


def decode_event(raw: bytes, upcasters: Mapping[str, Upcaster] = UPCASTERS) -> Event:
    """The event in `raw`, brought up to today's version; an `Unreadable` when that cannot be."""
    try:
        return _event.decode(raw)
    except UNFIT as error:
        return _upcast(raw, upcasters, str(error))


def _upcast(raw: bytes, upcasters: Mapping[str, Upcaster], reason: str) -> Event:
    try:
        name = _kind.decode(raw).type
        if name in TAGS:
            return Unreadable(kind=name, reason=f"malformed: {reason}", raw=raw[:RAW_BYTES_MAX])
        if name not in upcasters:
            return _unknown(name, raw)
        form = msgspec.json.decode(raw)
        while name in upcasters:
            form = upcasters[name](form)
            name = form["type"]
        event: Event = msgspec.convert(form, Event, strict=False)
        return event
    except (*UNFIT, KeyError, TypeError) as error:
        return Unreadable(kind="", reason=f"malformed: {error}", raw=raw[:RAW_BYTES_MAX])


def _unknown(name: str, raw: bytes) -> Unreadable:
    ours = name.partition("/")[0] in KINDS
    reason = (
        f"kind {name!r} is from a newer version of stepfold: upgrade this worker"
        if ours
        else f"kind {name!r} is unknown to this version of stepfold"
    )
    return Unreadable(kind=name, reason=reason, raw=raw[:RAW_BYTES_MAX], known=ours)

"""Steps as bytes. What is inside a payload never raises: one bad message cannot hide the others."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepfold.events.envelope import Entry, first, record
from stepfold.events.event import MessageReceived, Unreadable
from stepfold.events.names import EventError
from stepfold.events.wire import (
    ENVELOPE_VERSION,
    RAW_BYTES_MAX,
    UNKNOWN,
    attach,
    blob,
    decode,
    decode_event,
    detach,
    encode,
    subject,
)
from stepfold.testing import HELLO

AT = datetime(2026, 1, 1, 9, tzinfo=UTC)
ARRIVED = datetime(2026, 1, 1, 10, tzinfo=UTC)
DRAFT = first("acme", "c1", HELLO, by="web", key="m1")
SUBJECT = "steps.acme.c1.message.received"


def payload(**changes: Any) -> bytes:
    form = msgspec.json.decode(encode(DRAFT, at=AT, after=3))
    return msgspec.json.encode({**form, **changes})


def read(raw: bytes, on: str = SUBJECT) -> Entry:
    return decode(on, raw, position=4, at=ARRIVED)


def unreadable(raw: bytes, on: str = SUBJECT) -> Unreadable:
    event = read(raw, on).event
    assert isinstance(event, Unreadable)
    return event


def test_a_step_is_read_as_it_was_written() -> None:
    raw = encode(DRAFT, at=AT, after=3)

    assert read(raw, subject(DRAFT)) == record(DRAFT, position=4, at=AT, after=3)


def test_the_address_is_the_subject_and_not_in_the_payload() -> None:
    assert subject(DRAFT) == SUBJECT
    assert msgspec.json.decode(encode(DRAFT, at=AT, after=3)) == {
        "id": DRAFT.id,
        "at": "2026-01-01T09:00:00Z",
        "after": 3,
        "by": "web",
        "event": {
            "type": "message.received/1",
            "text": "When does the branch open?",
            "contact": "ada",
            "message": "m1",
        },
    }


def test_a_field_that_we_do_not_know_yet_is_passed_over() -> None:
    assert read(payload(mood="sunny")).event == HELLO


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff{",
        b"null",
        b"{}",
        b'{"id":"x"',
        payload(at="yesterday"),
        payload(at="2026-01-01T09:00:00"),
        payload(event={"type": "tool.returned/1", "result": []}),
    ],
)
def test_a_malformed_payload_is_kept_as_it_is(raw: bytes) -> None:
    event = unreadable(raw)

    assert event.reason.startswith("malformed: ")
    assert not event.known


def test_a_payload_without_an_envelope_stands_at_the_time_of_its_arrival() -> None:
    entry = read(b"junk")

    assert (entry.id, entry.at, entry.after, entry.position) == ("", ARRIVED, UNKNOWN, 4)
    assert entry.key == ("acme", "c1")
    assert isinstance(entry.event, Unreadable)
    assert (entry.event.kind, entry.event.raw) == ("message.received", b"junk")


def test_nesting_without_end_is_malformed() -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    event = b'{"type":"tool.returned/1","call":"c","turn":1,"result":%s}' % deep

    assert isinstance(decode_event(event), Unreadable)
    assert unreadable(b'{"id":"x","event":%s}' % deep).reason.startswith("malformed")


def test_bytes_that_are_no_text_are_malformed() -> None:
    assert isinstance(decode_event(b'{"type":"message.received/1","text":"\xff"}'), Unreadable)


def test_an_id_that_is_none_is_malformed() -> None:
    assert unreadable(payload(id="m1")).reason == "malformed: id 'm1' is not a UUID"


def test_a_kind_on_the_subject_of_another_is_malformed() -> None:
    event = unreadable(payload(), on="steps.acme.c1.tool.requested")

    assert event.kind == "tool.requested"
    assert "subject says 'tool.requested'" in event.reason
    assert "payload says 'message.received/1'" in event.reason


def test_a_kind_that_nobody_knows_is_unreadable() -> None:
    event = unreadable(payload(event={"type": "dance.danced/1"}), on="steps.acme.c1.dance.danced")

    assert not event.known
    assert event.reason == "kind 'dance.danced/1' is unknown to this version of stepfold"


def test_a_kind_from_the_future_may_be_read_by_a_newer_worker() -> None:
    event = unreadable(payload(event={"type": "message.received/2", "said": "x"}))

    assert event.known
    assert "is from a newer version of stepfold: upgrade this worker" in event.reason


def test_an_envelope_from_the_future_may_be_read_by_a_newer_worker() -> None:
    event = unreadable(payload(v=ENVELOPE_VERSION + 1))

    assert event.known
    assert event.reason == f"envelope version {ENVELOPE_VERSION + 1} is newer than ours (1)"


def test_a_known_kind_with_a_missing_field_is_malformed_not_from_the_future() -> None:
    event = unreadable(payload(event={"type": "message.received/1"}))

    assert not event.known
    assert "missing required field `text`" in event.reason


def test_only_the_beginning_of_a_large_payload_is_kept() -> None:
    assert len(unreadable(b"x" * (RAW_BYTES_MAX + 1)).raw) == RAW_BYTES_MAX


def test_a_subject_that_is_no_steps_is_an_error_of_the_caller() -> None:
    with pytest.raises(EventError):
        decode("news.acme", payload(), position=1, at=AT)


@given(st.binary(max_size=200))
def test_no_payload_raises(raw: bytes) -> None:
    assert isinstance(read(raw).event, Unreadable)


@given(st.text())
def test_any_text_comes_back(text: str) -> None:
    draft = first("acme", "c1", MessageReceived(text), by="web", key="m1")

    assert read(encode(draft, at=AT, after=0)).event == MessageReceived(text)


# -- events that are too large for a message ----------------------------------------------------

BLOB = "sha256:" + "ab" * 32


def test_an_event_can_be_kept_elsewhere_and_put_back() -> None:
    whole = encode(DRAFT, at=AT, after=3)

    stub, event = detach(whole, BLOB)

    assert decode_event(event) == HELLO
    assert len(stub) < len(whole) + len(BLOB) + 10
    assert attach(stub, event) == whole


def test_only_a_step_whose_event_is_elsewhere_names_a_blob() -> None:
    whole = encode(DRAFT, at=AT, after=3)
    saying = first("acme", "c1", MessageReceived(f'"blob":"{BLOB}"}}'), by="web", key="m1")

    assert blob(detach(whole, BLOB)[0]) == BLOB
    assert blob(whole) == ""
    assert blob(b"{}") == ""
    assert blob(encode(saying, at=AT, after=3)) == ""


def test_an_event_whose_blob_is_gone_is_unreadable_and_says_which() -> None:
    stub, _ = detach(encode(DRAFT, at=AT, after=3), BLOB)

    event = unreadable(stub)

    assert event.reason == f"its event is in blob {BLOB}, which is not in the object store"
    assert not event.known


def test_a_step_that_claims_to_follow_nothing_that_can_be_is_malformed() -> None:
    assert unreadable(payload(after=-1)).reason == "malformed: it says that it follows -1"

"""Ids derive from what caused a step, so that deciding twice names the same thing twice."""

from __future__ import annotations

from datetime import UTC, datetime

from stepfold.events.envelope import Draft, first, follow, is_id, kind, record, tag
from stepfold.events.event import MessageReceived, ResponseDelivered
from stepfold.testing import ASKED, HELLO, LOOK_UP, RESPONDED

CAUSE = first("acme", "c1", HELLO, by="web", key="m1")


def test_the_same_message_from_outside_is_the_same_step() -> None:
    again = first("acme", "c1", MessageReceived("another text"), by="slack", key="m1")

    assert again.id == CAUSE.id


def test_another_key_conversation_customer_or_kind_is_another_step() -> None:
    others = [
        first("acme", "c1", HELLO, by="web", key="m2"),
        first("acme", "c2", HELLO, by="web", key="m1"),
        first("apex", "c1", HELLO, by="web", key="m1"),
        first("acme", "c1", RESPONDED, by="web", key="m1"),
    ]

    assert len({CAUSE.id, *(other.id for other in others)}) == 5


def test_what_follows_carries_the_address_the_cause_and_the_trace() -> None:
    cause = Draft(id=CAUSE.id, customer="acme", conversation="c1", event=HELLO, trace="00-ab-cd-01")

    (step,) = follow(cause, "agent", (ASKED,))

    assert (step.customer, step.conversation, step.event) == ("acme", "c1", ASKED)
    assert (step.cause, step.by, step.trace) == (CAUSE.id, "agent", "00-ab-cd-01")
    assert is_id(step.id)


def test_what_follows_has_the_same_id_whenever_and_wherever_it_is_decided() -> None:
    both = follow(CAUSE, "agent", (ASKED, LOOK_UP))

    assert follow(CAUSE, "agent", (LOOK_UP,))[0].id == both[1].id


def test_another_author_call_turn_or_kind_gives_another_id() -> None:
    delivered = ResponseDelivered(1, "web")
    drafts = [
        *follow(CAUSE, "agent", (ASKED, LOOK_UP, RESPONDED, delivered)),
        *follow(CAUSE, "tool", (LOOK_UP,)),
        *follow(CAUSE, "agent", (ResponseDelivered(2, "web"),)),
    ]

    assert len({draft.id for draft in drafts}) == 6


def test_ids_are_as_they_were_when_the_first_log_was_written() -> None:
    assert CAUSE.id == "d6e15cb0-e710-521b-b4ff-4d150737c078"
    assert follow(CAUSE, "agent", (ASKED,))[0].id == "351d8a4e-5e5a-593b-b056-6c851b5e7495"


def test_a_recorded_step_knows_its_place_and_its_conversation() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)

    entry = record(CAUSE, position=7, at=at, after=5)

    assert (entry.position, entry.at, entry.after) == (7, at, 5)
    assert entry.key == ("acme", "c1")
    assert (entry.id, entry.event, entry.by) == (CAUSE.id, HELLO, "web")


def test_a_kind_is_the_tag_without_its_version() -> None:
    assert (tag(LOOK_UP), kind(LOOK_UP)) == ("tool.requested/1", "tool.requested")


def test_an_id_is_a_uuid_in_its_own_spelling() -> None:
    assert is_id(CAUSE.id)
    assert not is_id(CAUSE.id.upper())
    assert not is_id("c1")

"""A reply as the log gives it back: written as an event, encoded, decoded."""

from __future__ import annotations

from datetime import UTC, datetime

from msgspec.structs import replace

from stepfold.events.envelope import first
from stepfold.events.event import Reasoned
from stepfold.events.transcript import Thought
from stepfold.events.wire import decode, encode, subject
from stepfold.handlers.prompt import reasoned
from stepfold.providers.model import Reply
from stepfold.testing import ASKED

AT = datetime(2026, 1, 1, tzinfo=UTC)


def written(reply: Reply, call: str = "r1") -> Reasoned:
    return reasoned(replace(ASKED, call=call), reply, elapsed_ms=1)


def read(event: Reasoned) -> Reasoned:
    draft = first("acme", "c1", event, by="reason", key=event.call)
    entry = decode(subject(draft), encode(draft, at=AT, after=3), position=4, at=AT)
    assert isinstance(entry.event, Reasoned)
    return entry.event


def thought(reply: Reply, call: str = "r1") -> Thought:
    event = read(written(reply, call))
    return Thought(event.parts, event.state)

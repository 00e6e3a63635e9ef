"""The envelope around an event: who, where and why; and, once recorded, where in the log.

Ids derive from what caused them (`follow`), so that deciding twice names the same thing twice.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import datetime

from msgspec import Struct

from stepfold.events.event import Event

NAMESPACE = uuid.UUID("6f7a3f1e-51f3-5c55-9d7e-57e9f01d0b0c")


class Draft(Struct, frozen=True, kw_only=True):
    """A step about to be appended. `cause` is the id of the step it follows from, or empty."""

    id: str
    customer: str
    conversation: str
    event: Event
    cause: str = ""
    by: str = ""
    trace: str = ""


class Entry(Draft, frozen=True, kw_only=True):
    """A recorded step. `after` is the position it was fenced on: its predecessor's, 0 if first."""

    position: int
    at: datetime
    after: int

    @property
    def key(self) -> tuple[str, str]:
        return self.customer, self.conversation


def kind(event: Event) -> str:
    """`noun.verb`, without the version: the last two tokens of the subject."""
    return tag(event).partition("/")[0]


def tag(event: Event) -> str:
    return str(type(event).__struct_config__.tag)


def first(customer: str, conversation: str, event: Event, *, by: str, key: str) -> Draft:
    """A step that nothing recorded caused: its id derives from `key`, the outside's own name of it.

    The same key in the same conversation is the same step, however often it arrives.
    """
    name = f"{customer}/{conversation}/{kind(event)}/{key}"
    made = str(uuid.uuid5(NAMESPACE, name))
    return Draft(id=made, customer=customer, conversation=conversation, event=event, by=by)


def follow(cause: Draft, by: str, events: Iterable[Event]) -> list[Draft]:
    """The steps that follow from `cause`: ids = uuid5(cause, by, kind, call or turn).

    An index would not do: after a crash between two appends the second is the first one missing.
    """
    return [
        Draft(
            id=str(uuid.uuid5(uuid.UUID(cause.id), f"{by}/{kind(event)}/{_handle(event)}")),
            customer=cause.customer,
            conversation=cause.conversation,
            event=event,
            cause=cause.id,
            by=by,
            trace=cause.trace,
        )
        for event in events
    ]


def record(draft: Draft, *, position: int, at: datetime, after: int) -> Entry:
    return Entry(
        id=draft.id,
        customer=draft.customer,
        conversation=draft.conversation,
        event=draft.event,
        cause=draft.cause,
        by=draft.by,
        trace=draft.trace,
        position=position,
        at=at,
        after=after,
    )


def _handle(event: Event) -> str:
    return str(getattr(event, "call", "") or getattr(event, "turn", ""))


def is_id(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False

"""Whether people agree to a call, as a fold over what they say."""

from __future__ import annotations

from msgspec.structs import replace

from stepfold.events.event import (
    ApprovalDenied,
    ApprovalExpired,
    ApprovalGranted,
    ApprovalRequested,
)
from stepfold.projections.state import Agreement, Conversation


def agree(
    state: Conversation,
    event: ApprovalRequested | ApprovalGranted | ApprovalDenied | ApprovalExpired,
) -> Conversation:
    """What does not fit the call that waits, by turn or digest, changes nothing."""
    turn = state.turn
    if turn is None or turn.number != event.turn:
        return state
    asked = turn.agreements.get(event.call)
    if isinstance(event, ApprovalRequested):
        known = any(call.call == event.call for call in turn.wanted)
        now = Agreement(event) if asked is None and known else asked
    else:
        now = _agreed(asked, event) if asked is not None and asked.pending else asked
    if now is None or now is asked:
        return state
    return replace(state, turn=replace(turn, agreements={**turn.agreements, event.call: now}))


def _agreed(
    asked: Agreement, event: ApprovalGranted | ApprovalDenied | ApprovalExpired
) -> Agreement:
    if isinstance(event, ApprovalExpired):
        return replace(asked, refused=f"nobody approved it within {asked.request.expires_s:g} s")
    if event.digest != asked.request.digest or not event.person:
        return asked
    if isinstance(event, ApprovalDenied):
        why = f": {event.reason}" if event.reason else ""
        return replace(asked, refused=f"{event.person} denied it{why}")
    if any(same_person(event.person, each) for each in asked.people):
        return asked
    return replace(asked, people=(*asked.people, event.person))


def same_person(one: str, other: str) -> bool:
    """Two spellings of a name are one person."""
    return " ".join(one.split()).casefold() == " ".join(other.split()).casefold()

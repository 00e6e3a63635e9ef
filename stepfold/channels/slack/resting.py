"""Whether an agent is at rest, and whether a conversation has gone on since. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from stepfold.events.envelope import Entry, kind
from stepfold.handlers.states import Known, advance


def is_busy(known: Known) -> bool:
    """Whether the agent has something to do now, and does not only wait for people."""
    state = known.state
    if state.stopped or state.unreadable:
        return False
    if state.turn is None:
        return bool(state.unheard)
    return not waits_for_people(known)


def waits_for_people(known: Known) -> bool:
    turn = known.state.turn
    if turn is None or turn.thinking or turn.expired:
        return False
    left = {call.call for call in turn.wanted} - turn.settled
    return bool(left) and left <= {request.call for request in turn.pending}


def went_on(entries: Sequence[Entry], part: int, kinds: Collection[str]) -> bool:
    """Whether a later part than the one that begins at position `part` has begun: with a step of
    these kinds after the agent was at rest.
    """
    known = advance(Known(), [each for each in entries if each.position <= part])
    for each in entries:
        if each.position <= part:
            continue
        if not is_busy(known) and kind(each.event) in kinds:
            return True
        known = advance(known, (each,))
    return False

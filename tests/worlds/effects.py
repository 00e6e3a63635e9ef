"""The laws of effects and of agreement. They count by what the far side has done and by the steps
in the log, in their own way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from msgspec import Struct

from stepfold.events.envelope import Entry
from stepfold.events.event import (
    ApprovalDenied,
    ApprovalExpired,
    ApprovalGranted,
    ApprovalRequested,
    Event,
    Reasoned,
    ReasonRequested,
    ResponseGiven,
    RetrievalFailed,
    RetrievalReturned,
    ToolFailed,
    ToolRefused,
    ToolRequested,
    ToolReturned,
    ToolStarted,
    ToolUnknown,
    TurnAbandoned,
    TurnCancelled,
)
from stepfold.events.values import Arguments, ToolCall
from stepfold.handlers.work import DELIVERIES_MAX, RECOVERIES_MAX
from stepfold.policy.effect import Recovery
from stepfold.policy.grant import Approval
from stepfold.tools.tool import ToolSpec

if TYPE_CHECKING:
    from tests.worlds.world import World

Entries = Sequence[Entry]
LOST = "it had started when its worker died"
OVER = "its turn is over"
ENDS = (ResponseGiven, TurnAbandoned, TurnCancelled)
OUTCOMES = (ToolReturned, ToolFailed, ToolRefused, ToolUnknown)


class Told(Struct, frozen=True):
    """A requested call, how often it started, what its outcome says, and what was done of it."""

    request: Entry
    spec: ToolSpec | None
    rule: Recovery
    started: int
    outcome: Event | None
    runs: int
    done: int


def repeats(world: World, name: str) -> bool:
    """May a call of this tool run more than once?"""
    spec = world.plan.specs.get(name)
    return spec is not None and (spec.effect == "read" or _rule(world, name) != "never_repeat")


def an_outcome_says_what_was_done(
    world: World, conversation: str, entries: Entries
) -> Iterator[str]:
    for call, told in _calls(world, conversation, entries).items():
        what = type(told.outcome).__name__
        if told.spec is None or told.spec.effect == "read":
            continue
        match told.outcome:
            case ToolReturned():
                if told.done != 1:
                    yield f"{call} of {told.spec.name} returned, it was done {told.done} times"
            case ToolFailed() | ToolRefused():
                if told.done:
                    yield f"{call} of {told.spec.name} is {what}, it was done {told.done} times"
            case _ if told.done > 1:
                yield f"{call} of {told.spec.name} is {what}, it was done {told.done} times"


def what_must_never_repeat_is_asked_once(
    world: World, conversation: str, entries: Entries
) -> Iterator[str]:
    for call, told in _calls(world, conversation, entries).items():
        if told.spec is None or repeats(world, told.spec.name):
            continue
        if told.runs > 1 or told.started > 1:
            yield f"{call} of {told.spec.name} started {told.started} times, ran {told.runs} times"


def what_is_idempotent_is_done_unless_it_is_given_up(
    world: World, conversation: str, entries: Entries
) -> Iterator[str]:
    for call, told in _calls(world, conversation, entries).items():
        if told.rule != "idempotent" or not isinstance(told.outcome, ToolUnknown):
            continue
        deliveries = world.deliveries[told.request.position]
        most = DELIVERIES_MAX + 1 if told.outcome.reason.startswith(LOST) else RECOVERIES_MAX
        bug = told.outcome.reason.startswith("RuntimeError: ")
        over = told.outcome.reason.endswith(OVER) and _over(entries, told.outcome)
        if not (bug or over) and deliveries < most:
            yield f"{call} is unknown after {deliveries} deliveries: {told.outcome.reason}"


def nothing_is_done_without_agreement(
    world: World, conversation: str, entries: Entries
) -> Iterator[str]:
    """Of those who had to agree, or were asked: to this call, with these arguments, in time."""
    for entry in entries:
        event = entry.event
        if not isinstance(event, ToolRequested):
            continue
        asked = _asked(entries, event.call)
        people = max(_needed(world, entries, event), asked.people if asked else 0)
        if people and not _agreed(entries, asked, event, people, late=world.plan.trouble > 0):
            yield f"{event.call} of {event.name} is requested without agreement of {people}"
    for call in _refused(entries):
        if world.runs[f"acme/{conversation}/{call}"]:
            yield f"{call} was denied or came too late, and it ran"


# -- the calls ------------------------------------------------------------------------------------


def _calls(world: World, conversation: str, entries: Entries) -> Mapping[str, Told]:
    outcomes = {e.event.call: e.event for e in entries if isinstance(e.event, OUTCOMES)}
    starts = [e.event.call for e in entries if isinstance(e.event, ToolStarted)]
    return {
        event.call: Told(
            entry,
            world.plan.specs.get(event.name),
            _rule(world, event.name),
            starts.count(event.call),
            outcomes.get(event.call),
            world.runs[f"acme/{conversation}/{event.call}"],
            world.far.done[f"acme/{conversation}/{event.call}"],
        )
        for entry in entries
        if isinstance(event := entry.event, ToolRequested)
    }


def _rule(world: World, name: str) -> Recovery:
    grant = world.plan.agent.grants.get(name)
    return grant.recovery if grant else "never_repeat"


def _over(entries: Entries, outcome: ToolUnknown) -> bool:
    """Had its turn ended before?"""
    for entry in entries:
        if entry.event is outcome:
            return False
        if isinstance(entry.event, ENDS) and entry.event.turn == outcome.turn:
            return True
    return False


# -- who agrees -----------------------------------------------------------------------------------


def _asked(entries: Entries, call: str) -> ApprovalRequested | None:
    asked = (e.event for e in entries if isinstance(e.event, ApprovalRequested))
    return next((event for event in asked if event.call == call), None)


def _agreed(
    entries: Entries,
    asked: ApprovalRequested | None,
    event: ToolRequested,
    people: int,
    *,
    late: bool,
) -> bool:
    """Where trouble lets time pass between a person's look and their word, that may come `late`."""
    if asked is None or (asked.name, asked.arguments) != (event.name, event.arguments):
        return False
    said: set[str] = set()
    due = datetime.min.replace(tzinfo=UTC)
    for entry in entries:
        match entry.event:
            case ToolRequested(call=call) if call == event.call:
                return len(said) >= people and event.approval == asked.digest
            case ApprovalRequested(call=call) if call == event.call:
                due = entry.at + timedelta(seconds=asked.expires_s)
            case ApprovalGranted(call=call, digest=digest) if call == event.call:
                right = digest == asked.digest and (late or entry.at <= due)
                said |= {entry.event.person} if right else set()
            case ApprovalDenied(call=call, digest=digest) if call == event.call:
                if digest == asked.digest and len(said) < people:
                    return False
            case ApprovalExpired(call=call) if call == event.call and len(said) < people:
                return False
            case _:
                continue
    return False


def _refused(entries: Entries) -> Iterator[str]:
    """Calls to which somebody said no, or nobody said enough, before it was complete."""
    said: dict[str, set[str]] = {}
    asked: dict[str, ApprovalRequested] = {}
    for entry in entries:
        match entry.event:
            case ApprovalRequested(call=call):
                asked[call], said[call] = entry.event, set()
            case ApprovalGranted(call=call, digest=digest, person=person) if call in asked:
                said[call] |= {person} if digest == asked[call].digest else set()
            case ApprovalDenied(call=call, digest=digest) if call in asked:
                if digest == asked[call].digest and len(said[call]) < asked[call].people:
                    yield call
            case ApprovalExpired(call=call) if call in asked:
                if len(said[call]) < asked[call].people:
                    yield call
            case _:
                continue


def _needed(world: World, entries: Entries, event: ToolRequested) -> int:
    """How many people must agree to it, as its grant is written."""
    grant = world.plan.agent.grants.get(event.name)
    if grant is None:
        return 0
    if grant.approval is not None and not _excused(grant.approval, event.arguments):
        return grant.approval.people
    if grant.effect != "read" and not grant.safe and _strange(world, entries, event.call):
        return grant.approval.people if grant.approval else 1
    return 0


def _excused(rule: Approval, arguments: Arguments) -> bool:
    """The worlds know one exception: `n` is 1."""
    return bool(rule.unless) and arguments.get("n") == 1


def _strange(world: World, entries: Entries, call: str) -> bool:
    """Had a stranger's words come back before the model was asked that wanted this?"""
    ask = next(
        entry.event.call
        for entry in entries
        if isinstance(entry.event, Reasoned)
        and any(isinstance(part, ToolCall) and part.call == call for part in entry.event.parts)
    )
    names: dict[str, str] = {}
    for entry in entries:
        match entry.event:
            case ReasonRequested(call=asked) if asked == ask:
                return False
            case ToolRequested(call=called, name=name):
                names[called] = name
            case ToolReturned(call=called) | ToolFailed(call=called) | ToolUnknown(call=called):
                grant = world.plan.agent.grants.get(names[called])
                if grant is not None and not grant.trusted:
                    return True
            case RetrievalReturned() | RetrievalFailed() if not world.plan.agent.trusted:
                return True
            case _:
                continue
    return False

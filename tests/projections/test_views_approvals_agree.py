"""A law: whatever happens to a question, the view `approvals` tells of it what the fold says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import replace

from stepfold.events.event import (
    ApprovalDenied,
    ApprovalExpired,
    ApprovalGranted,
    ApprovalRequested,
    ConversationStopped,
    Event,
    Reasoned,
    ResponseGiven,
    TurnAbandoned,
    TurnCancelled,
)
from stepfold.events.values import ToolCall
from stepfold.projections.conversation import evolve
from stepfold.projections.state import EMPTY, Agreement, Conversation
from stepfold.projections.views import Views
from stepfold.testing import ASKED, HELLO, STARTED
from tests.projections.made import Stored, stored

CALLS = ("r1.1", "r1.2")
BOTH = Reasoned("r1", 1, "scripted", tuple(ToolCall(call, "refund", {}) for call in CALLS))
ENDS = (
    TurnCancelled(1, "asked to"),
    TurnAbandoned(1, "time"),
    ResponseGiven(1, "Done."),
    ConversationStopped("poison"),
)
OF_ANOTHER_TURN = TurnCancelled(2, "asked to")
WANTED = (STARTED, HELLO, ASKED, BOTH)


class Told(Struct, frozen=True):
    """What is said of one question."""

    status: str
    granted_by: tuple[str, ...] = ()
    denied_by: str | None = None


# -- what the fold says --------------------------------------------------------------------------


def folded(events: Sequence[Event]) -> dict[str, Told]:
    """Of each question that the fold took up: as it stood when its turn or the conversation ended,
    or as it stands.
    """
    state, told = EMPTY, dict[str, Told]()
    for event in events:
        before, state = state, evolve(state, event)
        if before.turn is not None and (state.turn is None or state.stopped):
            return told | {call: replace(told[call], status="void") for call in _waiting(before)}
        agreements = state.turn.agreements if state.turn else {}
        told |= {
            call: _told(agreement, told.get(call), event) for call, agreement in agreements.items()
        }
    return told


def _waiting(state: Conversation) -> Iterator[str]:
    return (request.call for request in state.turn.pending) if state.turn else iter(())


def _told(agreement: Agreement, before: Told | None, event: Event) -> Told:
    people = tuple(sorted(agreement.people))
    if agreement.complete:
        return Told("granted", people)
    if agreement.pending:
        return Told("waiting", people)
    if before is not None and before.status != "waiting":
        return before
    if isinstance(event, ApprovalDenied):
        return Told("denied", people, event.person)
    return Told("expired", people)


# -- what the view says --------------------------------------------------------------------------


class Shown:
    """Views into which conversations are folded, some at a time."""

    def __init__(self, views: Views) -> None:
        self._views = views
        self._position = 0

    def of(self, *conversations: Sequence[Event]) -> list[dict[str, Told]]:
        begin, steps, names = self._position, list[Stored](), list[str]()
        for events in conversations:
            names.append(f"v{self._position}")
            steps += stored(events, conversation=names[-1], position=self._position + 1)
            self._position += len(events)
        self._views.fold(steps)
        sql = f"SELECT * FROM approvals WHERE position > {begin}"
        rows: list[dict[str, Any]] = self._views.query(sql).table.to_pylist()
        return [
            {row["call"]: _row(row) for row in rows if row["conversation"] == name}
            for name in names
        ]


def _row(row: dict[str, Any]) -> Told:
    return Told(row["status"], tuple(row["granted_by"]), row["denied_by"])


# -- the law -----------------------------------------------------------------------------------

people = st.sampled_from(["Ann", "ann", " ANN ", "bob", ""])
digests = st.sampled_from(["sha256:1", "sha256:1", "sha256:2"])
calls = st.sampled_from([*CALLS[:1] * 3, *CALLS])
turns = st.sampled_from([1, 1, 1, 1, 2])
questions = st.builds(
    ApprovalRequested,
    call=calls,
    turn=st.just(1),
    name=st.just("refund"),
    arguments=st.just({}),
    digest=st.just("sha256:1"),
    reason=st.just("always"),
    expires_s=st.just(60.0),
    people=st.integers(1, 2),
)
answers = st.one_of(
    st.builds(ApprovalGranted, call=calls, turn=turns, digest=digests, person=people),
    st.builds(ApprovalGranted, call=calls, turn=turns, digest=digests, person=people),
    st.builds(ApprovalDenied, call=calls, turn=turns, digest=digests, person=people),
    st.builds(ApprovalExpired, call=calls, turn=turns),
)
steps: st.SearchStrategy[Event] = st.one_of(
    questions, answers, answers, answers, st.sampled_from([*ENDS, OF_ANOTHER_TURN])
)


def once(events: Sequence[Event]) -> list[Event]:
    """A call is asked about once, in a turn that runs: who decides sees what is missing, and its
    appends are fenced.
    """
    kept: list[Event] = []
    for event in events:
        if not isinstance(event, ApprovalRequested) or _may_be_asked(event.call, kept):
            kept.append(event)
    return kept


def _may_be_asked(call: str, before: Sequence[Event]) -> bool:
    asked = any(isinstance(each, ApprovalRequested) and each.call == call for each in before)
    return not asked and not any(each in ENDS for each in before)


conversations = (
    st.lists(steps, min_size=2, max_size=12).map(once).map(lambda happened: [*WANTED, *happened])
)


QUESTION = ApprovalRequested("r1.1", 1, "refund", {}, "sha256:1", "always", 60.0)
ANN = ApprovalGranted("r1.1", 1, "sha256:1", "Ann")
DENIED = ApprovalDenied("r1.1", 1, "sha256:1", "bob")
PAST_APPROVALS: list[list[Event]] = [
    [ANN, QUESTION],
    [QUESTION, ANN, replace(ANN, person="bob")],
    [QUESTION, replace(DENIED, person="")],
    [QUESTION, replace(DENIED, digest="sha256:2"), ANN],
    [ApprovalExpired("r1.1", 1), QUESTION],
    [QUESTION, replace(ANN, turn=2), replace(DENIED, turn=2)],
    [QUESTION, ConversationStopped("poison"), ANN],
]
"""What was published by another way than `Approvals`, which would have refused it."""


def test_the_view_says_of_every_question_what_the_fold_says(views: Views) -> None:
    shown = Shown(views)

    @example([[*WANTED, *each] for each in PAST_APPROVALS])
    @settings(max_examples=20, deadline=None)
    @given(st.lists(conversations, min_size=5, max_size=30))
    def law(some: list[list[Event]]) -> None:
        assert shown.of(*some) == [folded(events) for events in some]

    law()

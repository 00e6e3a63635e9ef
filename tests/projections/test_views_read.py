"""What each view shows of a conversation, and that all agree with a plain count in Python."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import pytest

from stepfold.events import wire
from stepfold.events.envelope import Entry, kind
from stepfold.events.event import (
    ConversationStarted,
    ConversationStopped,
    Event,
    Generated,
    GenerationRequested,
    MessageReceived,
    Reasoned,
    ReasonFailed,
    ReasonRequested,
    ResponseGiven,
    RetrievalFailed,
    RetrievalRequested,
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
from stepfold.events.values import Citation, Part, Passage, RefusedCitation, Text, ToolCall, Usage
from stepfold.projections.conversation import replay
from stepfold.projections.views import Views
from tests.projections.made import DIGEST, log, stored

Row = dict[str, Any]
Show = Callable[[Sequence[Event], str], list[Row]]

STARTED = ConversationStarted("help-desk", DIGEST, contact="ann", channel="chat")
HELLO = MessageReceived("hello", message="m1")
ASKED = ReasonRequested("r1", 1, "gpt-x", heard=1)
USAGE = Usage(100, 20, 60, 5, raw={"prompt_tokens": 100})
ANSWERED = Reasoned("r1", 1, "gpt-x", (Text("hi"),), usage=USAGE, cost_usd=Decimal("0.0000001"))
GIVEN = ResponseGiven(1, "hi")


@pytest.fixture
def show(views: Views) -> Show:
    """The rows of a query over one conversation."""

    def shown(events: Sequence[Event], sql: str) -> list[Row]:
        views.fold(stored(events))
        found: list[Row] = views.query(sql).table.to_pylist()
        return found

    return shown


@pytest.mark.parametrize(
    ("events", "state"),
    [
        ((STARTED,), "at rest"),
        ((STARTED, HELLO), "running"),
        ((STARTED, HELLO, ASKED), "running"),
        ((STARTED, HELLO, ASKED, ANSWERED), "running"),
        ((STARTED, HELLO, ASKED, ANSWERED, GIVEN), "at rest"),
        ((STARTED, HELLO, ASKED, HELLO, ANSWERED, GIVEN), "running"),
        ((STARTED, HELLO, ASKED, TurnCancelled(1, "by the contact")), "at rest"),
        ((STARTED, HELLO, ASKED, HELLO, TurnAbandoned(1, "time")), "running"),
        ((STARTED, HELLO, TurnAbandoned(1, "model")), "at rest"),
        ((STARTED, GenerationRequested("g1", "label", {}, {}, "m")), "running"),
        (
            (
                STARTED,
                GenerationRequested("g1", "label", {}, {}, "m"),
                Generated("g1", {}, "m"),
            ),
            "at rest",
        ),
        ((STARTED, HELLO, ConversationStopped("poison")), "stopped"),
    ],
)
def test_a_conversation_is_running_while_somebody_owes_it_a_step(
    show: Show, events: tuple[Event, ...], state: str
) -> None:
    assert show(events, "SELECT state FROM conversations") == [{"state": state}]


def test_a_conversation_shows_what_it_was_started_with(show: Show) -> None:
    (row,) = show((STARTED, HELLO), "FROM conversations")

    assert (row["agent"], row["digest"], row["contact"]) == ("help-desk", DIGEST, "ann")
    assert (row["channel"], row["origin"], row["cost_usd"]) == ("chat", None, None)


@pytest.mark.parametrize(
    ("last", "outcome", "reason"),
    [
        (ANSWERED, "running", None),
        (GIVEN, "answered", None),
        (TurnAbandoned(1, "steps", "too many"), "abandoned", "steps"),
        (TurnCancelled(1, "by the contact"), "cancelled", "by the contact"),
    ],
)
def test_a_turn_ends_with_an_answer_or_a_reason(
    show: Show, last: Event, outcome: str, reason: str | None
) -> None:
    (row,) = show((HELLO, ASKED, last), "FROM turns")

    assert (row["turn"], row["outcome"], row["reason"]) == (1, outcome, reason)
    assert row["elapsed_ms"] == (None if outcome == "running" else 1000.0)


def test_what_comes_after_the_end_of_a_turn_does_not_change_how_it_ended(show: Show) -> None:
    events = (HELLO, ASKED, TurnCancelled(1, "late"), ANSWERED, TurnAbandoned(1, "time"))

    (row,) = show(events, "FROM turns")

    assert (row["outcome"], row["reason"]) == ("cancelled", "late")
    assert row["cost_usd"] == Decimal("0.0000001")


def test_a_message_belongs_to_the_turn_that_heard_it(show: Show) -> None:
    events = (
        MessageReceived("one"),
        ReasonRequested("r1", 1, "m", heard=1),
        MessageReceived("two"),
        MessageReceived("three"),
        ResponseGiven(1, "first"),
        ReasonRequested("r2", 2, "m", heard=2),
        ReasonFailed("r2", 2, "m", "timeout"),
        ReasonRequested("r3", 2, "m", attempt=2),
        TurnAbandoned(2, "model"),
        MessageReceived("four"),
        TurnAbandoned(3, "model"),
        MessageReceived("five"),
    )

    rows = show(events, "SELECT turn, role, text FROM messages ORDER BY position")

    assert [tuple(row.values()) for row in rows] == [
        (1, "contact", "one"),
        (2, "contact", "two"),
        (2, "contact", "three"),
        (1, "agent", "first"),
        (3, "contact", "four"),
        (None, "contact", "five"),
    ]


def test_a_model_call_shows_tokens_exact_cost_and_what_the_provider_sent(show: Show) -> None:
    (row,) = show((ASKED, ANSWERED), "FROM model_calls")

    assert (row["outcome"], row["finish"], row["attempt"]) == ("finished", "stop", 1)
    assert (row["input_tokens"], row["output_tokens"]) == (100, 20)
    assert (row["cached_tokens"], row["thinking_tokens"]) == (60, 5)
    assert row["cost_usd"] == Decimal("0.0000001")
    assert '"prompt_tokens":100' in row["usage"]


def test_a_model_call_without_an_outcome_is_running(show: Show) -> None:
    (row,) = show((ASKED,), "FROM model_calls")

    assert (row["outcome"], row["model"], row["cost_usd"]) == ("running", "gpt-x", None)


def test_a_generation_is_a_model_call_with_its_task(show: Show) -> None:
    events = (
        GenerationRequested("g1", "label", {"text": "a"}, {}, "m"),
        Generated("g1", {"label": "b"}, "m", Usage(9, 1), Decimal("0.5"), 12.0),
        GenerationRequested("g2", "label", {"text": "a"}, {}, "m"),
    )

    rows = show(events, "SELECT task, turn, outcome, cost_usd FROM model_calls ORDER BY position")

    assert [tuple(row.values()) for row in rows] == [
        ("label", None, "finished", Decimal("0.5")),
        ("label", None, "running", None),
    ]


def test_a_cost_that_is_not_known_is_null_and_counted_never_zero(show: Show) -> None:
    events = (
        ASKED,
        Reasoned("r1", 1, "m", (Text("a"),), usage=USAGE),
        ReasonRequested("r2", 1, "m"),
        ReasonFailed("r2", 1, "m", "refused", usage=USAGE),
        ReasonRequested("r3", 1, "m"),
        ReasonFailed("r3", 1, "m", "timeout"),
    )

    (row,) = show(events, "FROM cost_by_model")

    assert row["cost_usd"] is None
    assert (row["calls"], row["failed"], row["unpriced"]) == (3, 2, 2)


def test_a_cost_finer_than_a_float_can_hold_is_summed_exactly(show: Show) -> None:
    priced = [
        Reasoned(f"r{n}", 1, "m", (Text("a"),), cost_usd=Decimal("0.100000000001"))
        for n in range(1, 4)
    ]

    (row,) = show(priced, "FROM cost_by_day")

    assert row["cost_usd"] == Decimal("0.300000000003")


REQUEST = ToolRequested("t1", 1, "book", {"seat": 1})
START = ToolStarted("t1", 1, "w1")


@pytest.mark.parametrize(
    ("events", "status", "reason", "result"),
    [
        ((REQUEST,), "requested", None, None),
        ((REQUEST, START), "running", None, None),
        ((REQUEST, START, ToolReturned("t1", 1, {"ok": 1})), "returned", None, '{"ok":1}'),
        ((REQUEST, START, ToolReturned("t1", 1, None)), "returned", None, "null"),
        ((REQUEST, START, ToolFailed("t1", 1, "full")), "failed", "full", None),
        ((REQUEST, START, ToolUnknown("t1", 1, "died")), "unknown", "died", None),
        ((ToolRefused("t1", 1, "book", "not allowed"),), "refused", "not allowed", None),
    ],
)
def test_a_tool_call_shows_how_far_it_came(
    show: Show, events: tuple[Event, ...], status: str, reason: str | None, result: str | None
) -> None:
    (row,) = show(events, "FROM tool_calls")

    assert (row["name"], row["status"]) == ("book", status)
    assert (row["reason"], row["result"]) == (reason, result)
    assert row["arguments"] == (None if status == "refused" else '{"seat":1}')


def test_a_refused_call_shows_what_the_model_wanted(show: Show) -> None:
    calls: tuple[Part, ...] = (
        Text("So."),
        ToolCall("r1.1", "book", {"seat": 1}),
        ToolCall("r1.2", "book", {"seat": 2}),
    )
    events = (
        Reasoned("r1", 1, "gpt-x", calls, finish="tool_calls"),
        ToolRefused("r1.2", 1, "book", "not allowed"),
        ToolRequested("r1.1", 1, "book", {"seat": 9}),
    )

    rows = show(events, "SELECT call, status, arguments FROM tool_calls ORDER BY call")

    assert [tuple(row.values()) for row in rows] == [
        ("r1.1", "requested", '{"seat":9}'),
        ("r1.2", "refused", '{"seat":2}'),
    ]


def test_a_retrieval_shows_how_much_it_found_and_how_good_it_was(show: Show) -> None:
    passages = tuple(Passage("d", "D", DIGEST, 0, 1, "a", score) for score in (1.5, 7.25, 3.0))
    events = (
        RetrievalRequested("s1", 1, "fees", ("help",), 3),
        RetrievalReturned("s1", 1, passages, 4.5),
        RetrievalRequested("s2", 1, "none", ("help",), 3),
        RetrievalReturned("s2", 1, (), 1.0),
        RetrievalRequested("s3", 1, "gone", ("help",), 3),
        RetrievalFailed("s3", 1, "no index"),
        RetrievalRequested("s4", 1, "soon", ("help",), 3),
    )

    rows = show(
        events,
        "SELECT query, status, passages, best_score, reason FROM retrievals ORDER BY position",
    )

    assert [tuple(row.values()) for row in rows] == [
        ("fees", "returned", 3, 7.25, None),
        ("none", "returned", 0, None, None),
        ("gone", "failed", None, None, "no index"),
        ("soon", "requested", None, None, None),
    ]


def test_citations_are_shown_whether_accepted_or_refused(show: Show) -> None:
    good, bad = Citation("a.md", DIGEST, 3, 7, "fees"), Citation("b.md", DIGEST, 0, 1, "x")
    given = ResponseGiven(1, "fees", (good,), (RefusedCitation(bad, "not there"),))

    rows = show((given,), "FROM citations ORDER BY document")

    assert [(row["document"], row["accepted"], row["reason"]) for row in rows] == [
        ("a.md", True, None),
        ("b.md", False, "not there"),
    ]
    assert (rows[0]["span_start"], rows[0]["span_end"], rows[0]["quote"]) == (3, 7, "fees")


STEPS = log(5, 200)
ENTRIES = [wire.decode(s, p, position=n, at=at) for n, s, p, at in STEPS]


def _by_key() -> dict[tuple[str, str], list[Entry]]:
    found: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    for entry in ENTRIES:
        found[entry.key].append(entry)
    return found


def test_counts_by_conversation_agree_with_python(views: Views) -> None:
    views.fold(STEPS)

    table = views.query("FROM conversations").table.to_pylist()

    assert len(table) == len(_by_key())
    for row in table:
        entries = _by_key()[row["customer"], row["conversation"]]
        kinds = Counter(kind(entry.event) for entry in entries)
        assert row["steps"] == len(entries)
        assert row["messages"] == kinds["message.received"] + kinds["response.given"]
        assert row["tool_calls"] == kinds["tool.requested"]
        assert row["started_at"] == entries[0].at.replace(tzinfo=None)


def test_state_and_spending_agree_with_the_fold(views: Views) -> None:
    views.fold(STEPS)

    for row in views.query("FROM conversations").table.to_pylist():
        entries = _by_key()[row["customer"], row["conversation"]]
        state = replay(entry.event for entry in entries)
        busy = state.turn is not None or bool(state.unheard) or bool(state.jobs)
        expected = "stopped" if state.stopped else "running" if busy else "at rest"
        assert (row["state"], row["turns"]) == (expected, state.turns)
        assert (row["cost_usd"] or 0) == state.spent_usd

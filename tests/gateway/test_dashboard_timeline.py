"""A conversation as turns and moves."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from stepfold.events.envelope import Entry
from stepfold.events.event import (
    ApprovalDenied,
    ApprovalRequested,
    ConversationStarted,
    Event,
    FeedbackGiven,
    MessageReceived,
    Reasoned,
    ReasonFailed,
    ReasonRequested,
    ResponseGiven,
    RetrievalRequested,
    RetrievalReturned,
    ToolRefused,
    ToolRequested,
    ToolReturned,
    ToolStarted,
    ToolUnknown,
    TurnAbandoned,
)
from stepfold.events.values import Choice, Citation, Passage, Spend, Text, ToolCall, Usage
from stepfold.events.wire import decode
from stepfold.gateway.dashboard.moves import slices_of
from stepfold.gateway.dashboard.parts import Move, Note, Said, Slice
from stepfold.gateway.dashboard.timeline import turns_of
from tests.projections.made import BEGIN, stored

HELLO = MessageReceived("Where is it?", contact="ada", message="m1")
ASKED = ReasonRequested("r1", 1, "m", ("look", "pay"), heard=1)
CALLS = (ToolCall("r1.1", "look", {}), ToolCall("r1.2", "close", {}))
ANSWERED = Reasoned("r1", 1, "m", (Text("Here."),), usage=Usage(9, 2), cost_usd=Decimal("0.01"))
GIVEN = ResponseGiven(1, "Here.")


def entries(*events: Event) -> list[Entry]:
    """A second apart."""
    return [
        decode(subject, raw, position=position, at=at)
        for position, subject, raw, at in stored(events)
    ]


def moves(*events: Event) -> list[Move]:
    return [
        item for turn in turns_of(entries(*events)) for item in turn.items if isinstance(item, Move)
    ]


def test_what_is_under_one_call_is_one_move_where_its_first_step_is() -> None:
    (turn,) = turns_of(entries(HELLO, ASKED, ANSWERED, GIVEN))

    assert [type(item) for item in turn.items] == [Said, Move, Said]
    (move,) = moves(HELLO, ASKED, ANSWERED, GIVEN)
    assert [type(step.event) for step in move.steps] == [ReasonRequested, Reasoned]
    assert (move.title, move.status, move.tone) == ("m", "answers", "good")
    assert (move.elapsed_ms, move.offset_ms) == (1_000, 0)


def test_a_turn_says_how_it_ended_how_long_it_took_and_what_it_cost() -> None:
    (turn,) = turns_of(entries(HELLO, ASKED, ANSWERED, GIVEN))

    assert (turn.number, turn.outcome, turn.tone) == (1, "answered", "good")
    assert turn.elapsed_ms == 2_000
    assert (turn.cost_usd, turn.unpriced) == (Decimal("0.01"), 0)


def test_a_message_stands_in_front_of_the_turn_that_hears_it() -> None:
    second = MessageReceived("And now?", message="m2")
    asked = ReasonRequested("r2", 2, "m", heard=1)

    turns = turns_of(entries(HELLO, ASKED, ANSWERED, GIVEN, second, asked))

    assert [turn.number for turn in turns] == [1, 2]
    assert isinstance(turns[1].items[0], Said)
    assert turns[1].items[0].text == "And now?"
    assert (turns[1].outcome, turns[1].elapsed_ms) == ("running", None)


def test_a_turn_that_was_given_up_says_so() -> None:
    failed = ReasonFailed("r1", 1, "openai/m", "timeout", "10 s", provider="openai")

    (turn,) = turns_of(entries(HELLO, ASKED, failed, TurnAbandoned(1, "model", "m: timeout")))

    assert (turn.outcome, turn.tone) == ("given up", "bad")
    assert (turn.cost_usd, turn.unpriced) == (None, 1)
    note = turn.items[-1]
    assert isinstance(note, Note)
    assert note.text == "gave up: model: m: timeout"


def test_an_ask_shows_the_tools_it_offers_and_which_calls_were_refused() -> None:
    calling = Reasoned("r1", 1, "m", CALLS, cost_usd=Decimal(0))
    refused = ToolRefused("r1.2", 1, "close", "it is not allowed")

    ask, tool = moves(HELLO, ASKED, calling, refused)

    told = {each.name: (each.calls, each.refused, each.offered) for each in ask.offered}
    assert told == {
        "look": (1, "", True),
        "pay": (0, "", True),
        "close": (1, "it is not allowed", False),
    }
    assert (tool.title, tool.status, tool.reason) == ("close", "refused", "it is not allowed")


def test_what_the_contact_thought_of_the_answer_is_told() -> None:
    bad, good = FeedbackGiven(1, "bad", "it is wrong"), FeedbackGiven(1, "good")

    (turn,) = turns_of(entries(HELLO, ASKED, ANSWERED, GIVEN, bad, good))

    notes = [(item.text, item.tone) for item in turn.items if isinstance(item, Note)]
    assert notes == [("rated bad: it is wrong", "bad"), ("rated good", "good")]


def test_why_a_model_was_asked_is_told() -> None:
    choice = Choice("cheap", 2, "the first one failed", "sha256:0", passed=("a: it failed",))
    routed = ReasonRequested("r1", 1, "m", choice=choice, heard=1)

    assert [move.why for move in moves(HELLO, routed)] == ["the first one failed"]
    assert [move.why for move in moves(HELLO, ASKED)] == ["the model was named, no route was asked"]


def test_a_call_waits_for_people_until_somebody_says_no() -> None:
    asked = ApprovalRequested("r1.1", 1, "pay", {"amount": 5}, "sha256:1", "it is money", 60)
    denied = ApprovalDenied("r1.1", 1, "sha256:1", "Ines", "too much")

    (waits,) = turns_of(entries(HELLO, ASKED, asked))
    after = moves(HELLO, ASKED, asked, denied)

    assert (waits.outcome, waits.tone) == ("waits for people", "warn")
    assert (after[1].status, after[1].reason) == ("denied", "Ines: too much")
    assert after[1].approval == asked


def test_a_tool_is_running_returned_or_unknown() -> None:
    requested, started = ToolRequested("r1.1", 1, "pay", {"amount": 5}), ToolStarted("r1.1", 1)

    told = {
        moves(HELLO, ASKED, requested, started, *more)[1].status
        for more in ((), (ToolReturned("r1.1", 1, {"paid": True}),), (ToolUnknown("r1.1", 1, "?"),))
    }

    assert told == {"running", "returned", "unknown"}


def test_a_search_shows_its_passages_with_what_the_answer_quotes_and_what_it_paid() -> None:
    text = "A refund takes three days. It goes to the card."
    found = Passage("refunds.md", "Refunds", "sha256:5", 100, 100 + len(text), text, 2.5)
    quote = Citation("refunds.md", "sha256:5", 100, 126, text[:26])
    spent = (Spend("embed", "e", cost_usd=Decimal("0.1")), Spend("rerank", "r", usage=Usage(1)))

    (move,) = moves(
        RetrievalRequested("r1.1", 1, "refund", ("help",), 3),
        RetrievalReturned("r1.1", 1, (found,), 4.5, spent),
        ResponseGiven(1, text[:26], (quote,)),
    )

    assert move.found[0].quoted
    assert move.found[0].slices == (Slice(text[:26], True), Slice(text[26:], False))
    assert (move.cost_usd, move.unpriced, move.elapsed_ms) == (Decimal("0.1"), 1, 4.5)


def test_quotes_that_overlap_or_lie_outside_mark_what_they_cover_of_a_passage() -> None:
    passage = Passage("a.md", "A", "sha256:5", 10, 20, "0123456789", 1)

    def quote(start: int, end: int, digest: str = "sha256:5") -> Citation:
        return Citation("a.md", digest, start, end, "…")

    told = slices_of(passage, (quote(5, 12), quote(14, 17), quote(16, 18), quote(18, 20, "other")))

    assert told == (
        Slice("01", True), Slice("23", False), Slice("4567", True), Slice("89", False),
    )  # fmt: skip
    assert slices_of(passage, ()) == (Slice("0123456789", False),)


def test_a_conversation_in_which_nothing_was_asked_has_a_turn_without_a_number() -> None:
    started = ConversationStarted("help", "sha256:0", contact="ada", channel="widget")

    (turn,) = turns_of(entries(started, HELLO))

    assert (turn.number, turn.outcome, turn.elapsed_ms) == (0, "", None)
    assert turn.started_at == BEGIN + timedelta(0)


def test_every_step_of_a_conversation_is_somewhere() -> None:
    told = entries(HELLO, ASKED, ANSWERED, GIVEN)

    shown = [
        step.position
        for turn in turns_of(told)
        for item in turn.items
        for step in (item.steps if isinstance(item, Move) else (item.entry,))
    ]

    assert sorted(shown) == [entry.position for entry in told]

"""The conversation as a fold: any step, in any state, has a meaning."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from stepfold.events.event import (
    ConversationStarted,
    ConversationStopped,
    Event,
    Generated,
    GenerationAbandoned,
    GenerationFailed,
    GenerationRequested,
    MessageReceived,
    Reasoned,
    ReasonFailed,
    ReasonRequested,
    ResponseDelivered,
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
    TurnExpired,
    Unreadable,
)
from stepfold.events.transcript import Heard, Item, Result, Thought, legal
from stepfold.events.values import Citation, Text, Thinking, ToolCall
from stepfold.events.wire import decode_event
from stepfold.projections.conversation import MESSAGES_MAX, evolve, replay
from stepfold.projections.outcomes import PASSAGES_MAX
from stepfold.projections.state import EMPTY, Conversation, Turn
from stepfold.testing import (
    AGENT,
    ANSWERED,
    ASKED,
    ASKED_AGAIN,
    FOUND,
    HELLO,
    LOOK_UP,
    LOOKED_UP,
    PASSAGE,
    RESPONDED,
    RETRIEVAL,
    RETURNED,
    SEARCHED,
    STARTED,
    Given,
)

CANCELLED = TurnCancelled(1, "asked to")
THINKING = (STARTED, HELLO, ASKED)
WAITING = (*THINKING, LOOKED_UP, LOOK_UP)
SECOND = MessageReceived("And on Sundays?", message="m2")
ASKED_NEXT = ReasonRequested("r2", 2, "scripted", ASKED.tools, heard=1)
CENT = Decimal("0.01")


# -- the start ----------------------------------------------------------------------------------


def test_a_conversation_is_pinned_to_the_version_it_started_with() -> None:
    state = replay([STARTED, ConversationStarted("other", "sha256:1", origin="elsewhere")])

    assert (state.agent, state.digest, state.origin) == (AGENT.name, STARTED.digest, "")


def test_an_imported_conversation_knows_where_it_came_from() -> None:
    assert replay([ConversationStarted("a", "d", origin="openai-chat")]).origin == "openai-chat"


def test_nothing_has_happened_in_an_empty_conversation() -> None:
    assert (
        Conversation(
            agent="",
            channel="",
            language="",
            characters=0,
            compact=0,
            files=False,
            digest="",
            origin="",
            transcript=(),
            unheard=(),
            turn=None,
            turns=0,
            asked=0,
            open={},
            jobs={},
            begun=frozenset(),
            passages=(),
            messages=(),
            spent_usd=Decimal(0),
            stopped="",
            unreadable=None,
        )
        == EMPTY
    )


def test_nothing_has_happened_in_a_new_turn() -> None:
    assert Turn(1) == Turn(
        number=1,
        asks=0,
        attempt=0,
        thinking="",
        wanted=(),
        settled=frozenset(),
        answer=None,
        failure=None,
        spent_usd=Decimal(0),
        expired=False,
        model="",
        offered=(),
        shadows=0,
        ruled_out=frozenset(),
        compacted=False,
        agreements={},
    )


def test_the_states_on_the_way_are_not_changed() -> None:
    before = replay(THINKING)

    after = replay([ANSWERED], before)

    assert before == replay(THINKING) != after


# -- messages -----------------------------------------------------------------------------------


def test_a_message_is_unheard_until_a_model_is_asked() -> None:
    before, after = replay([STARTED, HELLO, SECOND]), replay([STARTED, HELLO, SECOND, ASKED])

    assert before.unheard == (
        Heard(HELLO.text, contact=HELLO.contact),
        Heard(SECOND.text, contact=SECOND.contact),
    )
    assert before.transcript == ()
    assert after.unheard == (Heard(SECOND.text, contact=SECOND.contact),)
    assert after.transcript == (Heard(HELLO.text, contact=HELLO.contact),)


def test_a_repeated_message_is_heard_once() -> None:
    assert replay([HELLO, HELLO]).unheard == (Heard(HELLO.text, contact=HELLO.contact),)


def test_a_repeated_message_is_heard_once_even_after_it_was_answered() -> None:
    assert replay([*THINKING, ANSWERED, RESPONDED, HELLO]).unheard == ()


def test_messages_without_an_id_are_all_heard() -> None:
    message = MessageReceived("Hello")

    assert replay([message, message]).unheard == (Heard("Hello"), Heard("Hello"))
    assert replay([message, message]).messages == ()


def test_only_the_last_message_ids_are_remembered() -> None:
    many = [MessageReceived("x", message=f"m{n}") for n in range(MESSAGES_MAX + 1)]

    state = replay(many)

    assert MESSAGES_MAX == 64
    assert state.messages == tuple(f"m{n}" for n in range(1, MESSAGES_MAX + 1))
    assert len(replay([many[1]], state).unheard) == MESSAGES_MAX + 1
    assert len(replay([many[0]], state).unheard) == MESSAGES_MAX + 2


def turn(number: int, **has: Any) -> Turn:
    """As it stands after an ask of the kit's."""
    has = {"contact": HELLO.contact, **has}
    return Turn(number, model=ASKED.model, offered=ASKED.tools, **has)


# -- asking -------------------------------------------------------------------------------------


def test_an_ask_opens_a_turn() -> None:
    state = replay(THINKING)

    assert state.turn == turn(1, asks=1, attempt=1, thinking="r1")
    assert (state.turns, state.asked) == (1, 1)
    assert state.open == {"r1": ASKED}


def test_asks_of_a_turn_are_counted_without_further_attempts() -> None:
    again = ReasonRequested("r3", 1, "scripted", attempt=2)
    failed = ReasonFailed("r2", 1, "scripted", "busy", retryable=True)

    state = replay([*WAITING, RETURNED, ASKED_AGAIN, failed, again])

    assert state.turn == Turn(1, asks=2, attempt=2, thinking="r3", model="scripted", contact="ada")
    assert (state.turns, state.asked) == (1, 3)


def test_the_next_turn_begins_afresh() -> None:
    priced = replace(ANSWERED, cost_usd=CENT)

    state = replay([*THINKING, priced, RESPONDED, SECOND, ASKED_NEXT])

    assert state.turn == turn(2, asks=1, attempt=1, thinking="r2", contact="")
    assert (state.turns, state.asked) == (2, 2)


def test_a_turn_that_takes_over_from_a_running_one_begins_afresh() -> None:
    state = replay([*WAITING, TurnExpired(1), SECOND, ASKED_NEXT])

    assert state.turn == turn(2, asks=1, attempt=1, thinking="r2", contact="")


def test_an_ask_keeps_what_the_turn_has_spent_and_that_it_expired() -> None:
    called = replace(LOOKED_UP, cost_usd=CENT)

    state = replay([*THINKING, called, LOOK_UP, RETURNED, TurnExpired(1), ASKED_AGAIN])

    assert state.turn == turn(1, asks=2, attempt=1, thinking="r2", spent_usd=CENT, expired=True)


# -- answers ------------------------------------------------------------------------------------


def test_an_answer_with_calls_waits_for_them() -> None:
    state = replay([*THINKING, LOOKED_UP])

    assert state.turn is not None
    assert (state.turn.thinking, state.turn.wanted) == ("", LOOKED_UP.parts)
    assert state.turn.waiting
    assert state.transcript == (Heard(HELLO.text, contact=HELLO.contact), Thought(LOOKED_UP.parts))
    assert state.open == {}


def test_an_answer_of_text_is_said_only_when_it_is_given() -> None:
    before, after = replay([*THINKING, ANSWERED]), replay([*THINKING, ANSWERED, RESPONDED])

    assert before.turn == turn(1, asks=1, attempt=1, answer=ANSWERED)
    assert before.transcript == (Heard(HELLO.text, contact=HELLO.contact),)
    assert after.transcript == (Heard(HELLO.text, contact=HELLO.contact), Thought(ANSWERED.parts))
    assert after.turn is None


def test_an_answer_that_was_never_asked_for_is_no_answer() -> None:
    state = replay([*THINKING, replace(ANSWERED, call="r9")])

    assert state == replay(THINKING)


def test_a_second_answer_is_no_answer() -> None:
    other = replace(ANSWERED, parts=(Text("At 10."),))

    assert replay([*THINKING, ANSWERED, other]) == replay([*THINKING, ANSWERED])


def test_a_failure_is_the_turns_until_it_asks_again() -> None:
    failed = ReasonFailed("r1", 1, "scripted", "busy", retryable=True)

    state = replay([*THINKING, failed])

    assert state.turn == turn(1, asks=1, attempt=1, failure=failed)
    assert state.open == {}


def test_a_failure_of_another_ask_changes_nothing() -> None:
    failed = ReasonFailed("r9", 1, "scripted", "busy", retryable=True)

    assert replay([*THINKING, failed]) == replay(THINKING)


# -- outcomes of calls --------------------------------------------------------------------------


def test_text_that_a_tool_returned_is_shown_as_it_is() -> None:
    state = replay([*WAITING, RETURNED])

    assert state.transcript[-1] == Result("r1.1", "look_up", "9 to 5")
    assert state.open == {}
    assert state.turn is not None
    assert not state.turn.waiting


def test_anything_else_that_a_tool_returned_is_shown_as_json() -> None:
    state = replay([*WAITING, ToolReturned("r1.1", 1, {"open": [9, None]})])

    assert state.transcript[-1] == Result("r1.1", "look_up", '{"open":[9,null]}')


def test_passages_are_shown_and_kept() -> None:
    state = replay([*THINKING, SEARCHED, RETRIEVAL, FOUND])

    assert state.transcript[-1] == Result("r1.1", "search", passages=(PASSAGE,))
    assert state.passages == (PASSAGE,)


@pytest.mark.parametrize(
    ("outcome", "result"),
    [
        (ToolFailed("r1.1", 1, "no"), Result("r1.1", "look_up", "failed: no", "failed")),
        (ToolUnknown("r1.1", 1, "?"), Result("r1.1", "look_up", "unknown: ?", "unknown")),
        (ToolRefused("r1.1", 1, "x", "no"), Result("r1.1", "x", "refused: no", "refused")),
    ],
)
def test_bad_news_of_a_tool_is_said_to_the_model(outcome: Event, result: Result) -> None:
    assert replay([*WAITING, outcome]).transcript[-1] == result


def test_bad_news_of_a_search_is_said_to_the_model() -> None:
    state = replay([*THINKING, SEARCHED, RETRIEVAL, RetrievalFailed("r1.1", 1, "no index")])

    assert state.transcript[-1] == Result("r1.1", "search", "failed: no index", "failed")


def test_a_call_may_be_refused_without_having_been_requested() -> None:
    state = replay([*THINKING, LOOKED_UP, ToolRefused("r1.1", 1, "look_up", "no")])

    assert state.turn is not None
    assert state.turn.settled == {"r1.1"}


@pytest.mark.parametrize(
    "outcome", [RETURNED, ToolFailed("r1.1", 1, "no"), ToolRefused("r1.1", 1, "look_up", "no")]
)
def test_a_second_outcome_of_a_call_changes_nothing(outcome: Event) -> None:
    assert replay([*WAITING, RETURNED, outcome]) == replay([*WAITING, RETURNED])


def test_an_outcome_of_a_call_that_nobody_made_changes_nothing() -> None:
    state = replay([*THINKING, LOOKED_UP])

    assert evolve(state, RETURNED) == state
    assert evolve(state, ToolRefused("r7.1", 1, "look_up", "no")) == state
    assert evolve(EMPTY, ToolRefused("r1.1", 1, "look_up", "no")) == EMPTY


def test_a_tool_has_begun_from_its_start_to_its_outcome() -> None:
    started = ToolStarted("r1.1", 1, "w1")

    assert replay([*WAITING, started]).begun == {"r1.1"}
    assert replay([*WAITING, started, RETURNED]).begun == frozenset()


def test_the_outcome_of_one_tool_leaves_the_other_begun_and_open() -> None:
    calls = (ToolCall("r1.1", "look_up", {}), ToolCall("r1.2", "look_up", {}))
    both = (LOOK_UP, replace(LOOK_UP, call="r1.2"))
    started = (ToolStarted("r1.1", 1, "w1"), ToolStarted("r1.2", 1, "w1"))

    state = replay([*THINKING, replace(LOOKED_UP, parts=calls), *both, *started, RETURNED])

    assert state.begun == {"r1.2"}
    assert state.open == {"r1.2": both[1]}
    assert state.turn is not None
    assert state.turn.waiting


def test_outcomes_of_the_running_turn_stand_in_the_order_of_their_arrival() -> None:
    calls = (ToolCall("r1.1", "look_up", {}), ToolCall("r1.2", "look_up", {}))
    both = (LOOK_UP, replace(LOOK_UP, call="r1.2"))
    second = replace(RETURNED, call="r1.2")

    state = replay([*THINKING, replace(LOOKED_UP, parts=calls), *both, second, RETURNED])

    results = [item.call for item in state.transcript if isinstance(item, Result)]
    assert results == ["r1.2", "r1.1"]


def test_a_start_of_what_is_not_open_is_no_start() -> None:
    assert replay([*THINKING, ToolStarted("r1.1", 1, "w1")]).begun == frozenset()
    assert replay([*WAITING, RETURNED, ToolStarted("r1.1", 1, "w1")]).begun == frozenset()


def test_only_the_last_passages_are_kept() -> None:
    many = tuple(replace(PASSAGE, document=f"d{n}") for n in range(PASSAGES_MAX + 2))

    state = replay([*THINKING, SEARCHED, RETRIEVAL, RetrievalReturned("r1.1", 1, many)])

    assert PASSAGES_MAX == 256
    assert state.passages == many[2:]


def test_passages_of_several_searches_add_up_in_order() -> None:
    more = replace(PASSAGE, document="more.md")
    second = (ASKED_AGAIN, replace(SEARCHED, call="r2", parts=(ToolCall("r2.1", "search", {}),)))
    found = RetrievalReturned("r2.1", 1, (more,))

    state = replay(
        [*THINKING, SEARCHED, RETRIEVAL, FOUND, *second, replace(RETRIEVAL, call="r2.1"), found]
    )

    assert state.passages == (PASSAGE, more)


# -- the end of a turn --------------------------------------------------------------------------


def test_a_response_of_another_turn_does_not_end_the_running_one() -> None:
    assert replay([*THINKING, ResponseGiven(7, "x")]) == replay(THINKING)


def test_a_recorded_response_without_a_turn_is_said_with_its_citations() -> None:
    citation = Citation("a.md", "sha256:0", 0, 1, "x")

    state = replay([ResponseGiven(1, "x", (citation,))])

    assert state.transcript == (Thought((Text("x", (citation,)),)),)


def test_an_answer_that_is_given_keeps_all_of_its_parts() -> None:
    said = replace(ANSWERED, parts=(Thinking("hm"), Text("At 9.")))

    assert replay([*THINKING, said, RESPONDED]).transcript[-1] == Thought(said.parts)


def test_a_response_before_any_answer_is_said_as_it_was_given() -> None:
    state = replay([*THINKING, RESPONDED])

    assert state.transcript[-1] == Thought((Text("At 9."),))


@pytest.mark.parametrize("end", [TurnAbandoned(1, "steps"), CANCELLED])
def test_an_abandoned_or_cancelled_turn_is_over(end: Event) -> None:
    state = replay([*WAITING, end])

    assert state.turn is None
    assert state.turns == 1
    assert state.open == {"r1.1": LOOK_UP}


@pytest.mark.parametrize(
    "end", [TurnAbandoned(2, "steps"), TurnCancelled(2, "x"), TurnExpired(2), TurnExpired(0)]
)
def test_the_end_of_another_turn_is_not_the_end_of_this_one(end: Event) -> None:
    assert replay([*WAITING, end]) == replay(WAITING)


@pytest.mark.parametrize("end", [CANCELLED, TurnExpired(1), TurnAbandoned(1, "x")])
def test_the_end_of_a_turn_that_is_over_changes_nothing(end: Event) -> None:
    over = replay([*THINKING, ANSWERED, RESPONDED])

    assert evolve(over, end) == over


def test_what_a_turn_that_never_asked_would_have_heard_counts_as_heard() -> None:
    state = replay([STARTED, HELLO, SECOND, TurnAbandoned(1, "vetoed")])

    assert state.unheard == ()
    assert state.transcript == (
        Heard(HELLO.text, contact=HELLO.contact),
        Heard(SECOND.text, contact=SECOND.contact),
    )
    assert state.turns == 1
    assert state.turn is None


def test_a_turn_that_never_asked_ends_after_what_was_said_before() -> None:
    over = replay([*THINKING, ANSWERED, RESPONDED, SECOND])

    state = evolve(over, TurnAbandoned(2, "vetoed"))

    assert state.transcript == (*over.transcript, Heard(SECOND.text, contact=SECOND.contact))


def test_an_end_of_an_older_turn_does_not_hear_what_waits() -> None:
    over = replay([*THINKING, ANSWERED, RESPONDED, SECOND])

    assert evolve(over, TurnAbandoned(1, "steps")) == over


def test_time_that_runs_out_marks_the_running_turn() -> None:
    state = replay([*WAITING, TurnExpired(1)])

    assert state.turn is not None
    assert state.turn.expired
    assert state.turn.waiting


# -- what belongs to a turn that is over --------------------------------------------------------


def test_a_late_answer_costs_and_is_not_said() -> None:
    late = replace(LOOKED_UP, cost_usd=CENT)
    running = replay([*THINKING, CANCELLED, SECOND, ASKED_NEXT])

    state = evolve(running, late)

    assert state.spent_usd == CENT
    assert state.transcript == running.transcript
    assert state.turn == running.turn
    assert "r1" not in state.open


def test_a_late_failure_costs_and_does_not_fail_the_running_turn() -> None:
    late = ReasonFailed("r1", 1, "scripted", "busy", cost_usd=CENT)
    running = replay([*THINKING, CANCELLED, SECOND, ASKED_NEXT])

    state = evolve(running, late)

    assert state.spent_usd == CENT
    assert state.turn == running.turn


def test_what_comes_late_between_turns_costs_and_changes_nothing_else() -> None:
    between = replay([*THINKING, CANCELLED])
    answer = replace(ANSWERED, cost_usd=CENT)
    failure = ReasonFailed("r1", 1, "scripted", "busy", cost_usd=CENT)

    for late in (answer, failure):
        assert evolve(between, late) == replace(between, open={}, spent_usd=CENT)


def test_a_late_outcome_is_recorded_at_its_call_and_settles_nothing_in_the_running_turn() -> None:
    running = replay([*WAITING, ToolStarted("r1.1", 1, "w1"), CANCELLED, SECOND, ASKED_NEXT])

    state = evolve(running, RETURNED)

    assert state.turn == running.turn
    assert (state.open, state.begun) == ({"r2": ASKED_NEXT}, frozenset())
    assert state.transcript == (
        Heard(HELLO.text, contact=HELLO.contact),
        Thought(LOOKED_UP.parts),
        Result("r1.1", "look_up", "9 to 5"),
        Heard(SECOND.text, contact=SECOND.contact),
    )


def test_a_late_outcome_stands_at_the_latest_place_of_its_call() -> None:
    other = Thought((ToolCall("r8.1", "look_up", {}), ToolCall("r8.2", "look_up", {})))
    said = (Heard("a"), Thought(LOOKED_UP.parts), other, Heard("b"))
    before = Conversation(transcript=said, open={"r8.2": replace(LOOK_UP, call="r8.2")})

    state = evolve(before, replace(RETURNED, call="r8.2"))

    late = Result("r8.2", "look_up", "9 to 5")
    assert state.transcript == (*said[:3], late, Heard("b"))


def test_a_late_outcome_stands_at_its_own_call_and_no_other() -> None:
    other = Thought((ToolCall("r8.1", "look_up", {}),))
    said = (Thought(LOOKED_UP.parts), other, Heard("b"))

    state = evolve(Conversation(transcript=said, open={"r1.1": LOOK_UP}), RETURNED)

    assert state.transcript == (said[0], Result("r1.1", "look_up", "9 to 5"), *said[1:])


def test_a_refusal_that_comes_after_its_turn_changes_nothing() -> None:
    over = replay([*THINKING, LOOKED_UP, CANCELLED])

    assert evolve(over, ToolRefused("r1.1", 1, "look_up", "no")) == over


def test_a_late_outcome_of_what_no_answer_called_for_is_only_closed() -> None:
    before = replay([STARTED, HELLO, LOOK_UP, ASKED])

    state = evolve(before, RETURNED)

    assert state.transcript == before.transcript
    assert state.open == {"r1": ASKED}


def test_a_late_outcome_between_turns_is_recorded_too() -> None:
    state = replay([*WAITING, CANCELLED, RETURNED])

    assert state.transcript[-1] == Result("r1.1", "look_up", "9 to 5")
    assert state.turn is None


# -- spending -----------------------------------------------------------------------------------


def test_what_was_spent_adds_up_for_the_turn_and_the_conversation() -> None:
    called = replace(LOOKED_UP, cost_usd=CENT)
    failed = ReasonFailed("r2", 1, "scripted", "busy", retryable=True, cost_usd=CENT)

    state = replay([*THINKING, called, LOOK_UP, RETURNED, ASKED_AGAIN, failed])

    assert state.spent_usd == 2 * CENT
    assert state.turn is not None
    assert state.turn.spent_usd == 2 * CENT


@pytest.mark.parametrize("cost", [None, Decimal(0), Decimal("NaN"), Decimal("Infinity")])
def test_a_price_that_is_not_known_is_not_counted(cost: Decimal | None) -> None:
    assert replay([*THINKING, replace(ANSWERED, cost_usd=cost)]).spent_usd == 0


def test_a_generation_is_open_until_its_outcome_and_costs_no_turn() -> None:
    asked = GenerationRequested("g1", "sort", "x", {}, "scripted")
    done = Generated("g1", {}, "scripted", cost_usd=CENT)
    failed = GenerationFailed("g1", "malformed", "scripted", cost_usd=CENT)

    assert replay([*THINKING, asked]).open == {"r1": ASKED, "g1": asked}
    for outcome in (done, failed):
        state = replay([*THINKING, asked, outcome])
        assert state.open == {"r1": ASKED}
        assert state.spent_usd == CENT
        assert state.turn == replay(THINKING).turn


def test_an_attempt_that_ends_after_its_generation_was_given_up_only_costs() -> None:
    asked = GenerationRequested("g1", "sort", "x", {}, "scripted")
    late = GenerationFailed("g1", "malformed", "scripted", cost_usd=CENT)

    state = replay([asked, GenerationAbandoned("g1", "malformed"), late])

    assert (state.open, state.jobs, state.spent_usd) == ({}, {}, CENT)


# -- the rest -----------------------------------------------------------------------------------


def test_a_stop_is_kept_with_its_reason() -> None:
    assert replay([STARTED, ConversationStopped("poison")]).stopped == "poison"


def test_the_first_step_that_cannot_be_read_is_kept() -> None:
    first, second = Unreadable("a.b", "one"), Unreadable("c.d", "two")

    assert replay([STARTED, first, second]).unreadable == first


def test_a_delivery_changes_nothing() -> None:
    assert replay([*THINKING, ResponseDelivered(1, "web")]) == replay(THINKING)


# -- any moment ---------------------------------------------------------------------------------

RICH = (
    STARTED,
    HELLO,
    ASKED,
    Reasoned(
        "r1",
        1,
        "scripted",
        (
            Text("Let me see."),
            ToolCall("r1.1", "look_up", {}),
            ToolCall("r1.2", "search", {"query": "x"}),
            ToolCall("r1.3", "send_email", {}),
        ),
    ),
    LOOK_UP,
    replace(RETRIEVAL, call="r1.2"),
    ToolRefused("r1.3", 1, "send_email", "no"),
    ToolStarted("r1.1", 1, "w1"),
    replace(FOUND, call="r1.2"),
    SECOND,
    RETURNED,
    ASKED_AGAIN,
    Reasoned("r2", 1, "scripted", (ToolCall("r2.1", "look_up", {}),)),
    ToolRequested("r2.1", 1, "look_up", {}),
    ToolUnknown("r2.1", 1, "lost"),
    ReasonRequested("r3", 1, "scripted", ASKED.tools),
    replace(ANSWERED, call="r3"),
    RESPONDED,
)


def assert_legal(items: Iterable[Item]) -> None:
    """Each call is answered exactly once, directly after its turn, in order."""
    due: list[str] = []
    for item in items:
        if isinstance(item, Result):
            assert due.pop(0) == item.call
            continue
        assert not due
        due = [call.call for call in item.calls] if isinstance(item, Thought) else []
    assert not due


@pytest.mark.parametrize("length", range(2, len(RICH) + 1))
def test_a_cancel_at_any_moment_leaves_a_history_that_any_provider_accepts(length: int) -> None:
    given = Given(AGENT, *RICH[:length])
    given.when(TurnCancelled(given.state.turns, "asked to"))
    given.when(MessageReceived("Never mind.", message="m3"))

    assert given.state.turn is not None
    assert_legal(legal(given.state.transcript))
    heard = [item for item in given.state.transcript if isinstance(item, Heard)]
    said = [event.text for event in RICH[:length] if isinstance(event, MessageReceived)]
    assert [item.text for item in (*heard, *given.state.unheard)] == [*said, "Never mind."]


@pytest.mark.parametrize("length", range(3, len(RICH) + 1))
def test_what_comes_late_after_a_cancel_leaves_the_running_turn_and_a_legal_history(
    length: int,
) -> None:
    given = Given(AGENT, *RICH[:length])
    open_then = given.state.open.keys()
    given.when(TurnCancelled(1, "asked to"))
    given.when(MessageReceived("Never mind.", message="m3"))
    running, heard = given.state.turn, given.state.unheard
    late = [event for event in RICH[length:] if getattr(event, "call", "") in open_then]

    assert given.when(*late) == ()
    assert (given.state.turn, given.state.unheard) == (running, heard)
    assert not given.state.open.keys() & open_then
    assert_legal(legal(given.state.transcript))


GOLDEN = sorted((Path(__file__).parents[1] / "events" / "golden").glob("*.json"))
EVENTS = (*RICH, *(decode_event(path.read_bytes()) for path in GOLDEN))


@given(st.lists(st.sampled_from(EVENTS), max_size=40))
def test_any_steps_in_any_order_have_a_meaning_and_leave_a_legal_history(
    events: list[Event],
) -> None:
    state = replay(events)

    assert_legal(legal(state.transcript))
    assert state.begun <= state.open.keys()
    assert len(state.passages) <= PASSAGES_MAX


@given(st.lists(st.sampled_from(EVENTS), max_size=20), st.integers(0, 20))
def test_a_fold_goes_on_from_any_moment(events: list[Event], moment: int) -> None:
    assert replay(events[moment:], replay(events[:moment])) == replay(events)

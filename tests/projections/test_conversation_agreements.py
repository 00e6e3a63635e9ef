"""Agreements in the fold: who agreed to a call that waits, what does not count, how it ends."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from stepfold.events.event import (
    ApprovalDenied,
    ApprovalExpired,
    ApprovalGranted,
    ApprovalRequested,
    CodeRequested,
    Event,
    TurnCancelled,
)
from stepfold.events.values import ToolCall
from stepfold.projections.conversation import evolve, replay
from stepfold.projections.state import EMPTY, Agreement, Turn
from stepfold.testing import ASKED, ASKED_AGAIN, HELLO, LOOKED_UP, STARTED

QUESTION = ApprovalRequested("r1.1", 1, "look_up", {}, "sha256:1", "always", 60.0, people=2)
ANN = ApprovalGranted("r1.1", 1, "sha256:1", "ann")
BOB = replace(ANN, person="bob")
DENIED = ApprovalDenied("r1.1", 1, "sha256:1", "eve", "no receipt")
EXPIRED = ApprovalExpired("r1.1", 1)
WANTED = (STARTED, HELLO, ASKED, LOOKED_UP)


def turn(*events: Event) -> Turn:
    """As it stands after the question and `events`."""
    running = replay([*WANTED, QUESTION, *events]).turn
    assert running is not None
    return running


def agreement(*events: Event) -> Agreement:
    return turn(*events).agreements["r1.1"]


def test_a_call_waits_until_enough_different_people_agree() -> None:
    asked, one, both = agreement(), agreement(ANN), agreement(ANN, BOB)

    assert (asked.people, one.people, both.people) == ((), ("ann",), ("ann", "bob"))
    assert [each.pending for each in (asked, one, both)] == [True, True, False]
    assert [each.complete for each in (asked, one, both)] == [False, False, True]
    assert (turn(ANN).pending, turn(ANN, BOB).pending) == ((QUESTION,), ())


def test_what_was_refused_is_not_complete_whoever_agreed() -> None:
    both = Agreement(QUESTION, ("ann", "bob"), refused="eve denied it")

    assert (both.complete, both.pending) == (False, False)


@pytest.mark.parametrize("person", ["ann lee", "Ann LEE", "  ann\tlee "])
def test_the_same_person_counts_once_however_the_name_is_spelt(person: str) -> None:
    lee = replace(ANN, person="ann lee")

    assert agreement(lee, replace(lee, person=person)) == agreement(lee)
    assert agreement(replace(lee, person=person), lee).people == (person,)


def test_names_that_differ_in_more_than_their_spelling_are_two_people() -> None:
    assert agreement(replace(ANN, person="ann lee"), replace(ANN, person="annlee")).complete


@pytest.mark.parametrize(
    ("event", "why"),
    [
        (DENIED, "eve denied it: no receipt"),
        (replace(DENIED, reason=""), "eve denied it"),
        (EXPIRED, "nobody approved it within 60 s"),
    ],
)
def test_one_who_says_no_or_the_end_of_its_time_is_enough(event: Event, why: str) -> None:
    over = agreement(ANN, event)

    assert (over.refused, over.people) == (why, ("ann",))
    assert (over.pending, over.complete) == (False, False)
    assert turn(ANN, event).pending == ()


@pytest.mark.parametrize("late", [BOB, DENIED, EXPIRED])
def test_what_comes_after_the_end_changes_nothing(late: Event) -> None:
    refused, agreed = (DENIED,), (ANN, replace(BOB, person="cyd"))

    for end in (refused, agreed):
        assert agreement(*end, late) == agreement(*end)


@pytest.mark.parametrize(
    "event",
    [
        replace(ANN, digest="sha256:2"),
        replace(DENIED, digest="sha256:2"),
        replace(ANN, person=""),
        replace(DENIED, person=""),
        replace(ANN, turn=2),
        replace(EXPIRED, turn=2),
        replace(ANN, call="r1.2"),
        replace(QUESTION, people=1),
        replace(QUESTION, call="r7.7"),
        replace(QUESTION, turn=7),
    ],
)
def test_what_does_not_fit_the_call_that_waits_changes_nothing(event: Event) -> None:
    assert turn(event) == turn()


@pytest.mark.parametrize("event", [QUESTION, ANN, DENIED, EXPIRED])
def test_an_agreement_without_a_turn_changes_nothing(event: Event) -> None:
    cancelled = replay([*WANTED, TurnCancelled(1, "asked to")])

    assert evolve(EMPTY, event) == EMPTY
    assert evolve(cancelled, event) == cancelled


def test_two_calls_wait_each_for_itself() -> None:
    calls = (ToolCall("r1.1", "look_up", {}), ToolCall("r1.2", "look_up", {}))
    second = replace(QUESTION, call="r1.2", people=1)

    state = replay([STARTED, HELLO, ASKED, replace(LOOKED_UP, parts=calls), QUESTION, second, ANN])

    assert state.turn is not None
    assert state.turn.agreements == {
        "r1.1": Agreement(QUESTION, ("ann",)),
        "r1.2": Agreement(second),
    }


def test_the_next_ask_begins_without_agreements() -> None:
    assert turn(ANN, ASKED_AGAIN).agreements == {}


def test_a_question_about_a_call_is_as_it_was_written() -> None:
    assert Agreement(QUESTION) == Agreement(request=QUESTION, people=(), refused="")


def test_code_is_a_call_of_the_tool_that_runs_it() -> None:
    request = CodeRequested("r1.1", 1, "print(1)", "monty")

    assert (request.name, request.arguments) == ("run_code", {"code": "print(1)"})
    assert replay([*WANTED, request]).open == {"r1.1": request}

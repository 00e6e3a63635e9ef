"""How long contacts wait, in conversations made by hand: a second between the steps."""

from __future__ import annotations

import pytest

from stepfold.events.event import (
    ConversationStopped,
    Event,
    MessageReceived,
    Reasoned,
    ReasonRequested,
    ResponseGiven,
    TurnAbandoned,
    TurnCancelled,
)
from stepfold.observability import waits
from stepfold.observability.waits import Waited, Waits
from tests.observability.made import STARTED, WHOLE, recorded

MESSAGE = MessageReceived("Hello")
ASKED = ReasonRequested("r1", 1, "m", heard=1)
AGAIN = ReasonRequested("r2", 1, "m")
ANSWERED = Reasoned("r1", 1, "m", ())
GIVEN = ResponseGiven(1, "Hi.")


def waited(*events: Event) -> list[Waited]:
    taken = Waits()
    return [found for entry in recorded(events) if (found := taken.take(entry))]


def test_a_turn_lasts_from_its_message_to_its_answer() -> None:
    assert waited(*WHOLE) == [Waited("answered", 13.0)]


@pytest.mark.parametrize(
    ("end", "outcome"),
    [
        (GIVEN, "answered"),
        (TurnAbandoned(1, "steps"), "abandoned"),
        (TurnCancelled(1, "enough"), "cancelled"),
        (ConversationStopped("poison"), "stopped"),
    ],
)
def test_how_it_ended_is_told(end: Event, outcome: str) -> None:
    assert waited(STARTED, MESSAGE, ASKED, end) == [Waited(outcome, 2.0)]


def test_a_message_that_waits_for_the_next_turn_counts_from_when_it_came() -> None:
    asked = ReasonRequested("r3", 2, "m", heard=1)

    found = waited(MESSAGE, ASKED, MESSAGE, ANSWERED, GIVEN, asked, ResponseGiven(2, "Yes."))

    assert found == [Waited("answered", 4.0), Waited("answered", 4.0)]


def test_a_message_that_is_heard_by_the_running_turn_makes_no_turn_of_its_own() -> None:
    joined = ReasonRequested("r2", 1, "m", heard=1)
    later = ReasonRequested("r3", 2, "m")

    found = waited(MESSAGE, ASKED, MESSAGE, joined, GIVEN, later, ResponseGiven(2, "Yes."))

    assert found == [Waited("answered", 4.0)]


def test_a_turn_that_is_given_up_before_its_first_ask_counts() -> None:
    assert waited(STARTED, MESSAGE, TurnAbandoned(1, "cost")) == [Waited("abandoned", 1.0)]


def test_the_end_of_another_turn_ends_nothing() -> None:
    found = waited(MESSAGE, ASKED, TurnCancelled(9, "late"), GIVEN)

    assert found == [Waited("answered", 3.0)]


def test_who_waited_since_before_the_first_step_is_not_counted() -> None:
    assert waited(AGAIN, ANSWERED, GIVEN) == []


def test_a_shadow_begins_no_turn() -> None:
    shadow = ReasonRequested("r9", 2, "m", shadow=True, upto=1)

    assert waited(MESSAGE, ASKED, shadow, GIVEN) == [Waited("answered", 3.0)]


def test_the_conversation_that_moved_longest_ago_is_forgotten_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(waits, "OPEN_MAX", 1)
    taken = Waits()
    one, other = (recorded((MESSAGE, ASKED, GIVEN), conversation=name) for name in ("c1", "c2"))

    for entry in (*one[:2], *other[:2]):
        taken.take(entry)

    assert taken.take(one[2]) is None
    assert taken.take(other[2]) == Waited("answered", 2.0)

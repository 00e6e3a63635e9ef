"""What an agent does next is a function of what has happened: given these steps, when this one."""

from __future__ import annotations

from stepfold.events.event import ReasonRequested, ResponseGiven, ToolRequested
from stepfold.testing import (
    AGENT,
    ANSWERED,
    ASKED,
    HELLO,
    LOOK_UP,
    LOOKED_UP,
    RETURNED,
    Given,
)


def test_a_message_asks_the_model() -> None:
    (step,) = Given(AGENT).when(HELLO)

    assert isinstance(step, ReasonRequested)


def test_a_call_is_requested() -> None:
    (step,) = Given(AGENT, HELLO, ASKED).when(LOOKED_UP)

    assert isinstance(step, ToolRequested)


def test_its_outcome_asks_the_model_again() -> None:
    (step,) = Given(AGENT, HELLO, ASKED, LOOKED_UP, LOOK_UP).when(RETURNED)

    assert isinstance(step, ReasonRequested)


def test_an_answer_of_text_is_the_response() -> None:
    assert Given(AGENT, HELLO, ASKED).when(ANSWERED) == (ResponseGiven(1, "At 9."),)

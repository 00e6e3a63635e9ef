"""Summarise: what was said in a conversation, in order; nothing of how it was made."""

from __future__ import annotations

import pytest

from stepfold.events.event import Generated, ResponseGiven, TurnAbandoned
from stepfold.tasks import Said, Summarise, TaskRefused, told
from stepfold.testing import (
    ANSWERED,
    ASKED,
    FOUND,
    HELLO,
    LOOK_UP,
    RESPONDED,
    RETRIEVAL,
    RETURNED,
    SEARCHED,
    STARTED,
)
from tests.tasks.asked import ask

SUMMARY = {
    "summary": "Ada asked when the branch opens. It opens at 9.",
    "wanted": "To know when the branch opens.",
    "done": ["told the hour"],
    "still_open": [],
    "resolved": True,
    "mood": "neutral",
}


def test_only_what_was_said_is_told() -> None:
    steps = (STARTED, HELLO, ASKED, SEARCHED, RETRIEVAL, FOUND, LOOK_UP, RETURNED, ANSWERED)

    messages = told((*steps, RESPONDED)).messages

    assert messages == [Said("contact", HELLO.text), Said("agent", "At 9.")]


def test_a_turn_without_an_answer_is_told_too() -> None:
    messages = told((HELLO, TurnAbandoned(1, "time"), HELLO, ResponseGiven(2, "At 9."))).messages

    assert [said.text for said in messages] == [
        HELLO.text,
        "(gave no answer: time)",
        HELLO.text,
        "At 9.",
    ]


async def test_a_conversation_is_summed_up_from_who_said_what() -> None:
    brief = told((HELLO, RESPONDED)).brief()

    steps, (prompt,) = await ask(brief, SUMMARY)

    assert prompt.question == f"contact: {HELLO.text}\n\nagent: At 9."
    assert isinstance(steps[-1], Generated)
    assert steps[-1].output == SUMMARY


def test_a_conversation_in_which_nothing_was_said_is_refused() -> None:
    with pytest.raises(TaskRefused, match="nothing was said yet"):
        Summarise([]).brief()

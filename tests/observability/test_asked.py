"""What was asked for, by call."""

from __future__ import annotations

import pytest

from stepfold.events.event import GenerationRequested, ToolFailed, ToolRequested
from stepfold.observability import asked
from stepfold.observability.asked import Asked
from tests.observability.made import WHOLE, recorded


def test_an_outcome_is_that_of_what_was_asked_for() -> None:
    taken = Asked()

    named = {entry.position: name for entry in recorded(WHOLE) if (name := taken.take(entry))}

    assert named == {
        4: "openai/gpt-x",
        7: "anthropic/claude-y",
        11: "find",
        12: "search",
        14: "anthropic/claude-y",
        16: "small",
    }


def test_what_was_asked_before_the_first_step_has_no_name() -> None:
    (entry,) = recorded([ToolFailed("r1.1", 1, "broken")])

    assert Asked().take(entry) == ""


def test_calls_of_two_conversations_may_have_the_same_name() -> None:
    taken = Asked()
    one = recorded([ToolRequested("r1.1", 1, "find", {}), ToolFailed("r1.1", 1, "broken")])
    asked_for = GenerationRequested("r1.1", "classify", "x", {}, "openai/gpt-x")
    (other,) = recorded([asked_for], conversation="c2")

    taken.take(one[0])
    taken.take(other)

    assert taken.take(one[1]) == "find"


def test_the_oldest_call_is_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asked, "OPEN_MAX", 1)
    taken = Asked()
    calls = [ToolRequested(call, 1, call, {}) for call in ("first", "second")]
    ends = [ToolFailed(call, 1, "broken") for call in ("first", "second")]

    assert [taken.take(entry) for entry in recorded([*calls, *ends])] == ["", "", "", "second"]

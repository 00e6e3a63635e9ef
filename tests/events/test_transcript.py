"""Every provider refuses a history in which a call has no result, or one in the wrong place."""

from __future__ import annotations

from stepfold.events.transcript import NO_OUTCOME, Heard, Item, Result, Thought, files_of, legal
from stepfold.events.values import FileRef, Refusal, Text, Thinking, ToolCall

HEARD = Heard("Hello")
FIRST, SECOND = ToolCall("r1.1", "look_up", {}), ToolCall("r1.2", "search", {})
CALLS = Thought((Text("Let me see."), FIRST, SECOND))
ONE, TWO = Result("r1.1", "look_up", "1"), Result("r1.2", "search", "2")


def test_results_stand_right_after_their_calls_in_the_order_of_the_calls() -> None:
    transcript: tuple[Item, ...] = (HEARD, CALLS, TWO, ONE)

    assert tuple(legal(transcript)) == (HEARD, CALLS, ONE, TWO)


def test_a_result_that_came_late_is_moved_to_its_call() -> None:
    later = Heard("Still there?")
    transcript: tuple[Item, ...] = (HEARD, CALLS, ONE, later, TWO)

    assert tuple(legal(transcript)) == (HEARD, CALLS, ONE, TWO, later)


def test_a_call_whose_outcome_was_never_seen_says_so() -> None:
    *_, missing = legal((HEARD, CALLS, ONE))

    assert missing == Result("r1.2", "search", NO_OUTCOME, "cancelled")


def test_a_result_that_answers_no_call_is_left_out() -> None:
    assert tuple(legal((HEARD, ONE))) == (HEARD,)


def test_a_thought_says_its_text_and_its_calls() -> None:
    thought = Thought((Thinking("hm"), Text("a"), FIRST, Refusal("no"), Text("b")))

    assert thought.text == "ab"
    assert thought.calls == (FIRST,)


def test_the_files_of_a_conversation_are_those_that_are_kept_each_once_in_order() -> None:
    sheet, plot = FileRef("text/csv", "sha256:1"), FileRef("image/png", "sha256:2")
    linked = FileRef("image/png", url="https://example.com/a.png")
    transcript: tuple[Item, ...] = (
        Heard("See these.", (sheet, linked)),
        Thought((Text("A plot:"), plot)),
        Result("r1.1", "run_code", files=(sheet, FileRef("text/csv", "sha256:3"))),
    )

    assert [file.blob for file in files_of(transcript)] == ["sha256:1", "sha256:2", "sha256:3"]

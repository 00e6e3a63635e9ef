"""What a model is shown, and what its reply becomes."""

from __future__ import annotations

from decimal import Decimal

from msgspec.structs import replace

from stepfold.events.event import MessageReceived, Reasoned, ReasonRequested
from stepfold.events.transcript import Heard, Result, Thought
from stepfold.events.values import Citation, Text, Thinking, ToolCall, Usage
from stepfold.handlers.prompt import LEFT_OUT, fitting, prompt, reasoned
from stepfold.policy.toolspec import SEARCH_SPEC, ToolSpec
from stepfold.projections.conversation import replay
from stepfold.providers.model import Call, Reply
from stepfold.testing import AGENT, ANSWERED, ASKED, HELLO, PASSAGE, RESPONDED, STARTED

SECOND = MessageReceived("And closes?", message="m2")
ASKED_NEXT = ReasonRequested("r2", 2, "scripted", heard=1)
STATE = replay([STARTED, HELLO, ASKED])


def test_a_model_is_shown_the_instructions_and_what_was_heard() -> None:
    shown = prompt(AGENT, STATE, ASKED)

    assert shown.instructions == AGENT.instructions
    assert shown.items == (Heard(HELLO.text, contact=HELLO.contact),)
    assert shown.call == "r1"


def test_only_the_tools_of_the_request_are_shown_whatever_the_agent_has_today() -> None:
    shown = prompt(AGENT, STATE, replace(ASKED, tools=("search",)))

    assert [tool.name for tool in shown.tools] == ["search"]


def test_a_reply_becomes_the_outcome_of_its_request() -> None:
    citation = Citation("a.md", "sha256:0", 0, 1, "x")
    usage = Usage(10, 2)
    reply = Reply(
        text="At 9.",
        citations=(citation,),
        thinking="hm",
        finish="length",
        usage=usage,
        cost_usd=Decimal("0.1"),
        model="scripted-2026",
        provider="scripted",
    )

    assert reasoned(replace(ASKED, attempt=2), reply, elapsed_ms=1.5) == Reasoned(
        call="r1",
        turn=1,
        model="scripted-2026",
        parts=(Thinking("hm"), Text("At 9.", (citation,))),
        finish="length",
        provider="scripted",
        usage=usage,
        cost_usd=Decimal("0.1"),
        elapsed_ms=1.5,
        attempt=2,
    )


def test_calls_get_names_of_our_own_because_providers_repeat_theirs() -> None:
    calls = (Call("look_up", {"key": "a"}, "call_1"), Call("search", {"query": "b"}, "call_1"))

    said = reasoned(ASKED, Reply(calls=calls), elapsed_ms=0)

    assert said.finish == "tool_calls"
    assert said.parts == (
        ToolCall("r1.1", "look_up", {"key": "a"}, "call_1"),
        ToolCall("r1.2", "search", {"query": "b"}, "call_1"),
    )


def test_what_the_reply_does_not_tell_is_taken_from_the_request() -> None:
    said = reasoned(ASKED, Reply("At 9."), elapsed_ms=0)

    assert (said.model, said.finish, said.parts) == ("scripted", "stop", (Text("At 9."),))


# -- a prompt that is too long ------------------------------------------------------------------

OLD, OLD_ANSWER = Heard("old " * 25), Thought((Text("answer " * 10),))
NEW = Heard("new")
CALLS = Thought((ToolCall("r2.1", "search", {"query": "x"}),))
FOUND = Result("r2.1", "search", passages=(PASSAGE, PASSAGE, PASSAGE))


def test_a_short_transcript_is_shown_whole() -> None:
    assert fitting((OLD, OLD_ANSWER, NEW), 10_000) == (OLD, OLD_ANSWER, NEW)


def test_the_oldest_messages_are_left_out_with_what_was_answered_to_them() -> None:
    assert fitting((OLD, OLD_ANSWER, NEW, CALLS, FOUND), 250) == (NEW, CALLS, FOUND)


def test_the_latest_message_is_shown_however_long_it_is() -> None:
    assert fitting((NEW, OLD_ANSWER, OLD), 10) == (OLD,)


def test_what_was_found_is_cut_when_the_latest_turn_alone_is_too_long() -> None:
    kept = fitting((OLD, OLD_ANSWER, NEW, CALLS, FOUND), 100)

    assert kept[:2] == (NEW, CALLS)
    assert isinstance(kept[2], Result)
    assert kept[2].passages == (PASSAGE, PASSAGE)


def test_a_long_result_of_a_tool_is_cut_and_says_so() -> None:
    result = Result("r2.1", "look_up", "x" * 1_000)

    (_, _, cut) = fitting((NEW, CALLS, result), 100)

    assert isinstance(cut, Result)
    assert cut.text.endswith("x [... cut]")
    assert len(cut.text) < 120


def test_only_the_results_that_are_too_long_are_cut() -> None:
    short, long = Result("r2.1", "a", "small"), Result("r2.2", "b", "x" * 1_000)

    shown = fitting((NEW, CALLS, short, long), 200)

    assert shown[2] == short
    assert shown[3] != long


def test_a_single_passage_is_shown_however_long_it_is() -> None:
    (_, _, kept) = fitting((NEW, CALLS, replace(FOUND, passages=(PASSAGE,))), 30)

    assert isinstance(kept, Result)
    assert kept.passages == (PASSAGE,)


def test_a_transcript_in_which_nobody_asked_is_shown_as_it_is() -> None:
    assert fitting((OLD_ANSWER,), 5) == (OLD_ANSWER,)


def test_a_model_is_told_that_the_beginning_is_left_out() -> None:
    state = replay([STARTED, HELLO, ASKED, ANSWERED, RESPONDED, SECOND, ASKED_NEXT])

    shown = prompt(AGENT, state, replace(ASKED_NEXT, compact=5))

    assert shown.transcript == (Heard(SECOND.text, contact=SECOND.contact),)
    assert shown.instructions.endswith(LEFT_OUT)


def test_a_shadow_is_shown_what_the_model_was_shown() -> None:
    state = replay([STARTED, HELLO, ASKED, ANSWERED, RESPONDED])

    shown = prompt(AGENT, state, replace(ASKED, shadow=True, upto=1))

    assert shown.transcript == (Heard(HELLO.text, contact=HELLO.contact),)


def test_a_model_is_told_of_the_tools_what_their_specs_say() -> None:
    spec = ToolSpec("look_up", "Looks a thing up.")

    shown = prompt(AGENT, STATE, ASKED, {"look_up": spec})

    assert shown.tools == (spec, SEARCH_SPEC)

"""What a model is shown, and what its reply becomes."""

from __future__ import annotations

from decimal import Decimal

from msgspec.structs import replace

from stepfold.events.event import Reasoned
from stepfold.events.transcript import Heard
from stepfold.events.values import Citation, Text, Thinking, ToolCall, Usage
from stepfold.handlers.prompt import prompt, reasoned
from stepfold.projections.conversation import replay
from stepfold.providers.model import Call, Reply
from stepfold.testing import AGENT, ASKED, HELLO, STARTED

STATE = replay([STARTED, HELLO, ASKED])


def test_a_model_is_shown_the_instructions_and_what_was_heard() -> None:
    shown = prompt(AGENT, STATE, ASKED)

    assert shown.instructions == AGENT.instructions
    assert shown.items == (Heard(HELLO.text),)
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

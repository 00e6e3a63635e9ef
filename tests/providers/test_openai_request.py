"""What OpenAI is sent in either dialect: messages, tools, choices, effort and schemas."""

from __future__ import annotations

import msgspec
import pytest

from stepfold.events.transcript import Heard, Result, Thought
from stepfold.events.values import (
    Effort,
    HostedTool,
    Options,
    Passage,
    Refusal,
    State,
    Text,
    Thinking,
    ToolCall,
)
from stepfold.policy.toolspec import ToolSpec
from stepfold.providers.wire import Json
from tests.providers.openai_asked import (
    HELLO,
    PARIS,
    RAIN,
    ROME,
    SUNNY,
    TOOL,
    body,
    called,
    function,
    said,
)
from tests.providers.openai_recordings import WEATHER
from tests.providers.openai_served import both

# Messages


@both
def test_instructions_tools_and_what_was_heard_are_told(dialect: str) -> None:
    told = body(dialect)

    first = told.get("instructions") or told["messages"][0]["content"]
    assert first == "Be brief."
    assert said(told) == [{"role": "user", "content": "Hello"}]
    assert (function(told)["name"], function(told)["description"]) == (TOOL.name, TOOL.description)
    assert told.get("store", False) is False


@both
def test_what_is_not_there_is_not_sent(dialect: str) -> None:
    told = body(dialect, instructions="", tools=(), options=Options(cache=False))

    assert told.keys() <= {"model", "input", "messages", "store", "include"}
    assert "Be brief." not in str(told)


def test_parallel_calls_are_answered_one_by_one_in_their_order_in_responses() -> None:
    told = said(body("responses", HELLO, Thought((Text("I look."), PARIS, ROME)), RAIN, SUNNY))

    assert told[1:] == [
        {"role": "assistant", "content": "I look."},
        called("call_1", '{"city":"Paris"}'),
        called("call_2", '{"city":"Rome"}'),
        {"type": "function_call_output", "call_id": "call_1", "output": "sunny"},
        {"type": "function_call_output", "call_id": "call_2", "output": "rain"},
    ]


def test_parallel_calls_are_one_message_and_answered_in_their_order_in_chat() -> None:
    told = said(body("chat", HELLO, Thought((Text("I look."), PARIS, ROME)), RAIN, SUNNY))

    assert told[1]["content"] == "I look."
    assert [call["id"] for call in told[1]["tool_calls"]] == ["call_1", "call_2"]
    assert [call["function"]["arguments"] for call in told[1]["tool_calls"]] == [
        '{"city":"Paris"}',
        '{"city":"Rome"}',
    ]
    assert told[2:] == [
        {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
        {"role": "tool", "tool_call_id": "call_2", "content": "rain"},
    ]


@both
def test_a_turn_of_another_provider_is_rebuilt_from_what_it_said_and_called(dialect: str) -> None:
    parts = (Thinking("hm"), Text("It is"), HostedTool("web_search"), Refusal(" secret."), PARIS)
    turn = Thought(parts, State("anthropic.messages", "claude-opus-5", [{"type": "thinking"}]))

    told = said(body(dialect, HELLO, turn, SUNNY))

    assert told[1]["content"] == "It is secret."
    assert "hm" not in str(told)
    assert "claude" not in str(told)


@both
def test_a_turn_that_says_nothing_is_left_out(dialect: str) -> None:
    told = said(body(dialect, HELLO, Thought((Thinking("hm"),)), Heard("Well?")))

    assert [each["content"] for each in told] == ["Hello", "Well?"]


@both
def test_ids_that_two_providers_gave_twice_are_told_apart(dialect: str) -> None:
    first, second = ToolCall("r1.1", "t", {}, "call.1"), ToolCall("r2.1", "t", {}, "call.1")

    told = said(body(dialect, HELLO, Thought((first,)), HELLO, Thought((second,)), HELLO))

    if dialect == "chat":
        made = [call["id"] for each in told for call in each.get("tool_calls", ())]
        answered = [each["tool_call_id"] for each in told if each["role"] == "tool"]
    else:
        made = [each["call_id"] for each in told if each.get("type") == "function_call"]
        answered = [each["call_id"] for each in told if "output" in each]
    assert made == answered == ["call_1", "r2_1"]


@both
def test_passages_are_told_with_what_a_quote_needs(dialect: str) -> None:
    passage = Passage("hours.md", "Hours", "sha256:0", 0, 6, "At 9.", 1.0)
    result = Result("r1.1", "get_weather", passages=(passage,))

    told = said(body(dialect, HELLO, Thought((PARIS,)), result))[2]

    text = told.get("output") or told["content"]
    assert msgspec.json.decode(text) == [
        {"document": "hours.md", "title": "Hours", "text": "At 9."}
    ]


@both
def test_a_call_without_an_outcome_is_answered_all_the_same(dialect: str) -> None:
    told = said(body(dialect, HELLO, Thought((PARIS,)), Heard("Well?")))

    assert "cancelled" in (told[2].get("output") or told[2]["content"])
    assert told[3] == {"role": "user", "content": "Well?"}


# Choices


@both
@pytest.mark.parametrize(
    ("options", "choice"),
    [
        (Options(), None),
        (Options(tool_choice="auto"), "auto"),
        (Options(tool_choice="none"), "none"),
        (Options(tool_choice="required"), "required"),
        (Options(tool_choice="get_weather"), "get_weather"),
        (Options(tool_choice="nobody_offers_it"), None),
    ],
)
def test_how_tools_are_chosen(dialect: str, options: Options, choice: str | None) -> None:
    told = body(dialect, options=options).get("tool_choice")

    if isinstance(told, dict):
        assert told["type"] == "function"
        told = told.get("function", told)["name"]
    assert told == choice


@both
def test_one_call_at_a_time_when_that_is_wanted(dialect: str) -> None:
    assert "parallel_tool_calls" not in body(dialect)
    assert body(dialect, options=Options(parallel=False))["parallel_tool_calls"] is False


@both
def test_without_tools_nothing_is_chosen(dialect: str) -> None:
    told = body(dialect, tools=(), options=Options(tool_choice="required", parallel=False))

    assert not told.keys() & {"tools", "tool_choice", "parallel_tool_calls"}


@both
@pytest.mark.parametrize(
    ("model", "wanted", "told"),
    [
        ("gpt-5", "", None),
        ("gpt-5", "none", "minimal"),
        ("gpt-5-2025-08-07", "max", "high"),
        ("gpt-5.1", "none", "none"),
        ("gpt-5.1", "minimal", "low"),
        ("gpt-5.2", "max", "xhigh"),
        ("gpt-5.9", "max", "max"),
        ("gpt-7", "high", "high"),
        ("o3", "minimal", "low"),
        ("gpt-5-pro", "low", "high"),
        ("gpt-4.1", "high", None),
        ("gpt-5-chat-latest", "high", None),
        ("ft:gpt-4.1:acme::1", "high", None),
        ("openai/gpt-oss-120b", "max", "high"),
        ("llama-4", "low", "low"),
    ],
)
def test_effort_is_the_nearest_that_the_model_takes(
    dialect: str, model: str, wanted: Effort, told: str | None
) -> None:
    sent = body(dialect, model=model, options=Options(effort=wanted))

    effort = sent.get("reasoning_effort") or sent.get("reasoning", {}).get("effort")
    assert effort == told


@both
@pytest.mark.parametrize(
    ("model", "effort", "sent"),
    [
        ("gpt-4.1", "", True),
        ("gpt-4.1", "high", True),
        ("gpt-5", "", False),
        ("gpt-5", "none", False),
        ("gpt-5.1", "", True),
        ("gpt-5.1", "none", True),
        ("gpt-5.1", "low", False),
        ("o3", "", False),
        ("llama-4", "high", True),
    ],
)
def test_a_temperature_is_sent_to_models_that_do_not_reason(
    dialect: str, model: str, effort: Effort, sent: bool
) -> None:
    told = body(dialect, model=model, options=Options(temperature=0.0, effort=effort))

    assert told.get("temperature") == (0.0 if sent else None)


@pytest.mark.parametrize(
    ("dialect", "model", "name"),
    [
        ("responses", "gpt-5", "max_output_tokens"),
        ("chat", "gpt-5", "max_completion_tokens"),
        ("chat", "llama-4", "max_tokens"),
    ],
)
def test_the_most_tokens_go_by_the_name_that_the_server_knows(
    dialect: str, model: str, name: str
) -> None:
    told = body(dialect, model=model, options=Options(output_tokens_max=100))

    assert {key: told[key] for key in told if key.startswith("max_")} == {name: 100}


def test_thinking_is_asked_for_in_the_form_that_can_be_sent_back() -> None:
    assert body("responses")["include"] == ["reasoning.encrypted_content"]
    assert "include" not in body("responses", model="gpt-4.1")


# Schemas


@both
def test_a_tool_is_strict_when_its_schema_can_be(dialect: str) -> None:
    told = function(body(dialect))

    assert told["strict"] is True
    assert told["parameters"]["required"] == ["city", "day"]
    assert told["parameters"]["properties"]["day"] == {"type": ["string", "null"]}


@both
@pytest.mark.parametrize("parameters", [{}, {"type": "object", "additionalProperties": True}])
def test_a_tool_is_not_strict_when_its_schema_cannot_be(dialect: str, parameters: Json) -> None:
    told = function(body(dialect, tools=(ToolSpec("any", parameters=parameters),)))

    assert not told.get("strict")
    assert told["parameters"] == {"type": "object", "properties": {}, **parameters}


@both
def test_what_may_not_stand_at_the_root_of_a_tool_is_told_in_words(dialect: str) -> None:
    either = {"anyOf": [{"required": ["a"]}, {"required": ["b"]}]}
    told = function(
        body(dialect, tools=(ToolSpec("any", parameters={"type": "object", **either}),))
    )

    assert "anyOf" not in told["parameters"]
    assert '[{"required":["a"]},{"required":["b"]}]' in told["parameters"]["description"]


def form_of(told: Json) -> Json | None:
    """The structured answer that is asked for, in either dialect."""
    inner: Json | None = told.get("response_format", {}).get("json_schema")
    return inner or told.get("text", {}).get("format")


@both
def test_a_structured_answer_is_strict_when_its_schema_can_be(dialect: str) -> None:
    form = form_of(body(dialect, schema={"title": "The weather!", **WEATHER}))

    assert form is not None
    assert (form["name"], form["strict"]) == ("The_weather", True)
    assert form["schema"]["additionalProperties"] is False


@both
def test_a_structured_answer_is_not_strict_when_its_schema_cannot_be(dialect: str) -> None:
    schema = {"type": "object", "additionalProperties": {"type": "string"}}

    form = form_of(body(dialect, schema=schema))

    assert form is not None
    assert (form["name"], form["strict"], form["schema"]) == ("answer", False, schema)


@both
@pytest.mark.parametrize(
    "schema", [{"type": "array"}, {}, {"type": "object", "oneOf": [{"required": ["a"]}, {}]}]
)
def test_a_schema_that_the_api_does_not_know_is_left_to_the_instructions(
    dialect: str, schema: Json
) -> None:
    assert form_of(body(dialect, schema=schema)) is None

"""What Claude is sent: legal messages, passages to cite, files, choices, thinking and the cache."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest

from stepfold.events.transcript import Heard, Item, Result, Thought
from stepfold.events.values import (
    FileRef,
    HostedTool,
    Options,
    Passage,
    Refusal,
    State,
    Text,
    Thinking,
    ToolCall,
)
from stepfold.policy.toolspec import SEARCH_SPEC, ToolSpec
from stepfold.providers.anthropic_messages import API, BEGIN, EMPTY, request
from stepfold.providers.model import Prompt
from stepfold.providers.wire import Json
from tests.providers.anthropic_recordings import WEATHER, as_the_sdk_reads_it

CLAUDE = "claude-sonnet-5-5"
TOOL = ToolSpec("get_weather", "The weather.", WEATHER)
CALL = ToolCall("r1.1", "get_weather", {"city": "Paris"}, "toolu_1")
SUNNY = Result("r1.1", "get_weather", "sunny")
HELLO = Heard("Hello")


def body(*items: Item, model: str = CLAUDE, **more: Any) -> Json:
    """The request after these, which the SDK's types know."""
    given = {"instructions": "Be brief.", "tools": (TOOL,), "call": "r9", **more}
    told = request(Prompt(**given, transcript=items or (HELLO,), model=model))
    assert as_the_sdk_reads_it(told) == told
    return told


def messages(*items: Item, **more: Any) -> list[Json]:
    told: list[Json] = body(*items, options=Options(cache=False), **more)["messages"]
    return told


# Messages


def test_instructions_tools_and_what_was_heard_are_told() -> None:
    told = body(options=Options(cache=False))

    assert told["system"] == [{"type": "text", "text": "Be brief."}]
    assert told["tools"] == [
        {"name": "get_weather", "description": "The weather.", "input_schema": WEATHER}
    ]
    assert told["messages"] == [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}]
    assert (told["model"], told["max_tokens"], "stream" in told) == (CLAUDE, 16_384, False)


def test_sampling_parameters_are_never_sent() -> None:
    told = body(options=Options(temperature=0.2))

    assert not told.keys() & {"temperature", "top_p", "top_k"}


def test_all_results_of_a_turn_are_first_in_one_message() -> None:
    other = ToolCall("r1.2", "get_weather", {"city": "Rome"}, "toolu_2")
    failed = Result("r1.2", "get_weather", "no such city", "failed")

    told = messages(HELLO, Thought((CALL, other)), Heard("and quickly"), failed, SUNNY)

    assert [message["role"] for message in told] == ["user", "assistant", "user"]
    assert told[2]["content"] == [
        {"type": "tool_result", "tool_use_id": "toolu_1", "content": "sunny"},
        {
            "type": "tool_result",
            "tool_use_id": "toolu_2",
            "content": "no such city",
            "is_error": True,
        },
        {"type": "text", "text": "and quickly"},
    ]


def test_ids_that_two_providers_gave_twice_are_told_apart() -> None:
    first, second = ToolCall("r1.1", "t", {}, "call.1"), ToolCall("r2.1", "t", {}, "call.1")

    told = messages(HELLO, Thought((first,)), HELLO, Thought((second,)), HELLO)

    assert [message["content"][0]["id"] for message in told[1::2]] == ["call_1", "r2_1"]
    assert [message["content"][0]["tool_use_id"] for message in told[2::2]] == ["call_1", "r2_1"]


def test_a_foreign_turn_is_rebuilt_from_what_it_said_and_called() -> None:
    parts = (
        Thinking("hm"),
        Text("Let me look."),
        Text(" "),
        HostedTool("web_search", output="much"),
        CALL,
        Refusal("No."),
        FileRef("image/png", blob="sha256:0", name="plot.png"),
    )
    state = State("openai.responses", "gpt-6", [{"type": "reasoning"}])

    told = messages(HELLO, Thought(parts, state), SUNNY)

    assert told[1]["content"] == [
        {"type": "text", "text": "Let me look."},
        {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Paris"}},
        {"type": "text", "text": "No."},
        {"type": "text", "text": "(a file: plot.png)"},
    ]


def test_a_turn_of_an_older_date_of_the_same_model_goes_back_as_it_was() -> None:
    turn = [
        {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
        {"type": "text", "text": "A"},
    ]
    thought = Thought((Thinking("hm"), Text("A")), State(API, "claude-opus-5-20260101", turn))

    told = messages(HELLO, thought, HELLO, model="claude-opus-5")

    assert told[1]["content"] == turn


def test_a_blank_text_that_claude_said_is_not_sent_back_to_it() -> None:
    turn = [{"type": "text", "text": ""}, {"type": "text", "text": "A"}]
    thought = Thought((Text("A"),), State(API, CLAUDE, turn))

    assert messages(HELLO, thought, HELLO)[1]["content"] == [{"type": "text", "text": "A"}]


def test_a_turn_that_says_nothing_is_left_out() -> None:
    told = messages(HELLO, Thought((Thinking("hm"),)), Heard("Well?"))

    assert told == [
        {
            "role": "user",
            "content": [{"type": "text", "text": "Hello"}, {"type": "text", "text": "Well?"}],
        }
    ]


def test_a_conversation_begins_with_the_contact_and_with_words() -> None:
    assert messages(Thought((Text("Welcome!"),)), Heard(" "))[0::2] == [
        {"role": "user", "content": [{"type": "text", "text": BEGIN}]},
        {"role": "user", "content": [{"type": "text", "text": EMPTY}]},
    ]


def test_instructions_that_are_blank_are_not_sent() -> None:
    assert "system" not in body(instructions=" \n")


# Passages and files


def passage(text: str, title: str = "Opening hours") -> Passage:
    return Passage("hours.md", title, "sha256:0", 0, len(text), text, 1.0)


def test_passages_are_search_results_that_are_cited_by_the_sentence() -> None:
    text = "# Hours\n\nWe open at 9.30 a day. Closed on Sunday!\n"
    call = ToolCall("r1.1", "search", {"query": "hours"}, "toolu_1")
    result = Result("r1.1", "search", passages=(passage(text), passage(" ")))

    told = messages(HELLO, Thought((call,)), result, tools=(SEARCH_SPEC,))

    (found,) = told[2]["content"][0]["content"]
    assert {key: found[key] for key in ("type", "source", "title", "citations")} == {
        "type": "search_result",
        "source": "hours.md",
        "title": "Opening hours",
        "citations": {"enabled": True},
    }
    pieces = [block["text"] for block in found["content"]]
    assert pieces == ["# Hours\n\n", "We open at 9.30 a day. ", "Closed on Sunday!\n"]


def test_a_structured_answer_cannot_hold_citations() -> None:
    call = ToolCall("r1.1", "search", {}, "toolu_1")
    result = Result("r1.1", "search", passages=(passage("At 9."),))

    told = body(HELLO, Thought((call,)), result, schema=SCHEMA)

    assert told["messages"][2]["content"][0]["content"][0]["citations"] == {"enabled": False}


@pytest.mark.parametrize(
    ("ref", "block"),
    [
        (
            FileRef("image/png", blob="sha256:1"),
            {
                "type": "image",
                "source": {
                    "type": "base64",
                    "media_type": "image/png",
                    "data": base64.b64encode(b"\x89PNG").decode(),
                },
            },
        ),
        (
            FileRef("application/pdf", url="https://example.com/a.pdf", name="a.pdf"),
            {
                "type": "document",
                "source": {"type": "url", "url": "https://example.com/a.pdf"},
                "title": "a.pdf",
            },
        ),
        (
            FileRef("image/jpeg", url="file_011"),
            {"type": "image", "source": {"type": "file", "file_id": "file_011"}},
        ),
        (
            FileRef("text/csv", blob="sha256:2", name="a.csv"),
            {"type": "text", "text": "a.csv:\na,b\n"},
        ),
        (
            FileRef("audio/wav", blob="sha256:1", name="a.wav"),
            {"type": "text", "text": "(a file that cannot be shown: a.wav)"},
        ),
        (
            FileRef("image/png", blob="sha256:gone"),
            {"type": "text", "text": "(a file that cannot be shown: image/png)"},
        ),
    ],
)
def test_files_are_shown_or_named(ref: FileRef, block: Json) -> None:
    blobs = {"sha256:1": b"\x89PNG", "sha256:2": b"a,b\n"}

    told = messages(Heard("Look.", (ref,)), blobs=blobs)

    assert told[0]["content"] == [block, {"type": "text", "text": "Look."}]


# Choices


@pytest.mark.parametrize(
    ("options", "choice"),
    [
        (Options(), None),
        (Options(parallel=False), {"type": "auto", "disable_parallel_tool_use": True}),
        (Options(tool_choice="auto"), {"type": "auto"}),
        (Options(tool_choice="none", parallel=False), {"type": "none"}),
        (Options(tool_choice="required"), {"type": "any"}),
        (
            Options(tool_choice="get_weather", parallel=False),
            {"type": "tool", "name": "get_weather", "disable_parallel_tool_use": True},
        ),
    ],
)
def test_how_tools_are_chosen(options: Options, choice: Json | None) -> None:
    assert body(options=options).get("tool_choice") == choice


def test_without_tools_nothing_is_chosen() -> None:
    told = body(tools=(), options=Options(tool_choice="required"))

    assert not told.keys() & {"tools", "tool_choice"}


def test_calls_in_the_past_keep_their_tools_and_none_may_be_called() -> None:
    told = body(HELLO, Thought((CALL,)), SUNNY, tools=(), options=Options(cache=False))

    assert [tool["name"] for tool in told["tools"]] == ["get_weather"]
    assert told["tool_choice"] == {"type": "none"}


SCHEMA: Json = {
    "type": "object",
    "properties": {"stars": {"type": "integer", "minimum": 1}, "why": {"type": "string"}},
    "required": ["stars"],
}


def test_a_schema_is_sent_in_the_form_that_the_api_takes() -> None:
    told = body(tools=(), schema=SCHEMA)

    form = told["output_config"]["format"]
    assert form["type"] == "json_schema"
    assert form["schema"]["properties"]["stars"] == {
        "type": "integer",
        "description": "(minimum: 1)",
    }
    assert form["schema"]["required"] == ["stars", "why"]
    assert form["schema"]["additionalProperties"] is False


@pytest.mark.parametrize(
    ("schema", "model"),
    [
        ({"type": "object", "additionalProperties": {"type": "string"}}, CLAUDE),
        (SCHEMA, "claude-3-7-sonnet-20250219"),
        (
            {"type": "object", "properties": {f"p{n}": {"type": "string"} for n in range(17)}},
            CLAUDE,
        ),
    ],
    ids=["a map", "an old model", "too many unions"],
)
def test_a_schema_that_cannot_be_sent_is_left_to_the_instructions(schema: Json, model: str) -> None:
    assert "output_config" not in body(tools=(), schema=schema, model=model)


@pytest.mark.parametrize(
    ("model", "options", "told"),
    [
        (CLAUDE, Options(), {}),
        ("claude-haiku-4-5", Options(effort="low"), {"budget": 2_048}),
        ("claude-sonnet-4-20250514", Options(effort="max"), {"budget": 15_360}),
        ("claude-haiku-4-5", Options(effort="high", output_tokens_max=1_500), {}),
        ("claude-haiku-4-5", Options(effort="none"), {}),
        ("claude-3-haiku-20240307", Options(effort="high"), {}),
        ("claude-opus-4-6", Options(effort="minimal"), {"type": "adaptive", "effort": "low"}),
        (CLAUDE, Options(effort="max"), {"type": "adaptive", "effort": "max"}),
        ("my-own-claude", Options(effort="high"), {"type": "adaptive", "effort": "high"}),
        ("claude-opus-5", Options(effort="none"), {"type": "disabled"}),
        ("claude-opus-5-5", Options(effort="none"), {"effort": "low"}),
        ("claude-fable-5", Options(effort="none"), {"effort": "low"}),
        ("claude-opus-5", Options(effort="high", tool_choice="required"), {"type": "disabled"}),
        ("claude-sonnet-4-5", Options(effort="high", tool_choice="get_weather"), {}),
    ],
)
def test_effort_takes_the_form_that_the_model_knows(
    model: str, options: Options, told: dict[str, object]
) -> None:
    sent = body(model=model, options=options)

    thinking = sent.get("thinking", {})
    said = {
        "budget": thinking.get("budget_tokens"),
        "type": thinking.get("type") if thinking.get("type") != "enabled" else None,
        "effort": sent.get("output_config", {}).get("effort"),
    }
    assert {key: value for key, value in said.items() if value is not None} == told
    assert thinking.get("budget_tokens", 0) < sent["max_tokens"]


# The cache


def without_marks(blocks: list[Json]) -> list[bytes]:
    """Their bytes: the order of the keys counts."""
    bare = ({key: each[key] for key in each if key != "cache_control"} for each in blocks)
    return [msgspec.json.encode(each) for each in bare]


def test_marks_of_the_cache_stand_behind_tools_instructions_and_the_newest_message() -> None:
    told = body(HELLO, Thought((CALL,)), SUNNY, tools=(SEARCH_SPEC, TOOL))

    marked = [
        block
        for blocks in (told["tools"], told["system"], *(m["content"] for m in told["messages"]))
        for block in blocks
        if "cache_control" in block
    ]
    assert marked == [told["tools"][-1], told["system"][-1], told["messages"][-1]["content"][-1]]


def test_a_request_without_a_cache_has_no_marks() -> None:
    assert "cache_control" not in str(body(HELLO, options=Options(cache=False)))


def test_a_request_begins_as_the_one_before_it() -> None:
    second = ToolCall("r2.1", "get_weather", {"city": "Rome"}, "toolu_1")
    thinking = {"type": "thinking", "thinking": "hm", "signature": "c2ln"}
    called = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {}}
    turns: list[tuple[Item, ...]] = [
        (HELLO,),
        (Thought((CALL,), State(API, CLAUDE, [thinking, called])), SUNNY),
        (Heard("And Rome?", (FileRef("image/png", blob="sha256:1"),)),),
        (Thought((second,)), Result("r2.1", "get_weather", "rain")),
        (Thought((Text("Take an umbrella."),)), Heard("Thanks.")),
    ]

    before: list[tuple[str, bytes]] = []
    for number in range(1, len(turns) + 1):
        items = [item for turn in turns[:number] for item in turn]
        told = body(*items, blobs={"sha256:1": b"\x89PNG"})
        assert without_marks(told["tools"] + told["system"]) == without_marks(
            body()["tools"] + body()["system"]
        )
        blocks = [
            (message["role"], block)
            for message in told["messages"]
            for block in without_marks(message["content"])
        ]
        assert blocks[: len(before)] == before
        before = blocks

"""What Cohere is sent: legal messages, documents to cite, images, choices; and what it cites."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from stepfold.events.transcript import Heard, Item, Result, Thought
from stepfold.events.values import (
    Citation,
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
from stepfold.handlers.prompt import reasoned
from stepfold.policy.toolspec import SEARCH_SPEC, ToolSpec
from stepfold.providers.cohere_chat import API, EMPTY, reply, request
from stepfold.providers.model import Prompt
from stepfold.providers.wire import Json
from stepfold.testing import ASKED
from tests.providers.cohere_recordings import as_the_sdk_reads_it

MODEL = "command-a-03-2025"
PARAMETERS: Json = {"type": "object", "properties": {"at": {"type": "string"}}}
TOOL = ToolSpec("look", "Looks.", PARAMETERS)
CALL = ToolCall("r1.1", "look", {"at": "sea"}, "look_1")
HELLO = Heard("Hello")
TEXT = "# Hours\n\nWe open at 9. Closed on Sunday!\n"
PASSAGE = Passage("hours.md", "Hours", "sha256:0", 100, 100 + len(TEXT), TEXT, 1.0)


def body(*items: Item, **more: Any) -> Json:
    """The request after these, which the SDK's types know."""
    given = {"instructions": "Be brief.", "tools": (TOOL,), "call": "r9", "model": MODEL, **more}
    told = request(Prompt(**given, transcript=items or (HELLO,)))
    assert as_the_sdk_reads_it(told) == told
    return told


def messages(*items: Item, **more: Any) -> list[Json]:
    told: list[Json] = body(*items, **more)["messages"]
    return told


def test_instructions_tools_and_what_was_heard_are_told() -> None:
    assert body() == {
        "model": MODEL,
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "Hello"}]},
        ],
        "stream": False,
        "tools": [
            {
                "type": "function",
                "function": {"name": "look", "description": "Looks.", "parameters": PARAMETERS},
            }
        ],
    }


def test_each_result_follows_its_turn() -> None:
    other = ToolCall("r1.2", "look", {}, "look_1")
    failed = Result("r1.2", "look", "no such place", "failed")

    told = messages(HELLO, Thought((CALL, other)), Heard("Well?"), failed, Result("r1.1", "look"))

    assert [call["id"] for call in told[2]["tool_calls"]] == ["look_1", "r1_2"]
    assert told[3:5] == [
        {"role": "tool", "tool_call_id": "look_1", "content": "(ok: nothing)"},
        {"role": "tool", "tool_call_id": "r1_2", "content": "failed: no such place"},
    ]
    assert told[5]["role"] == "user"


def test_a_foreign_turn_is_rebuilt_from_what_it_said_and_called() -> None:
    parts = (
        Thinking("hm"),
        Text("Let me look."),
        Text(""),
        HostedTool("web_search", output="much"),
        CALL,
        Refusal("No."),
        FileRef("image/png", blob="sha256:0"),
    )
    state = State("openai.responses", MODEL, [{"type": "reasoning"}])

    told = messages(HELLO, Thought(parts, state))

    assert told[2] == {
        "role": "assistant",
        "content": [
            {"type": "text", "text": "Let me look."},
            {"type": "text", "text": "No."},
            {"type": "text", "text": "(a file: image/png)"},
        ],
        "tool_calls": [
            {
                "id": "look_1",
                "type": "function",
                "function": {"name": "look", "arguments": '{"at":"sea"}'},
            }
        ],
    }


def test_a_turn_of_the_same_family_goes_back_as_it_was_with_its_ids() -> None:
    call = {"id": "a.1", "type": "function", "function": {"name": "look", "arguments": ""}}
    turn = {"role": "assistant", "tool_plan": "I look.", "tool_calls": [call]}
    said = ToolCall("r1.1", "look", {}, "a.1")

    told = messages(HELLO, Thought((Thinking("I look."), said), State(API, "command-a", turn)))

    assert told[2] == turn
    assert told[3]["tool_call_id"] == "a.1"


def test_turns_and_messages_that_say_nothing() -> None:
    told = messages(HELLO, Thought((Thinking("hm"),)), Heard("Well?"), instructions=" ")

    assert [block["text"] for block in told[0]["content"]] == ["Hello", "Well?"]
    assert messages(Heard(" "))[1]["content"] == [{"type": "text", "text": EMPTY}]


def test_an_empty_turn_of_its_own_is_not_sent_back() -> None:
    turn = {"role": "assistant", "content": [], "tool_plan": "hm"}

    told = messages(HELLO, Thought((Thinking("hm"),), State(API, MODEL, turn)), Heard("Well?"))

    assert [message["role"] for message in told] == ["system", "user"]


def test_passages_are_documents_in_the_result_of_their_search() -> None:
    call = ToolCall("r1.1", "search", {"query": "hours"}, "search_1")
    result = Result("r1.1", "search", passages=(PASSAGE, PASSAGE))

    told = messages(HELLO, Thought((call,)), result, tools=(SEARCH_SPEC,))

    data = {"document": "hours.md", "title": "Hours", "text": TEXT}
    assert told[3]["content"] == [
        {"type": "document", "document": {"id": f"search_1:{number}", "data": data}}
        for number in (0, 1)
    ]


@pytest.mark.parametrize(
    ("ref", "block"),
    [
        (
            FileRef("image/png", blob="sha256:1"),
            {
                "type": "image_url",
                "image_url": {"url": f"data:image/png;base64,{base64.b64encode(b'PNG').decode()}"},
            },
        ),
        (
            FileRef("image/png", url="https://example.com/a.png"),
            {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        ),
        (
            FileRef("text/csv", blob="sha256:2", name="a.csv"),
            {"type": "text", "text": "a.csv:\na,b\n"},
        ),
        (
            FileRef("application/pdf", blob="sha256:1", name="a.pdf"),
            {"type": "text", "text": "(a file that cannot be shown: a.pdf)"},
        ),
    ],
)
def test_files_are_shown_or_named(ref: FileRef, block: Json) -> None:
    blobs = {"sha256:1": b"PNG", "sha256:2": b"a,b\n"}

    told = messages(Heard("Look.", (ref,)), blobs=blobs)

    assert told[1]["content"] == [block, {"type": "text", "text": "Look."}]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (Options(tool_choice="auto"), {}),
        (Options(tool_choice="none"), {"tool_choice": "NONE"}),
        (Options(tool_choice="required"), {"tool_choice": "REQUIRED"}),
        (
            Options(output_tokens_max=9, temperature=0.5),
            {"max_tokens": 9, "temperature": 0.5},
        ),
        (Options(effort="none"), {"thinking": {"type": "disabled"}}),
        (Options(effort="low"), {"thinking": {"type": "enabled", "token_budget": 2_048}}),
        (Options(effort="max"), {"thinking": {"type": "enabled"}}),
    ],
)
def test_options(options: Options, told: Json) -> None:
    plain = body().keys()

    assert {key: value for key, value in body(options=options).items() if key not in plain} == told


def test_a_tool_that_must_be_called_is_the_only_one_offered() -> None:
    told = body(tools=(TOOL, SEARCH_SPEC), options=Options(tool_choice="search"))

    assert [tool["function"]["name"] for tool in told["tools"]] == ["search"]
    assert told["tool_choice"] == "REQUIRED"


OBJECT: Json = {"type": "object", "properties": {"stars": {"type": "integer"}}}


@pytest.mark.parametrize(
    ("schema", "form"),
    [
        (
            {**OBJECT, "required": ["stars"]},
            {
                "type": "json_object",
                "json_schema": {
                    **OBJECT,
                    "required": ["stars"],
                    "additionalProperties": False,
                },
            },
        ),
        ({"type": "object"}, {"type": "json_object"}),
        ({"type": "array", "items": OBJECT}, None),
    ],
)
def test_a_schema_is_sent_as_far_as_cohere_knows_it(schema: Json, form: Json | None) -> None:
    assert body(tools=(), schema=schema).get("response_format") == form


def test_with_tools_no_form_can_be_asked_for() -> None:
    assert "response_format" not in body(schema=OBJECT)


# What it cites


def answer(text: str, *citations: Json) -> Json:
    content = [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": text}]
    message = {"role": "assistant", "content": content, "citations": list(citations)}
    return {"id": "x", "finish_reason": "COMPLETE", "message": message}


def cites(text: str, source: Json, **more: Any) -> Json:
    return {"start": 0, "end": 1, "text": text, "sources": [source], "type": "TEXT_CONTENT", **more}


DOCUMENT: Json = {
    "type": "document",
    "id": "search_1:0",
    "document": {"id": "search_1:0", "document": "hours.md", "title": "Hours", "text": TEXT},
}


def test_a_cited_document_is_quoted_by_the_sentence_and_placed() -> None:
    raw = answer("On a Sunday it is closed.", cites("On a Sunday it is closed", DOCUMENT))

    event = reasoned(ASKED, reply(raw), elapsed_ms=1, passages=(PASSAGE,))

    text = event.parts[1]
    assert isinstance(text, Text)
    begin = 100 + TEXT.index("Closed")
    quote = "Closed on Sunday!"
    assert text.citations == (Citation("hours.md", "sha256:0", begin, begin + len(quote), quote),)


def test_words_that_stand_in_the_document_choose_their_sentence() -> None:
    told = reply(answer("At 9.", cites("9.", DOCUMENT), cites("9", DOCUMENT)))

    assert told.parts[1] == Text("At 9.", (Citation("hours.md", "", 0, 0, "We open at 9."),))


def test_a_document_that_says_it_in_other_words_is_quoted_as_a_whole() -> None:
    told = reply(answer("Never.", cites("Never.", DOCUMENT)))

    assert told.parts[1] == Text("Never.", (Citation("hours.md", "", 0, 0, TEXT.strip()),))


@pytest.mark.parametrize(
    "citation",
    [
        cites("x", {"type": "tool", "id": "look_1:0", "tool_output": {"content": "x"}}),
        cites("x", DOCUMENT, type="PLAN"),
        cites("x", DOCUMENT, content_index=7),
        {"text": "x"},
    ],
    ids=["another tool's result", "of a plan", "of another text", "no source"],
)
def test_what_cites_no_document_in_a_text_is_only_in_the_state(citation: Json) -> None:
    told = reply(answer("At 9.", citation))

    assert told.parts[1] == Text("At 9.")
    assert told.state is not None
    assert told.state.turn["citations"] == [citation]

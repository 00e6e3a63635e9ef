"""What Gemini is asked: every body is held against the types of Google's own SDK."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from stepfold.events.transcript import Heard, Item, Result, Thought
from stepfold.events.values import (
    Effort,
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
from stepfold.policy.toolspec import ToolSpec
from stepfold.providers import google_embeddings as embeddings
from stepfold.providers import google_generate as generate
from stepfold.providers.google_parts import UNSIGNED
from stepfold.providers.model import Prompt
from stepfold.providers.wire import Json
from tests.providers.google_recordings import WEATHER, as_the_sdk_reads_it

GEMINI = "gemini-2.5-flash"
CALL = ToolCall("r1.1", "get_weather", {"city": "Bern"}, "toolu_1")
OTHER = ToolCall("r1.2", "get_weather", {"city": "Chur"}, "toolu_2")
PNG = b"\x89PNG-bytes"


def asked(*items: Item, model: str = GEMINI, **more: Any) -> Json:
    told = Prompt(
        **{"instructions": "", "tools": (), "call": "r9", **more},
        transcript=items or (Heard("Hello"),),
        model=model,
    )
    return as_the_sdk_reads_it(generate.request(told))


def said(*items: Item, **more: Any) -> list[Json]:
    contents: list[Json] = asked(*items, **more)["contents"]
    return contents


def config(model: str = GEMINI, *, schema: Json | None = None, **options: Any) -> Json:
    told: Json = asked(model=model, schema=schema, options=Options(**options))
    found: Json = told.get("generationConfig", {})
    return found


def test_a_message_is_all_that_is_asked_where_nothing_else_is_said() -> None:
    assert asked() == {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}


def test_instructions_and_tools_stand_before_the_conversation() -> None:
    tools = ToolSpec("get_weather", "The weather.", WEATHER), ToolSpec("now")

    body = asked(instructions="Be brief.", tools=tools)

    assert list(body) == ["systemInstruction", "tools", "contents"]
    assert body["systemInstruction"] == {"parts": [{"text": "Be brief."}]}
    declared = {
        "name": "get_weather",
        "description": "The weather.",
        "parametersJsonSchema": WEATHER,
    }
    assert body["tools"] == [{"functionDeclarations": [declared, {"name": "now"}]}]


def test_a_schema_of_arguments_is_sent_without_references() -> None:
    city = {"$ref": "#/$defs/City"}
    parameters = {"properties": {"city": city}, "$defs": {"City": {"type": "string"}}}

    (tool,) = asked(tools=(ToolSpec("f", "", parameters),))["tools"][0]["functionDeclarations"]

    assert tool["parametersJsonSchema"] == {
        "type": "object",
        "properties": {"city": {"type": "string"}},
    }


@pytest.mark.parametrize(
    ("choice", "told"),
    [
        ("", None),
        ("auto", {"mode": "AUTO"}),
        ("none", {"mode": "NONE"}),
        ("required", {"mode": "ANY"}),
        ("get_weather", {"mode": "ANY", "allowedFunctionNames": ["get_weather"]}),
    ],
)
def test_how_a_tool_is_chosen(choice: str, told: Json | None) -> None:
    body = asked(tools=(ToolSpec("get_weather"),), options=Options(tool_choice=choice))

    assert body.get("toolConfig", {}).get("functionCallingConfig") == told


def test_limits_and_temperature_are_told() -> None:
    assert config(output_tokens_max=7, temperature=0.5) == {
        "maxOutputTokens": 7,
        "temperature": 0.5,
    }


EFFORTS: tuple[tuple[str, Effort, Json], ...] = (
    ("gemini-2.0-flash", "high", {}),
    ("gemma-3-27b-it", "high", {}),
    ("gemini-2.5-flash-image", "high", {}),
    ("gemini-2.5-flash", "", {}),
    ("gemini-2.5-flash", "none", {"thinkingBudget": 0, "includeThoughts": False}),
    ("gemini-2.5-flash", "low", {"thinkingBudget": 2_048, "includeThoughts": True}),
    ("gemini-2.5-flash-lite", "max", {"thinkingBudget": 24_576, "includeThoughts": True}),
    ("models/gemini-2.5-pro", "none", {"thinkingBudget": 128, "includeThoughts": True}),
    ("gemini-2.5-pro", "max", {"thinkingBudget": 32_768, "includeThoughts": True}),
    ("gemini-3-flash-preview", "none", {"thinkingLevel": "MINIMAL", "includeThoughts": False}),
    ("gemini-3-flash-preview", "medium", {"thinkingLevel": "MEDIUM", "includeThoughts": True}),
    ("gemini-3-pro-preview", "minimal", {"thinkingLevel": "LOW", "includeThoughts": True}),
    ("gemini-3-pro-preview", "medium", {"thinkingLevel": "HIGH", "includeThoughts": True}),
    ("gemini-3.1-pro-preview", "medium", {"thinkingLevel": "MEDIUM", "includeThoughts": True}),
    ("gemini-flash-latest", "max", {"thinkingLevel": "HIGH", "includeThoughts": True}),
)


@pytest.mark.parametrize(("model", "effort", "told"), EFFORTS)
def test_each_generation_is_told_in_its_own_way_how_much_to_think(
    model: str, effort: Effort, told: Json
) -> None:
    assert config(model, effort=effort).get("thinkingConfig", {}) == told


def test_a_structured_answer_has_its_schema() -> None:
    assert config(schema=WEATHER) == {
        "responseMimeType": "application/json",
        "responseJsonSchema": WEATHER,
    }


@pytest.mark.parametrize(("model", "both"), [(GEMINI, False), ("gemini-3-flash-preview", True)])
def test_only_newer_models_take_a_schema_beside_tools(model: str, both: bool) -> None:
    body = asked(model=model, schema=WEATHER, tools=(ToolSpec("now"),))

    assert ("responseJsonSchema" in body.get("generationConfig", {})) is both


def test_the_results_of_a_turn_stand_together_and_directly_after_it() -> None:
    turn = Thought((Text("Let me see."), CALL, OTHER))
    results = Result("r1.2", "get_weather", "no", "failed"), Result("r1.1", "get_weather", "sun")

    contents = said(Heard("Weather?"), turn, *results, Heard("Thanks."))

    assert [content["role"] for content in contents] == ["user", "model", "user", "user"]
    assert contents[2]["parts"] == [
        {
            "functionResponse": {
                "id": "toolu_1",
                "name": "get_weather",
                "response": {"output": "sun"},
            }
        },
        {
            "functionResponse": {
                "id": "toolu_2",
                "name": "get_weather",
                "response": {"error": "failed: no"},
            }
        },
    ]


def test_passages_are_told_with_what_a_citation_needs() -> None:
    passage = Passage("a.md", "A", "sha", 0, 3, "Sun", 1.0)
    result = Result("r1.1", "search", passages=(passage,))

    contents = said(Heard("Hi"), Thought((CALL,)), result)

    assert contents[2]["parts"][0]["functionResponse"]["response"] == {
        "output": [{"document": "a.md", "title": "A", "text": "Sun"}]
    }


def test_only_the_first_call_of_another_models_turn_is_marked() -> None:
    turn = Thought((Thinking("hm"), HostedTool("web_search"), Refusal("No."), CALL, OTHER))

    parts = said(Heard("Weather?"), turn)[1]["parts"]

    assert [list(part) for part in parts] == [
        ["text"],
        ["functionCall", "thoughtSignature"],
        ["functionCall"],
    ]
    assert parts[1]["thoughtSignature"] == UNSIGNED


def test_calls_that_came_without_an_id_go_back_without_one_and_so_do_their_results() -> None:
    wire = [{"functionCall": {"name": "now", "args": {}}, "thoughtSignature": "c2ln"}]
    call = ToolCall("r1.1", "now", {})
    turn = Thought((call,), State(generate.API, GEMINI, wire))

    contents = said(Heard("Time?"), turn, Result("r1.1", "now", "noon"))

    assert contents[1]["parts"] == wire
    assert contents[2]["parts"] == [
        {"functionResponse": {"name": "now", "response": {"output": "noon"}}}
    ]


def test_an_id_that_two_turns_have_is_not_sent_twice() -> None:
    again = ToolCall("r2.1", "get_weather", {"city": "Chur"}, "toolu_1")

    contents = said(Heard("A"), Thought((CALL,)), Heard("B"), Thought((again,)))

    ids = [p["functionCall"]["id"] for c in contents for p in c["parts"] if "functionCall" in p]
    assert ids == ["toolu_1", "r2_1"]
    results = [p["functionResponse"] for c in contents for p in c["parts"] if len(c["parts"]) == 1
               and "functionResponse" in p]  # fmt: skip
    assert [each["id"] for each in results] == ids


def test_turns_that_follow_each_other_are_one_and_empty_ones_are_none() -> None:
    contents = said(Heard("A"), Thought((Text("b"),)), Thought(()), Thought((CALL,)))

    assert [content["role"] for content in contents] == ["user", "model", "user"]
    assert len(contents[1]["parts"]) == 2


def test_a_conversation_that_the_model_begins_is_begun_for_it() -> None:
    contents = said(Thought((Text("Hello, may I help?"),)), Heard(""))

    assert [content["role"] for content in contents] == ["user", "model", "user"]
    assert contents[2]["parts"] == [{"text": generate.EMPTY}]


FILES: tuple[tuple[FileRef, Json], ...] = (
    (FileRef("image/png", blob="b"),
     {"inlineData": {"mimeType": "image/png", "data": base64.b64encode(PNG).decode()}}),
    (FileRef("application/pdf", blob="b"),
     {"inlineData": {"mimeType": "application/pdf", "data": base64.b64encode(PNG).decode()}}),
    (FileRef("audio/mp3", url="gs://bucket/a.mp3"),
     {"fileData": {"mimeType": "audio/mp3", "fileUri": "gs://bucket/a.mp3"}}),
    (FileRef("", url="https://generativelanguage.googleapis.com/v1beta/files/a"),
     {"fileData": {"fileUri": "https://generativelanguage.googleapis.com/v1beta/files/a"}}),
    (FileRef("text/csv", blob="t", name="a.csv"), {"text": "a.csv:\na,b"}),
    (FileRef("image/gif", blob="b", name="a.gif"),
     {"text": "(a file that cannot be shown: a.gif)"}),
    (FileRef("image/png", blob="gone"), {"text": "(a file that cannot be shown: image/png)"}),
    (FileRef("application/pdf", url="file_01AB"),
     {"text": "(a file that cannot be shown: file_01AB)"}),
)  # fmt: skip


@pytest.mark.parametrize(("ref", "told"), FILES, ids=range(1, len(FILES) + 1))
def test_a_file_is_shown_or_named(ref: FileRef, told: Json) -> None:
    contents = said(Heard("Look", (ref,)), blobs={"b": PNG, "t": b"a,b"})

    assert contents[0]["parts"] == [told, {"text": "Look"}]


def test_an_image_that_gemini_made_is_kept_beside_the_log_and_goes_back_as_it_was() -> None:
    data = base64.urlsafe_b64encode(PNG + b"\xff\xfe\xfb").decode()
    part = {"inlineData": {"mimeType": "image/png", "data": data}, "thoughtSignature": "c2ln"}
    content = {"role": "model", "parts": [{"text": "Here."}, part]}
    reply = generate.reply({"candidates": [{"content": content, "finishReason": "STOP"}]})
    assert reply.state is not None
    state = State(reply.state.api, GEMINI, reply.state.turn)

    parts = said(Heard("Paint"), Thought(reply.parts, state), blobs=reply.blobs)[1]["parts"]
    without = said(Heard("Paint"), Thought(reply.parts, state))[1]["parts"]

    (name,) = reply.blobs
    assert reply.blobs[name] == PNG + b"\xff\xfe\xfb"
    assert data not in str(reply.state.turn)
    standard = base64.b64encode(reply.blobs[name]).decode()
    assert parts[1] == {**part, "inlineData": {"mimeType": "image/png", "data": standard}}
    assert without[1] == {
        "thoughtSignature": "c2ln",
        "text": "(a file that cannot be shown: image/png)",
    }


def test_a_request_begins_as_the_one_before_it() -> None:
    before: tuple[Item, ...] = (Heard("Weather?"), Thought((CALL,)), Result("r1.1", "w", "sun"))
    tools = (ToolSpec("get_weather", "The weather.", WEATHER),)

    first = str(asked(*before, tools=tools, instructions="Be brief."))
    second = str(asked(*before, Heard("And?"), tools=tools, instructions="Be brief."))

    assert second.startswith(first.removesuffix("]}"))


def test_texts_are_embedded_in_as_few_requests_as_the_limits_allow() -> None:
    texts = ["x"] * 101 + ["y" * 15_000, "z" * 15_000, "w" * 30_000]

    told = [len(batch) for batch in embeddings.batches(texts)]

    assert told == [100, 2, 1, 1]
    assert list(embeddings.batches([])) == []


def test_each_api_of_vertex_takes_the_task_in_its_own_place() -> None:
    gemini = "publishers/google/models/gemini-embedding-001"
    older = "publishers/google/models/text-embedding-005"

    (one,) = embeddings.request(["a"], gemini, "document", vertex=True)["requests"]
    other = embeddings.request([""], older, "query", vertex=True)

    assert one["embedContentConfig"] == {"taskType": "RETRIEVAL_DOCUMENT"}
    assert other == {"instances": [{"content": " ", "task_type": "RETRIEVAL_QUERY"}]}
    assert embeddings.method(older, vertex=False) == "batchEmbedContents"

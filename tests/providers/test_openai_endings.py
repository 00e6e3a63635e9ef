"""How an answer of OpenAI's may end short of what was hoped for, whole or streamed."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from stepfold.events.values import Refusal, Text, Thinking, ToolCall
from stepfold.providers.openai import DialectName
from stepfold.providers.wire import Json
from tests.providers.openai_served import (
    MESSAGE,
    WHOLE,
    both,
    model,
    nobody,
    prompt,
    replied,
    sse,
    with_message,
)
from tests.providers.raw_server import stream

either = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])


def ended(dialect: DialectName, word: str) -> Json:
    """WHOLE, with `word` as the provider's reason to finish."""
    if dialect == "chat":
        return {
            **WHOLE["chat"],
            "choices": [{**WHOLE["chat"]["choices"][0], "finish_reason": word}],
        }
    return {**WHOLE["responses"], "status": "incomplete", "incomplete_details": {"reason": word}}


@either
@pytest.mark.parametrize(
    ("dialect", "word", "finish"),
    [
        ("chat", "length", "length"),
        ("chat", "content_filter", "content_filter"),
        ("chat", "tired", "unknown"),
        ("responses", "max_output_tokens", "length"),
        ("responses", "content_filter", "content_filter"),
        ("responses", "tired", "unknown"),
    ],
)
async def test_an_answer_that_was_cut_short_is_an_answer(
    dialect: DialectName, word: str, finish: str, streamed: bool
) -> None:
    reply = await replied(dialect, ended(dialect, word), streamed=streamed)

    assert (reply.finish, reply.finish_word) == (finish, word)
    assert reply.all_text() == "Hello there, friend."
    assert reply.usage is not None
    assert reply.usage.output == 5


@either
@pytest.mark.parametrize(
    ("dialect", "empty"), [("chat", {"content": ""}), ("responses", {"output": []})]
)
async def test_an_empty_answer_is_an_answer_without_parts(
    dialect: DialectName, empty: Json, streamed: bool
) -> None:
    reply = await replied(dialect, with_message(dialect, **empty), streamed=streamed)

    assert (reply.parts, reply.finish) == ((), "stop")
    assert reply.usage is not None


@either
@both
async def test_a_refusal_is_a_part_and_a_reason_to_finish(
    dialect: DialectName, streamed: bool
) -> None:
    content = [{"type": "refusal", "refusal": "I cannot."}]
    refused: dict[DialectName, Json] = {
        "chat": {"content": None, "refusal": "I cannot."},
        "responses": {"output": [{**MESSAGE, "content": content}]},
    }

    reply = await replied(dialect, with_message(dialect, **refused[dialect]), streamed=streamed)

    assert (reply.parts, reply.finish) == ((Refusal("I cannot."),), "refusal")


def called(dialect: DialectName, arguments: str | None) -> Json:
    function = {"name": "look_up", "arguments": arguments}
    if dialect == "chat":
        call = {"type": "function", "id": "call_1", "function": function}
        return with_message("chat", content=None, tool_calls=[call])
    item = {"type": "function_call", "id": "fc_1", "call_id": "call_1", **function}
    return with_message("responses", output=[item])


@both
@pytest.mark.parametrize("arguments", ['{"city": "Par', "[1]", '"Paris"'])
async def test_arguments_that_are_no_object_are_kept_in_the_state(
    dialect: DialectName, arguments: str
) -> None:
    raw = called(dialect, arguments)

    reply = await replied(dialect, raw)

    assert reply.parts == (ToolCall("", "look_up", {}, "call_1"),)
    assert reply.finish == "malformed_tool_call"
    assert reply.state is not None
    written: dict[DialectName, Any] = {
        "chat": lambda: reply.state.turn["tool_calls"][0]["function"],
        "responses": lambda: reply.state.turn[0],
    }
    assert written[dialect]()["arguments"] == arguments


@both
@pytest.mark.parametrize("arguments", ["", "null", None, "{}"])
async def test_no_arguments_are_an_empty_object(
    dialect: DialectName, arguments: str | None
) -> None:
    reply = await replied(dialect, called(dialect, arguments))

    assert reply.parts == (ToolCall("", "look_up", {}, "call_1"),)
    assert reply.finish == "tool_calls"


async def test_a_compatible_server_may_tell_its_thinking_and_its_text_in_pieces() -> None:
    content = [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}]

    reply = await replied("chat", with_message("chat", content=content, reasoning_content="hm"))

    assert reply.parts == (Thinking("hm"), Text("Hello"))


def piece(name: str = "", arguments: str = "", **more: Any) -> Json:
    return {"function": {"name": name or None, "arguments": arguments}, **more}


@pytest.mark.parametrize(
    "told",
    [
        [
            piece("f", "", index=0, id="c1"),
            piece(arguments='{"a"', index=0),
            piece("g", '{"b": 2}', index=1, id="c2"),
            piece(arguments=": 1}", index=0),
        ],
        [piece("f", '{"a": 1}', index=0, id="c1"), piece("g", '{"b": 2}', index=0, id="c2")],
        [
            piece("f", '{"a"', id="c1"),
            piece(arguments=": 1}"),
            piece("g", '{"b"', id="c2"),
            piece(arguments=": 2}", id="c2"),
        ],
    ],
    ids=["by index", "one index for all", "no index"],
)
async def test_pieces_of_calls_find_together_whatever_index_a_server_gives(
    told: list[Json],
) -> None:
    chunks = [{"choices": [{"index": 0, "delta": {"tool_calls": [each]}}]} for each in told]
    end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}
    events = [sse("", msgspec.json.encode(each).decode()) for each in (*chunks, end)]

    async with model("chat", stream(*events, sse("", "[DONE]"))) as (openai, _):
        reply = await openai.reply(prompt(hear=nobody))

    assert reply.parts == (ToolCall("", "f", {"a": 1}, "c1"), ToolCall("", "g", {"b": 2}, "c2"))
    assert reply.finish == "tool_calls"

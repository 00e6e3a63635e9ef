"""Google over a real connection: why it stopped, and answers that are less than one would wish."""

from __future__ import annotations

import msgspec
import pytest

from stepfold.events.values import ToolCall
from stepfold.providers.wire import Json
from tests.providers.google_served import (
    model,
    nobody,
    pieces,
    prompt,
    told,
)
from tests.providers.raw_server import stream


async def test_an_empty_answer_is_an_answer_without_parts() -> None:
    contents: tuple[Json | None, ...] = ({}, {"parts": []}, {"parts": [{"text": ""}]}, None)
    for content in contents:
        assert (await told(content=content)).parts == ()


async def test_a_chunk_may_leave_out_all_but_why_it_stopped() -> None:
    end = {"content": None, "citationMetadata": None, "finishReason": "STOP"}
    last = msgspec.json.encode({"candidates": [end]}).decode()
    async with model(stream(*pieces()[:3], f"data: {last}\n\n")) as (google, _):
        reply = await google.reply(prompt(hear=nobody))

    assert (reply.all_text(), reply.finish) == ("Hello there, friend.", "stop")


@pytest.mark.parametrize(
    ("word", "finish"),
    [
        ("SAFETY", "content_filter"),
        ("PROHIBITED_CONTENT", "content_filter"),
        ("MAX_TOKENS", "length"),
        ("MALFORMED_FUNCTION_CALL", "malformed_tool_call"),
        ("SOMETHING_NEW", "unknown"),
    ],
)
async def test_why_it_stopped_is_told_in_our_word_and_its_own(word: str, finish: str) -> None:
    reply = await told(content={}, finishReason=word)

    assert (reply.finish, reply.finish_word, reply.parts) == (finish, word, ())


@pytest.mark.parametrize("word", ["STOP", "FUNCTION_CALL", ""])
async def test_an_answer_with_calls_wants_tools_whatever_it_says(word: str) -> None:
    calls = [{"functionCall": {"name": "now"}}, {"functionCall": {"name": "f", "args": {"a": 1}}}]

    reply = await told(content={"parts": calls}, finishReason=word)

    assert reply.finish == "tool_calls"
    assert reply.parts == (ToolCall("", "now", {}), ToolCall("", "f", {"a": 1}))

"""Every recorded exchange with Anthropic: read, kept in the log, and sent again."""

from __future__ import annotations

import msgspec
import pytest

from stepfold.events.values import HostedTool, Text, Thinking, ToolCall
from stepfold.providers import anthropic_messages as messages
from stepfold.providers.model import Malformed
from stepfold.providers.wire import Json
from tests.providers.anthropic_recordings import (
    WIRE,
    Exchange,
    as_the_sdk_reads_it,
    assembled,
    exchanges,
    heard,
    in_pieces,
    prompt_after,
)
from tests.providers.logged import read, thought, written

pytestmark = pytest.mark.skipif(not WIRE.is_dir(), reason=f"{WIRE} is absent; set STEPFOLD_DATA")

ONLY_BETA = frozenset({"mcp_tool_use", "mcp_tool_result", "advisor_tool_result"})
"""Blocks that the SDK knows in its beta types only."""
each_answer = pytest.mark.parametrize("told", exchanges(), ids=lambda told: told.name)
each_whole = pytest.mark.parametrize(
    "told", [each for each in exchanges() if not each.stream], ids=lambda told: told.name
)
each_stream = pytest.mark.parametrize(
    "told", [each for each in exchanges() if each.stream], ids=lambda told: told.name
)


def kinds(raw: Json) -> set[str]:
    return {block["type"] for block in raw["content"]}


def test_all_of_them_are_there() -> None:
    states = [messages.reply(told.raw).state for told in exchanges()]

    assert len(exchanges()) == 156
    assert sum(bool(told.stream) for told in exchanges()) == 3
    assert sum(state is not None for state in states) == 59


@each_answer
def test_an_answer_survives_the_log(told: Exchange) -> None:
    reply = messages.reply(told.raw)
    event = written(reply)

    assert read(event) == event
    assert event.usage is not None
    assert event.usage.raw == told.raw["usage"]
    assert (event.response, event.model) == (told.raw["id"], told.raw["model"])


@each_answer
def test_nothing_that_was_said_is_lost(told: Exchange) -> None:
    parts = messages.reply(told.raw).parts
    blocks = told.raw["content"]

    assert [part.text for part in parts if isinstance(part, Text)] == [
        block["text"] for block in blocks if block["type"] == "text"
    ]
    assert [part.text for part in parts if isinstance(part, Thinking)] == [
        block["thinking"] for block in blocks if block.get("thinking")
    ]
    assert [
        (part.provider_call, part.arguments) for part in parts if isinstance(part, ToolCall)
    ] == [(block["id"], block["input"]) for block in blocks if block["type"] == "tool_use"]
    outputs = [part.output for part in parts if isinstance(part, HostedTool)]
    assert outputs == [block["content"] for block in blocks if "tool_use_id" in block]


@each_answer
def test_to_the_same_model_a_turn_goes_back_as_it_was(told: Exchange) -> None:
    reply = messages.reply(told.raw)

    body = messages.request(prompt_after(thought(reply), model=reply.model))

    assert body["messages"][1] == {"role": "assistant", "content": told.raw["content"]}


@each_answer
def test_its_next_request_is_of_the_sdks_types(told: Exchange) -> None:
    reply = messages.reply(told.raw)

    body = messages.request(prompt_after(thought(reply), model=reply.model))

    assert as_the_sdk_reads_it(body, beta=bool(kinds(told.raw) & ONLY_BETA)) == body


@each_answer
def test_to_another_model_a_turn_is_rebuilt_without_what_is_not_its_own(told: Exchange) -> None:
    reply = messages.reply(told.raw)

    body = messages.request(prompt_after(thought(reply), model="claude-opus-9"))

    assert as_the_sdk_reads_it(body) == body
    said = [message for message in body["messages"] if message["role"] == "assistant"]
    assert {block["type"] for block in said[0]["content"]} == kinds(told.raw) & {"text", "tool_use"}


@each_answer
def test_every_call_is_answered_in_the_next_message_first(told: Exchange) -> None:
    reply = messages.reply(told.raw)

    body = messages.request(prompt_after(thought(reply), model=reply.model))

    _, said, answer = body["messages"]
    called = [block["id"] for block in said["content"] if block["type"] == "tool_use"]
    first_blocks = answer["content"][: len(called)]
    assert [block.get("tool_use_id") for block in first_blocks] == called
    assert answer["content"][-1]["text"] == "Thanks."


@each_whole
def test_a_stream_tells_what_a_whole_answer_tells(told: Exchange) -> None:
    pieces = in_pieces(told.raw)

    raw = assembled(pieces)

    assert raw == told.raw
    assert messages.reply(raw) == messages.reply(told.raw)


@each_answer
def test_a_stream_that_is_cut_at_any_event_is_malformed(told: Exchange) -> None:
    stream = told.stream or in_pieces(told.raw)
    assembly = messages.Assembly()

    for event, data in stream[:-1]:
        assembly.take(event, data)
        with pytest.raises(Malformed, match="cut"):
            assembly.whole()
    assert stream[-1][0] == "message_stop"


@each_answer
def test_what_is_heard_is_what_is_said(told: Exchange) -> None:
    stream = told.stream or in_pieces(told.raw)
    reply = messages.reply(told.raw)

    assert heard(stream, "text") == reply.all_text()
    assert heard(stream, "thinking") == "".join(
        part.text for part in reply.parts if isinstance(part, Thinking)
    )


@each_answer
def test_tokens_are_counted_with_those_of_the_cache(told: Exchange) -> None:
    usage = messages.reply(told.raw).usage
    raw = told.raw["usage"]

    assert usage is not None
    cached = raw["cache_read_input_tokens"] + raw["cache_creation_input_tokens"]
    assert usage.input == raw["input_tokens"] + cached
    assert (usage.output, usage.cached) == (raw["output_tokens"], raw["cache_read_input_tokens"])


@each_stream
def test_a_recorded_stream_counts_what_was_used_once(told: Exchange) -> None:
    usage = messages.reply(told.raw).usage
    last = next(data for event, data in told.stream if event == "message_delta")

    assert usage is not None
    assert usage.output == msgspec.json.decode(last)["usage"]["output_tokens"]

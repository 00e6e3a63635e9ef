"""Every recorded exchange with Cohere: read, kept in the log, and sent again."""

from __future__ import annotations

import math

import pytest

from stepfold.events.transcript import Heard, Item, Result
from stepfold.events.values import Text, Thinking, ToolCall
from stepfold.policy.toolspec import SEARCH_SPEC
from stepfold.providers import cohere_chat as chat
from stepfold.providers import cohere_search as search
from stepfold.providers.model import Malformed, Prompt
from stepfold.providers.wire import Json
from tests.providers.cohere_recordings import (
    WIRE,
    answers,
    as_the_sdk_reads_it,
    assembled,
    heard,
    in_pieces,
    named,
    recorded,
)
from tests.providers.logged import read, thought, written

pytestmark = pytest.mark.skipif(not WIRE.is_dir(), reason=f"{WIRE} is absent; set STEPFOLD_DATA")

MODEL = "command-r7b-12-2024"
each_answer = pytest.mark.parametrize("raw", answers("cohere_chat"), ids=lambda raw: raw["id"])
each_embedding = pytest.mark.parametrize("told", recorded("cohere_embed"))


def next_request(raw: Json, model: str) -> Json:
    turn = thought(named(raw, MODEL))
    results = (Result(call.call, call.name, "sunny") for call in turn.calls)
    items: tuple[Item, ...] = (Heard("And then?"), turn, *results, Heard("Thanks."))
    return chat.request(
        Prompt(instructions="", tools=(SEARCH_SPEC,), transcript=items, call="r9", model=model)
    )


def test_all_of_them_are_there() -> None:
    states = [chat.reply(raw).state for raw in answers("cohere_chat")]

    assert (len(states), len(recorded("cohere_embed"))) == (8, 2)
    assert sum(state is not None for state in states) == 6


@each_answer
def test_an_answer_survives_the_log(raw: Json) -> None:
    event = written(named(raw, MODEL))

    assert read(event) == event
    assert event.usage is not None
    assert event.usage.raw == raw["usage"]
    assert event.response == raw["id"]


@each_answer
def test_nothing_that_was_said_is_lost(raw: Json) -> None:
    parts = chat.reply(raw).parts
    message = raw["message"]
    contents = message.get("content", [])

    texts = [part.text for part in parts if isinstance(part, Text)]
    thoughts = [part.text for part in parts if isinstance(part, Thinking)]
    calls = [part.provider_call for part in parts if isinstance(part, ToolCall)]
    assert texts == [each["text"] for each in contents if "text" in each]
    assert thoughts == [
        *(each["thinking"] for each in contents if "thinking" in each),
        *([message["tool_plan"]] if "tool_plan" in message else []),
    ]
    assert calls == [each["id"] for each in message.get("tool_calls", [])]


@each_answer
def test_to_the_same_model_a_turn_goes_back_as_it_was(raw: Json) -> None:
    body = next_request(raw, MODEL)

    assert body["messages"][1] == raw["message"]
    assert as_the_sdk_reads_it(body) == body


@each_answer
def test_to_another_model_a_turn_is_rebuilt_without_what_is_not_its_own(raw: Json) -> None:
    body = next_request(raw, "command-a-03-2025")

    assert as_the_sdk_reads_it(body) == body
    said = body["messages"][1]
    assert said.keys() == {"role"} | (raw["message"].keys() & {"content", "tool_calls"})
    assert all(each["type"] == "text" for each in said.get("content", ()))


@each_answer
@pytest.mark.parametrize("lists", [False, True])
def test_a_stream_tells_what_a_whole_answer_tells(raw: Json, lists: bool) -> None:
    told = assembled(in_pieces(raw, lists=lists))

    assert told == raw
    assert chat.reply(told) == chat.reply(raw)


@each_answer
def test_a_stream_that_is_cut_at_any_event_is_malformed(raw: Json) -> None:
    stream = in_pieces(raw)
    assembly = chat.Assembly()

    for event, data in stream[:-1]:
        assembly.take(event, data)
        with pytest.raises(Malformed, match="cut"):
            assembly.whole()
    assert stream[-1][0] == "message-end"


@each_answer
def test_what_is_heard_is_what_is_said(raw: Json) -> None:
    reply = chat.reply(raw)
    stream = in_pieces(raw)

    assert heard(stream, "text") == reply.all_text()
    thoughts = sorted(part.text for part in reply.parts if isinstance(part, Thinking))
    assert heard(stream, "thinking") == "".join(thoughts)


@each_answer
def test_tokens_are_counted_and_units_are_billed(raw: Json) -> None:
    usage = chat.reply(raw).usage

    assert usage is not None
    tokens = raw["usage"]["tokens"]
    assert (usage.input, usage.output) == (tokens["input_tokens"], tokens["output_tokens"])
    assert usage.cached == raw["usage"].get("cached_tokens")
    assert usage.billed == raw["usage"]["billed_units"]


@each_embedding
def test_an_embedding_has_a_vector_of_length_1_and_is_billed(told: Json) -> None:
    (vector,) = search.vectors(told["response"], 1)
    (raw,) = told["response"]["embeddings"]["float"]
    usage = search.usage_of(told["response"])

    assert math.hypot(*vector) == pytest.approx(1)
    assert vector[0] / vector[1] == pytest.approx(raw[0] / raw[1])
    assert usage is not None
    assert (usage.input, usage.billed) == (4, {"image_tokens": 0, "input_tokens": 4})


@each_embedding
def test_the_request_for_an_embedding_is_what_was_recorded(told: Json) -> None:
    asked = told["request"]

    body = search.embedding(asked["texts"], asked["model"], "query")

    assert body == {name: asked[name] for name in body}
    assert as_the_sdk_reads_it(body, "embed") == body

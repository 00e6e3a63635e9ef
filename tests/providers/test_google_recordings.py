"""Every recorded exchange with Google: read, kept in the log, and sent again."""

from __future__ import annotations

import math

import pytest

from stepfold.events.values import HostedTool, Text, Thinking, ToolCall
from stepfold.providers import google_embeddings as embeddings
from stepfold.providers import google_generate as generate
from stepfold.providers.google_failures import refusal
from stepfold.providers.google_parts import CODE, UNSIGNED
from stepfold.providers.model import Malformed, ModelError, ModelRefused
from stepfold.providers.wire import Json
from tests.providers.google_recordings import (
    WIRE,
    Exchange,
    answers,
    as_the_sdk_reads_it,
    assembled,
    exchanges,
    heard,
    in_pieces,
    prompt_after,
)
from tests.providers.logged import read, thought, written

pytestmark = pytest.mark.skipif(not WIRE.is_dir(), reason=f"{WIRE} is absent; set STEPFOLD_DATA")

SAID = [each for each in answers() if each.raw.get("candidates")]
each_answer = pytest.mark.parametrize("exchange", SAID, ids=lambda each: each.name)


def wire(raw: Json) -> list[Json]:
    content = raw["candidates"][0].get("content") or {}
    told: list[Json] = content.get("parts", [])
    return told


def test_all_of_them_are_there() -> None:
    states = [generate.reply(each.raw).state for each in SAID]
    streams = [each for each in answers() if each.stream]

    assert (len(exchanges()), len(answers()), len(SAID), len(streams)) == (174, 173, 172, 6)
    assert sum(state is not None for state in states) == 135


@each_answer
def test_an_answer_survives_the_log(exchange: Exchange) -> None:
    event = written(generate.reply(exchange.raw))

    assert read(event) == event
    assert event.usage is not None
    assert event.usage.raw == exchange.raw["usageMetadata"]
    assert event.response == exchange.raw.get("responseId", "")
    assert event.model == exchange.raw["modelVersion"]


@each_answer
def test_nothing_that_was_said_is_lost(exchange: Exchange) -> None:
    parts = generate.reply(exchange.raw).parts
    came = wire(exchange.raw)

    said = "".join(part.text for part in parts if isinstance(part, Text))
    shown = "".join(part.text for part in parts if isinstance(part, Thinking))
    calls = [(part.name, part.arguments) for part in parts if isinstance(part, ToolCall)]
    assert said == "".join(p["text"] for p in came if "text" in p and not p.get("thought"))
    assert shown == "".join(p["text"] for p in came if p.get("thought"))
    assert calls == [
        (p["functionCall"]["name"], p["functionCall"].get("args") or {})
        for p in came
        if "functionCall" in p
    ]
    ran = [part for part in parts if isinstance(part, HostedTool) and part.name == CODE]
    assert [part.input for part in ran] == [
        p["executableCode"] for p in came if "executableCode" in p
    ]


@each_answer
def test_to_the_same_model_a_turn_goes_back_as_it_was(exchange: Exchange) -> None:
    reply = generate.reply(exchange.raw)
    turn = thought(reply)

    body = generate.request(prompt_after(turn, model=reply.model))

    sent = body["contents"][1]
    if wire(exchange.raw):
        assert sent == {"role": "model", "parts": wire(exchange.raw)}
    results = body["contents"][2]["parts"] if turn.calls else []
    assert [part["functionResponse"].get("id") for part in results] == [
        part["functionCall"].get("id") for part in wire(exchange.raw) if "functionCall" in part
    ]
    assert as_the_sdk_reads_it(body) == body


@each_answer
def test_to_another_model_a_turn_is_rebuilt_with_one_signature_that_says_so(
    exchange: Exchange,
) -> None:
    turn = thought(generate.reply(exchange.raw))

    body = generate.request(prompt_after(turn, model="gemini-9-pro"))

    assert as_the_sdk_reads_it(body) == body
    sent = [part for content in body["contents"] for part in content["parts"]]
    signatures = [part["thoughtSignature"] for part in sent if "thoughtSignature" in part]
    assert signatures == ([UNSIGNED] if turn.calls else [])
    assert not any(part.get("thought") for part in sent)
    named = [part["functionCall"]["id"] for part in sent if "functionCall" in part]
    assert named == [p["functionResponse"]["id"] for p in sent if "functionResponse" in p]


@each_answer
def test_a_stream_tells_what_a_whole_answer_tells(exchange: Exchange) -> None:
    told = assembled(in_pieces(exchange.raw))

    assert told == exchange.raw
    assert generate.reply(told) == generate.reply(exchange.raw)


@each_answer
def test_a_stream_that_is_cut_at_any_event_is_malformed(exchange: Exchange) -> None:
    stream = exchange.stream or in_pieces(exchange.raw)
    assembly = generate.Assembly()

    for event, data in stream[:-1]:
        assembly.take(event, data)
        with pytest.raises(Malformed, match="cut"):
            assembly.whole()
    assembly.take(*stream[-1])
    assert assembly.ended


@each_answer
def test_what_is_heard_is_what_is_said(exchange: Exchange) -> None:
    parts = generate.reply(exchange.raw).parts
    stream = exchange.stream or in_pieces(exchange.raw)

    shown = "".join(part.text for part in parts if isinstance(part, Thinking))
    assert heard(stream, "text") == "".join(p.text for p in parts if isinstance(p, Text))
    assert heard(stream, "thinking") == shown


@each_answer
def test_usage_counts_all_that_was_used(exchange: Exchange) -> None:
    usage = generate.reply(exchange.raw).usage
    told = exchange.raw["usageMetadata"]

    assert usage is not None
    assert usage.input is not None
    assert usage.output is not None
    assert usage.input + usage.output == told["totalTokenCount"]
    assert usage.thinking == told.get("thoughtsTokenCount")
    assert usage.cached == told.get("cachedContentTokenCount")


def test_a_prompt_that_was_blocked_is_refused() -> None:
    (blocked,) = [each.raw for each in answers() if not each.raw.get("candidates")]

    with pytest.raises(ModelRefused, match="MODEL_ARMOR") as raised:
        generate.reply(blocked)

    assert raised.value.usage is not None


def test_a_recorded_refusal_of_the_request_is_not_worth_asking_again() -> None:
    (refused,) = [each for each in exchanges() if each.status != 200]
    error: ModelError = refusal(refused.status, str(refused.response))

    assert (error.retryable, error.reason) == (False, "invalid_request")


def test_an_embedding_has_a_vector_of_length_1_and_its_request_is_what_was_recorded() -> None:
    (told,) = exchanges("google_embeddings")
    (asked,) = told.request["requests"]
    texts = [asked["content"]["parts"][0]["text"]]

    (vector,) = embeddings.vectors(told.response, 1)
    body = embeddings.request(texts, asked["model"], "query", vertex=False)

    assert math.hypot(*vector) == pytest.approx(1)
    assert body["requests"] == [{k: asked[k] for k in asked if k != "outputDimensionality"}]
    assert embeddings.usage_of(told.response) is None

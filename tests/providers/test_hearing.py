"""An error in the middle of an answer stays what it is, whatever its counts of tokens look like."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from stepfold.events.values import Usage
from stepfold.providers.model import Malformed, ModelBusy, ModelError, NoMoney
from stepfold.providers.wire import Json
from tests.providers import anthropic_served, cohere_served, google_served, openai_served
from tests.providers.raw_server import json, stream

COUNTED_BADLY: Json = {
    **anthropic_served.MESSAGE,
    "usage": {"input_tokens": "five", "output_tokens": 9},
}
MANY: Json = {"promptTokenCount": "many"}
Ending = Literal["abrupt", "clean"]


def begun(pieces: int = 4) -> list[str]:
    return anthropic_served.written(COUNTED_BADLY)[:pieces]


@pytest.mark.parametrize(
    ("word", "kind", "reason"),
    [("overloaded_error", ModelBusy, "overloaded"), ("billing_error", NoMoney, "no_money")],
)
async def test_an_error_inside_a_stream_is_not_lost_for_its_usage(
    word: str, kind: type[ModelError], reason: str
) -> None:
    told = json(anthropic_served.error(word)).body.decode()

    error = await anthropic_served.failing(
        stream(*begun(), f"event: error\ndata: {told}\n\n"), hears=True
    )

    assert (type(error), error.reason, error.usage) == (kind, reason, None)
    assert word in error.body


@pytest.mark.parametrize("ending", ["abrupt", "clean"])
async def test_a_stream_without_its_end_is_cut_whatever_was_counted(ending: Ending) -> None:
    error = await anthropic_served.failing(stream(*begun(), ending=ending), hears=True)

    assert (type(error), error.reason, error.usage) == (Malformed, "cut", None)


@pytest.mark.parametrize("ending", ["abrupt", "clean"])
async def test_a_chunk_that_counts_badly_does_not_end_its_stream(ending: Ending) -> None:
    counted = google_served.pieces({**google_served.WHOLE, "usageMetadata": MANY})
    last = counted[-1].replace("finishReason", "finishMessage")

    error = await google_served.failed(
        stream(*counted[:-1], last, ending=ending), hear=google_served.nobody
    )

    assert (type(error), error.reason) == (Malformed, "cut")
    assert error.usage == Usage(input=1, raw={"promptTokenCount": 1})
    assert "many" in error.body


async def test_a_stream_with_its_end_that_counts_badly_cannot_be_read() -> None:
    counted = google_served.pieces({**google_served.WHOLE, "usageMetadata": MANY})

    error = await google_served.failed(stream(*counted), hear=google_served.nobody)

    assert (type(error), error.reason, error.usage) == (Malformed, "malformed", None)


async def test_an_answer_that_stalls_is_late_whatever_was_counted() -> None:
    error = await anthropic_served.failing(
        stream(*begun(), ending="stall"), hears=True, timeout_s=0.3
    )

    assert (type(error), error.reason, error.usage) == (ModelBusy, "timeout", None)


async def test_an_event_that_cannot_be_read_is_the_one_that_is_told() -> None:
    counted = cohere_served.ended({"finish_reason": "COMPLETE", "usage": {"tokens": "many"}})

    error = await cohere_served.failing(
        stream(*cohere_served.written()[:-1], counted, "data: no json\n\n"), hears=True
    )

    assert (type(error), error.body, error.usage) == (Malformed, "no json", None)


async def test_a_chunk_that_cannot_be_read_costs_what_it_says() -> None:
    chunk: Json = {
        "candidates": [{"finishReason": 7}],
        "usageMetadata": {"promptTokenCount": 12},
    }
    data = json(chunk).body.decode()

    error = await google_served.failed(stream(f"data: {data}\n\n"), hear=google_served.nobody)
    whole = await google_served.failed(json(chunk))

    assert (error.reason, whole.reason) == ("malformed", "malformed")
    assert error.usage == whole.usage == Usage(input=12, raw=chunk["usageMetadata"])


async def test_an_answer_and_its_counts_that_cannot_be_read_are_told_as_the_answer() -> None:
    counted = {**cohere_served.ANSWER, "message": 7, "usage": {"tokens": "many"}}

    error = await cohere_served.failing(json(counted))

    assert (type(error), error.reason, error.usage) == (Malformed, "malformed", None)
    assert "$.message" in str(error)


@pytest.mark.parametrize(("word", "reason"), [("ERROR", "unavailable"), ("TIMEOUT", "timeout")])
async def test_an_answer_that_says_it_has_failed_has_failed_whatever_was_counted(
    word: str, reason: str
) -> None:
    told = {"finish_reason": word, "usage": {"tokens": "many"}}

    error = await cohere_served.failing(
        stream(*cohere_served.written()[:-1], cohere_served.ended(told)), hears=True
    )

    assert (type(error), error.reason, error.usage) == (ModelBusy, reason, None)


@pytest.mark.parametrize("output", [7, True])
async def test_an_answer_whose_output_is_no_list_cannot_be_read(output: Any) -> None:
    raw = {**openai_served.WHOLE["responses"], "output": output}

    error = await openai_served.failed("responses", json(raw))

    assert (type(error), error.reason) == (Malformed, "malformed")
    assert error.usage is not None
    assert (error.usage.input, error.usage.output) == (12, 5)


async def test_a_stream_whose_output_is_no_list_cannot_be_read() -> None:
    whole = {**openai_served.WHOLE["responses"], "output": 7}
    end = json({"type": "response.completed", "response": whole}).body.decode()

    error = await openai_served.failed(
        "responses",
        stream(openai_served.sse("response.completed", end)),
        hear=openai_served.nobody,
    )

    assert (type(error), error.reason) == (Malformed, "malformed")
    assert error.usage is not None
    assert (error.usage.input, error.usage.output) == (12, 5)


async def test_containers_are_counted_whatever_names_them() -> None:
    whole = openai_served.WHOLE["responses"]
    ran = {"type": "code_interpreter_call", "id": "ci_1", "container_id": ["cntr_1"], "code": "1"}
    raw = {**whole, "output": [ran, {**ran, "id": "ci_2"}, *whole["output"]]}

    reply = await openai_served.replied("responses", raw)

    assert reply.all_text() == "Hello there, friend."
    assert reply.usage is not None
    assert reply.usage.billed == {"code_interpreter": 1}

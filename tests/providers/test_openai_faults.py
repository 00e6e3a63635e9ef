"""OpenAI over a real connection: what is sent, and what each fault of the wire becomes."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from stepfold.providers.model import (
    ContextOverflow,
    Malformed,
    ModelBusy,
    ModelError,
    ModelFailed,
    ModelRefused,
    NoMoney,
)
from stepfold.providers.openai import DialectName, OpenAI
from stepfold.providers.wire import Json
from tests.providers.openai_served import (
    TRACE,
    WHOLE,
    both,
    error_of,
    failed,
    model,
    nobody,
    pieces,
    prompt,
    sse,
)
from tests.providers.raw_server import Answer, json, serving, stream


@both
async def test_an_answer_is_told_and_the_request_is_traced(dialect: DialectName) -> None:
    async with model(dialect, json(WHOLE[dialect]), organization="org-1") as (openai, server):
        reply = await openai.reply(prompt())

    (asked,) = server.requests
    assert (reply.all_text(), reply.finish, reply.tier) == ("Hello there, friend.", "stop", "flex")
    assert (reply.model, reply.provider) == ("gpt-5-2025-08-07", "openai")
    assert reply.usage is not None
    assert (reply.usage.input, reply.usage.output, reply.usage.cached) == (12, 5, None)
    assert asked.path == ("/responses" if dialect == "responses" else "/chat/completions")
    assert asked.headers["traceparent"] == TRACE
    assert asked.headers["authorization"] == "Bearer sk-test"
    assert asked.headers["openai-organization"] == "org-1"
    assert asked.json["model"] == "gpt-5"
    assert "stream" not in asked.json


@both
async def test_who_hears_is_told_as_it_comes_and_the_reply_is_the_same(
    dialect: DialectName,
) -> None:
    heard: list[str] = []
    answers = json(WHOLE[dialect]), stream(*pieces(dialect))
    async with model(dialect, *answers) as (openai, server):
        whole = await openai.reply(prompt())
        streamed = await openai.reply(prompt(hear=lambda delta: heard.append(delta.text)))

    assert streamed == whole
    assert heard == ["Hello t", "here, f", "riend."]
    assert server.requests[1].json["stream"] is True


@both
async def test_bytes_may_be_cut_anywhere_and_lines_end_in_any_way(dialect: DialectName) -> None:
    text = "".join(pieces(dialect)).replace("Hello t", "Hé\u2028llo\u0085 t").replace("\n", "\r\n")
    data = text.encode()
    answer = stream(*(data[place : place + 3] for place in range(0, len(data), 3)))
    heard: list[str] = []
    async with model(dialect, answer) as (openai, _):
        await openai.reply(prompt(hear=lambda delta: heard.append(delta.text)))

    assert "".join(heard) == "Hé\u2028llo\u0085 there, friend."


@both
async def test_a_server_that_does_not_stream_is_read_whole(dialect: DialectName) -> None:
    async with model(dialect, json(WHOLE[dialect])) as (openai, _):
        reply = await openai.reply(prompt(hear=nobody))

    assert reply.all_text() == "Hello there, friend."


@both
async def test_more_fields_are_laid_over_the_body(dialect: DialectName) -> None:
    extra = {"service_tier": "flex", "tools": [{"type": "web_search"}]}
    async with model(dialect, json(WHOLE[dialect]), name="azure", extra=extra) as (openai, server):
        reply = await openai.reply(prompt())

    sent = server.requests[0].json
    assert (sent["service_tier"], len(sent["tools"])) == ("flex", 2)
    assert reply.provider == "azure"


STATUSES: tuple[tuple[Answer, type[ModelError], str, float], ...] = (
    (json(error_of("rate_limit_exceeded"), status=429, headers={"retry-after": "7"}),
     ModelBusy, "rate_limit", 7.0),
    (json(error_of("insufficient_quota"), status=429), NoMoney, "no_money", 0.0),
    (json(error_of("context_length_exceeded"), status=400), ContextOverflow, "context_overflow", 0),
    (json(error_of("content_policy_violation"), status=400), ModelRefused, "refused", 0.0),
    (json(error_of("invalid_api_key"), status=401), ModelFailed, "authentication", 0.0),
    (json(error_of("unsupported_value"), status=400), ModelFailed, "invalid_request", 0.0),
    (json(error_of("x"), status=529, headers={"retry-after-ms": "250"}),
     ModelBusy, "overloaded", 0.25),
    (Answer(503, b"<html>away</html>", content_type="text/html"), ModelBusy, "unavailable", 0.0),
    (Answer(200, b"<html>hello</html>", content_type="text/html"), Malformed, "malformed", 0.0),
    (Answer(200, b'{"id": "resp_1", "outp'), Malformed, "malformed", 0.0),
    (Answer(200, b""), Malformed, "malformed", 0.0),
    (json({"hello": "world"}), Malformed, "malformed", 0.0),
    (json({"output": 7, "choices": [7]}), Malformed, "malformed", 0.0),
    (json({"output": [{"type": "message", "content": 7}], "choices": [{"message": {"content": "x",
     "tool_calls": 7}}]}), Malformed, "malformed", 0.0),
    (json(error_of("rate_limit_exceeded")), ModelBusy, "rate_limit", 0.0),
    (json({"error": {"code": 502, "message": "upstream"}}), ModelBusy, "unavailable", 0.0),
    (Answer(200, b'{"id": 1}', ending="abrupt"), Malformed, "cut", 0.0),
)  # fmt: skip


@both
@pytest.mark.parametrize(
    ("answer", "kind", "reason", "delay_s"), STATUSES, ids=range(1, len(STATUSES) + 1)
)
@pytest.mark.parametrize("hear", [None, nobody], ids=["whole", "streamed"])
async def test_an_answer_that_is_none_is_an_error_of_ours(
    dialect: DialectName, answer: Answer, kind: type, reason: str, delay_s: float, hear: Any
) -> None:
    error = await failed(dialect, answer, hear=hear)

    assert (type(error), error.reason, error.delay_s) == (kind, reason, delay_s)
    assert reason == "cut" or error.body.replace(" ", "") == answer.body.decode().replace(" ", "")


@both
async def test_a_stream_that_ends_without_its_end_is_cut(dialect: DialectName) -> None:
    told = pieces(dialect)

    for end in range(len(told)):
        error = await failed(dialect, stream("\n", *told[:end]), hear=nobody)

        assert (type(error), error.reason) == (Malformed, "cut"), end


@both
async def test_a_connection_that_breaks_in_the_middle_is_cut(dialect: DialectName) -> None:
    answer = stream(*pieces(dialect)[:3], ending="abrupt")

    error = await failed(dialect, answer, hear=nobody)

    assert (type(error), error.reason) == (Malformed, "cut")


@both
async def test_a_connection_that_breaks_after_the_end_does_not_matter(
    dialect: DialectName,
) -> None:
    async with model(dialect, stream(*pieces(dialect), ending="abrupt")) as (openai, _):
        reply = await openai.reply(prompt(hear=nobody))

    assert reply.all_text() == "Hello there, friend."


@both
async def test_a_stream_that_is_cut_inside_its_json_is_malformed(dialect: DialectName) -> None:
    told = pieces(dialect)

    half = told[1].rstrip()[:-9]

    clean = await failed(dialect, stream(told[0], half + "\n\n"), hear=nobody)
    unfinished = await failed(dialect, stream(told[0], half), hear=nobody)

    assert (type(clean), clean.reason) == (Malformed, "malformed")
    assert (type(unfinished), unfinished.reason) == (Malformed, "cut")


@both
async def test_what_was_used_and_told_before_a_fault_is_kept(dialect: DialectName) -> None:
    chunk = {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 2}}
    used = sse("", msgspec.json.encode(chunk).decode())
    begun = [*pieces(dialect)[:3], *([used] if dialect == "chat" else [])]
    broken = sse("error", '{"error": {"code": "server_error"}}')

    errors = [
        await failed(dialect, stream(*begun), hear=nobody),
        await failed(dialect, stream(*begun, ending="abrupt"), hear=nobody),
        await failed(dialect, stream(*begun, broken), hear=nobody),
        await failed(dialect, stream(*begun, ending="stall"), hear=nobody, timeout_s=0.3),
    ]

    told = [error.usage.input if error.usage else None for error in errors]
    assert told == [9 if dialect == "chat" else None] * 4
    last = begun[-1].partition("data: ")[2].strip()
    assert [error.body for error in errors[:2]] == [last, last]
    assert [error.reason for error in errors] == ["cut", "cut", "unavailable", "timeout"]


@pytest.mark.parametrize(
    ("dialect", "raw"),
    [
        ("chat", {**WHOLE["chat"], "choices": []}),
        ("chat", {**WHOLE["chat"], "choices": [{"message": {"content": "x", "tool_calls": [7]}}]}),
        ("responses", {**WHOLE["responses"], "output": None}),
        ("responses", {**WHOLE["responses"], "output": [{"type": "function_call"}]}),
        ("responses", {**WHOLE["responses"], "output": [{"type": "image_generation_call",
         "result": "no base64"}]}),
        ("responses", {**WHOLE["responses"], "status": "failed", "error": {"code": "x"}}),
    ],
)  # fmt: skip
async def test_an_answer_that_cannot_be_read_has_been_paid_for(
    dialect: DialectName, raw: Json
) -> None:
    error = await failed(dialect, json(raw))

    assert error.retryable
    assert error.usage is not None
    assert error.usage.input == 12


IN_STREAM: tuple[tuple[DialectName, str, str, type[ModelError], str], ...] = (
    ("chat", "", msgspec.json.encode(error_of("server_error")).decode(), ModelBusy, "unavailable"),
    ("chat", "error", '{"error": {"message": "?"}}', ModelBusy, "unavailable"),
    ("chat", "", '{"error": {"code": 429, "message": "slow"}}', ModelBusy, "rate_limit"),
    ("chat", "", '{"error": "out of luck"}', ModelBusy, "unavailable"),
    ("chat", "", '{"error": {"code": "context_length_exceeded", "message": "This model\'s maximum'
     ' context length is 8192 tokens"}}', ContextOverflow, "context_overflow"),
    ("chat", "", '{"error": {"type": "insufficient_quota", "code": "insufficient_quota"}}', NoMoney,
     "no_money"),
    ("chat", "", '{"error": {"code": "content_filter", "message": "no"}}', ModelRefused, "refused"),
    ("responses", "error", '{"type": "error", "code": "rate_limit_exceeded", "message": "slow",'
     ' "param": null}', ModelBusy, "rate_limit"),
    ("responses", "error", '{"type": "error", "error": {"type": "invalid_request_error",'
     ' "code": "context_length_exceeded", "message": "long"}}', ContextOverflow,
     "context_overflow"),
    ("responses", "error", '{"error": {"code": "insufficient_quota", "message": "poor"}}', NoMoney,
     "no_money"),
    ("responses", "response.failed", '{"type": "response.failed", "response": {"error": {"code":'
     ' "server_error", "message": "oh"}, "usage": {"input_tokens": 3}}}', ModelBusy, "unavailable"),
    ("responses", "response.failed", '{"type": "response.failed", "response": {"error": {"code":'
     ' "bio_policy", "message": "no"}}}', ModelRefused, "refused"),
    ("responses", "response.failed", '{"type": "response.failed", "response": {"error": {"code":'
     ' "invalid_image", "message": "no"}}}', ModelFailed, "invalid_request"),
)  # fmt: skip


async def test_what_a_failed_answer_repeats_of_its_request_says_nothing_of_the_failure() -> None:
    error = {"code": "rate_limit_exceeded", "message": "slow down"}
    raw = {**WHOLE["responses"], "status": "failed", "error": error}

    told = await failed("responses", json({**raw, "instructions": "Explain billing and safety."}))

    assert (type(told), told.reason) == (ModelBusy, "rate_limit")


@pytest.mark.parametrize(
    ("dialect", "event", "data", "kind", "reason"), IN_STREAM, ids=range(1, len(IN_STREAM) + 1)
)
async def test_an_error_inside_the_stream_is_what_it_says(
    dialect: DialectName, event: str, data: str, kind: type, reason: str
) -> None:
    error = await failed(dialect, stream(pieces(dialect)[0], sse(event, data)), hear=nobody)

    assert (type(error), error.reason, error.body) == (kind, reason, data)
    if '"usage"' in data:
        assert error.usage is not None
        assert error.usage.input == 3


@both
async def test_a_stall_ends_with_the_call_that_waits_for_it(dialect: DialectName) -> None:
    answer = stream(pieces(dialect)[0], ending="stall")
    async with model(dialect, answer) as (openai, _):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await openai.reply(prompt(hear=nobody))


@both
@pytest.mark.parametrize("ending", ["stall", "silent"])
async def test_a_stall_is_a_timeout_when_nobody_ends_it(dialect: DialectName, ending: Any) -> None:
    answer = stream(pieces(dialect)[0], ending=ending)

    error = await failed(dialect, answer, hear=nobody, timeout_s=0.3)

    assert (type(error), error.reason) == (ModelBusy, "timeout")


@both
async def test_a_server_that_is_not_there_is_unreachable(dialect: DialectName) -> None:
    async with serving() as server:
        gone = server.url
    openai = OpenAI(api_key="sk-test", base_url=gone, dialect=dialect)

    with pytest.raises(ModelBusy) as raised:
        await openai.reply(prompt())
    await openai.close()

    assert raised.value.reason == "unreachable"

"""Google over a real connection: what each fault of the wire becomes."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from stepfold.providers.google import Google
from stepfold.providers.model import (
    ContextOverflow,
    Malformed,
    ModelBusy,
    ModelError,
    ModelFailed,
    ModelRefused,
    NoMoney,
)
from stepfold.providers.wire import Json
from tests.providers.google_served import (
    KEY,
    LATE_S,
    failed,
    model,
    nobody,
    pieces,
    prompt,
)
from tests.providers.raw_server import Answer, json, serving, stream


def error_of(code: int, message: str, status: str = "", *details: Json) -> Json:
    told = {"code": code, "message": message, "status": status, "details": list(details)}
    return {"error": told}


def quota(period: str) -> Json:
    name = f"GenerateRequestsPer{period}PerProjectPerModel-FreeTier"
    return {
        "@type": "type.googleapis.com/google.rpc.QuotaFailure",
        "violations": [{"quotaId": name}],
    }


RETRY: Json = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.5s"}
PLAN = "You exceeded your current quota, please check your plan and billing details."
STATUSES: tuple[tuple[Answer, type[ModelError], str, float], ...] = (
    (json(error_of(429, PLAN, "RESOURCE_EXHAUSTED", quota("Minute"), RETRY), status=429),
     ModelBusy, "rate_limit", 34.5),
    (json(error_of(429, PLAN, "RESOURCE_EXHAUSTED", quota("Day"), RETRY), status=429),
     NoMoney, "no_money", 0.0),
    (json([error_of(429, PLAN, "RESOURCE_EXHAUSTED", quota("Minute"), RETRY)], status=429),
     ModelBusy, "rate_limit", 34.5),
    (json(error_of(429, "Resource exhausted."), status=429, headers={"retry-after": "7"}),
     ModelBusy, "rate_limit", 7.0),
    (json(error_of(403, "Billing is disabled for this project"), status=403),
     NoMoney, "no_money", 0.0),
    (json(error_of(400, "API key not valid.", "INVALID_ARGUMENT", {"reason": "API_KEY_INVALID"}),
     status=400), ModelFailed, "authentication", 0.0),
    (json(error_of(400, "The input token count (1200000) exceeds the maximum number of tokens"
     " allowed (1048575).", "INVALID_ARGUMENT"), status=400), ContextOverflow, "context_overflow",
     0.0),
    (json(error_of(400, "Invalid value at 'contents'"), status=400), ModelFailed,
     "invalid_request", 0.0),
    (json(error_of(404, "models/x is not found"), status=404), ModelFailed, "not_found", 0.0),
    (json(error_of(500, "Internal error", "INTERNAL"), status=500), ModelBusy, "unavailable", 0.0),
    (json(error_of(503, "The model is overloaded.", "UNAVAILABLE"), status=503), ModelBusy,
     "unavailable", 0.0),
    (Answer(529, b"busy", content_type="text/plain"), ModelBusy, "overloaded", 0.0),
    (Answer(502, b"<html>\xff away</html>", content_type="text/html"), ModelBusy, "unavailable",
     0.0),
    (Answer(200, b"<html>hello</html>", content_type="text/html"), Malformed, "malformed", 0.0),
    (Answer(200, b'{"candidates": [{"con'), Malformed, "malformed", 0.0),
    (Answer(200, b""), Malformed, "malformed", 0.0),
    (json({"hello": "world"}), Malformed, "malformed", 0.0),
    (json({"candidates": 7}), Malformed, "malformed", 0.0),
    (json({"candidates": [{"content": {"parts": [{"inlineData": {"data": "?"}}]}}]}), Malformed,
     "malformed", 0.0),
    (json({"promptFeedback": {"blockReason": "SAFETY"}}), ModelRefused, "refused", 0.0),
    (Answer(200, b'{"candidates": []}', ending="abrupt"), Malformed, "cut", 0.0),
    (Answer(429, b'{"error": {}}', ending="abrupt"), Malformed, "cut", 0.0),
    (Answer(ending="silent"), ModelBusy, "timeout", 0.0),
)  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "kind", "reason", "delay_s"), STATUSES, ids=range(1, len(STATUSES) + 1)
)
@pytest.mark.parametrize("hear", [None, nobody], ids=["whole", "streamed"])
async def test_an_answer_that_is_none_is_an_error_of_ours(
    answer: Answer, kind: type, reason: str, delay_s: float, hear: Any
) -> None:
    timeout_s = LATE_S if answer.ending == "silent" else 10.0
    error = await failed(answer, hear=hear, timeout_s=timeout_s)

    assert (type(error), error.reason, error.delay_s) == (kind, reason, delay_s)
    if reason not in ("cut", "timeout"):
        assert error.body in answer.body.decode(errors="replace")
        assert bool(error.body) == bool(answer.body)


async def test_a_stream_that_ends_without_its_end_is_cut_and_says_what_it_cost() -> None:
    told = pieces()

    for end in range(len(told)):
        error = await failed(stream("\n", *told[:end]), hear=nobody)

        assert (type(error), error.reason) == (Malformed, "cut"), end
        assert (error.usage is not None) is (end > 0)


async def test_a_connection_that_breaks_in_the_middle_is_cut() -> None:
    error = await failed(stream(*pieces()[:2], ending="abrupt"), hear=nobody)

    assert (type(error), error.reason) == (Malformed, "cut")
    assert error.usage is not None


async def test_a_connection_that_breaks_after_the_end_does_not_matter() -> None:
    async with model(stream(*pieces(), ending="abrupt")) as (google, _):
        reply = await google.reply(prompt(hear=nobody))

    assert reply.all_text() == "Hello there, friend."


async def test_a_stream_that_is_cut_inside_its_json_is_malformed() -> None:
    told = pieces()

    clean = await failed(stream(told[0], told[1][:20] + "\n\n"), hear=nobody)
    unfinished = await failed(stream(told[0], told[1][:20]), hear=nobody)

    assert (type(clean), clean.reason) == (Malformed, "malformed")
    assert (type(unfinished), unfinished.reason) == (Malformed, "cut")


IN_STREAM: tuple[tuple[Json, type[ModelError], str, float], ...] = (
    (error_of(503, "overloaded", "UNAVAILABLE"), ModelBusy, "unavailable", 0.0),
    (error_of(500, "internal", "INTERNAL"), ModelBusy, "unavailable", 0.0),
    (error_of(429, PLAN, "RESOURCE_EXHAUSTED", quota("Minute"), RETRY), ModelBusy, "rate_limit",
     34.5),
    (error_of(429, PLAN, "RESOURCE_EXHAUSTED", quota("Day")), NoMoney, "no_money", 0.0),
    ({"error": {"message": "?"}}, ModelBusy, "unavailable", 0.0),
    ({"candidates": [7]}, Malformed, "malformed", 0.0),
)  # fmt: skip


@pytest.mark.parametrize(
    ("said", "kind", "reason", "delay_s"), IN_STREAM, ids=range(1, len(IN_STREAM) + 1)
)
async def test_an_error_inside_the_stream_is_what_it_says(
    said: Json, kind: type, reason: str, delay_s: float
) -> None:
    data = msgspec.json.encode(said).decode()
    error = await failed(stream(pieces()[0], f"data: {data}\n\n"), hear=nobody)

    assert (type(error), error.reason, error.delay_s) == (kind, reason, delay_s)
    assert error.usage is not None
    assert msgspec.json.decode(error.body) == said


async def test_an_error_that_stands_in_the_stream_as_bare_lines_is_what_it_says() -> None:
    bare = msgspec.json.format(msgspec.json.encode(error_of(503, "overloaded")), indent=2)

    error = await failed(stream(pieces()[0], bare + b"\r\n"), hear=nobody)

    assert (type(error), error.reason) == (ModelBusy, "unavailable")
    assert "overloaded" in error.body


@pytest.mark.parametrize("ending", ["stall", "silent"])
async def test_a_stall_is_a_timeout_when_nobody_ends_it(ending: Any) -> None:
    error = await failed(stream(pieces()[0], ending=ending), hear=nobody, timeout_s=LATE_S)

    assert (type(error), error.reason) == (ModelBusy, "timeout")
    assert (error.usage is not None) is (ending == "stall")


async def test_a_stall_ends_with_the_call_that_waits_for_it() -> None:
    async with model(stream(pieces()[0], ending="stall")) as (google, _):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(LATE_S):
                await google.reply(prompt(hear=nobody))


async def test_a_server_that_is_not_there_is_unreachable() -> None:
    async with serving() as server:
        gone = server.url
    google = Google(KEY, base_url=gone)

    with pytest.raises(ModelBusy) as raised:
        await google.reply(prompt())
    await google.close()

    assert raised.value.reason == "unreachable"

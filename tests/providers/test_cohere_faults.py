"""Cohere through its SDK, against a server that fails in every way: each ends as our error."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from stepfold.events.values import Delta, ToolCall
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
from tests.providers.cohere_served import ANSWER, CALLED, USAGE, USED, ask, ended, failing, written
from tests.providers.raw_server import Answer, RawServer, json, serving, stream

# Streams that fail


async def test_a_stream_that_ends_cleanly_without_its_end_is_cut() -> None:
    failure = await failing(stream(*written()[:-1]), hears=True)

    assert isinstance(failure, Malformed)
    assert (failure.reason, failure.retryable, failure.usage) == ("cut", True, None)


@pytest.mark.parametrize("ending", ["clean", "abrupt"])
async def test_a_stream_that_is_cut_inside_json_is_cut(ending: Any) -> None:
    data = "".join(written()).encode()
    inside = data.index(b"Zo") + 3  # the first byte of two

    failure = await failing(stream(data[:inside], ending=ending), hears=True)

    assert (type(failure), failure.reason) == (Malformed, "cut")


@pytest.mark.parametrize(
    ("delta", "reason", "detail"),
    [
        (
            {"finish_reason": "ERROR", "error": "upstream died", "usage": USED},
            "unavailable",
            "ERROR: upstream died",
        ),
        (
            {"finish_reason": "ERROR", "usage": USED},
            "unavailable",
            "ERROR: the generation failed",
        ),
        (
            {"finish_reason": "TIMEOUT", "usage": USED},
            "timeout",
            "TIMEOUT: the generation failed",
        ),
    ],
)
async def test_an_end_that_says_error_is_one_and_cost_something(
    delta: Json, reason: str, detail: str
) -> None:
    failure = await failing(stream(*written()[:4], ended(delta)), hears=True)

    assert (type(failure), failure.reason, failure.usage) == (ModelBusy, reason, USAGE)
    assert (str(failure), delta["finish_reason"] in failure.body) == (detail, True)


@pytest.mark.parametrize(
    "data",
    [
        "no json",
        '{"type":"tool-call-delta","index":7,"delta":{"message":{"tool_calls":{}}}}',
        '{"type":"tool-call-start","index":0,"delta":{"message":{"tool_calls":[]}}}',
        '{"type":"content-delta","index":0,"delta":{"message":{"content":"x"}}}',
    ],
)
async def test_an_event_that_cannot_be_read_is_malformed(data: str) -> None:
    failure = await failing(stream(*written()[:2], f"data: {data}\n\n"), hears=True)

    assert (type(failure), failure.reason, failure.body) == (Malformed, "malformed", data)


async def test_a_stream_that_stalls_ends_at_the_deadline() -> None:
    heard: list[Delta] = []
    begin = time.monotonic()
    async with serving(stream(*written()[:5], ending="stall")) as server:
        with pytest.raises(ModelBusy) as raised:
            await ask(server, timeout_s=0.3, hear=heard.append)

    assert (raised.value.reason, bool(heard)) == ("timeout", True)
    assert str(raised.value) == "TimeoutError: no whole answer within 0.3 s"
    assert time.monotonic() - begin < 10


async def test_an_answer_whose_connection_never_ends_is_late_and_cost_something() -> None:
    failure = await failing(stream(*written(), ending="stall"), hears=True, timeout_s=0.3)

    assert (type(failure), failure.reason, failure.usage) == (ModelBusy, "timeout", USAGE)


# Answers that fail


def message(text: str = "no") -> Json:
    return {"id": "error_1", "message": text}


@pytest.mark.parametrize(
    ("status", "body", "kind", "reason"),
    [
        (400, message(), ModelFailed, "invalid_request"),
        (
            400,
            message(
                "too many tokens: total number of tokens in the prompt cannot exceed 128000 -"
                " received 130001. Try using a shorter prompt, or enable prompt truncating."
            ),
            ContextOverflow,
            "context_overflow",
        ),
        (
            422,
            message("the generation was blocked by our content policy"),
            ModelRefused,
            "refused",
        ),
        (401, message("invalid api token"), ModelFailed, "authentication"),
        (402, message("Please add or update your payment method"), NoMoney, "no_money"),
        (403, message(), ModelFailed, "permission"),
        (404, message("model 'x' not found"), ModelFailed, "not_found"),
        (422, message("invalid type: parameter messages"), ModelFailed, "invalid_request"),
        (
            429,
            message("You are using a Trial key, which is limited to 1000 API calls / month"),
            NoMoney,
            "no_money",
        ),
        (
            429,
            message("You are using a Trial key, which is limited to 20 API calls / minute"),
            ModelBusy,
            "rate_limit",
        ),
        (498, message("invalid token"), ModelFailed, "invalid_request"),
        (500, message("internal server error"), ModelBusy, "unavailable"),
        (503, message(), ModelBusy, "unavailable"),
    ],
)
async def test_a_refused_request_keeps_the_providers_words(
    status: int, body: Json, kind: type[ModelError], reason: str
) -> None:
    answer = json(body, status=status)

    failure = await failing(answer)

    assert (type(failure), failure.reason) == (kind, reason)
    assert failure.body.encode() == answer.body


@pytest.mark.parametrize("hears", [False, True])
async def test_a_rate_limit_says_how_long_to_wait_and_nothing_is_tried_again(hears: bool) -> None:
    answer = json(message("slow down"), status=429, headers={"Retry-After": "7"})

    failure = await failing(answer, hears=hears)

    assert isinstance(failure, ModelBusy)
    assert (failure.reason, failure.delay_s) == ("rate_limit", 7.0)


@pytest.mark.parametrize("hears", [False, True])
async def test_a_page_in_place_of_an_answer_is_malformed(hears: bool) -> None:
    page = Answer(body=b"<html>Welcome</html>", content_type="text/html")

    failure = await failing(page, hears=hears)

    assert isinstance(failure, Malformed)
    assert (failure.reason, failure.body) == ("malformed", "<html>Welcome</html>")


@pytest.mark.parametrize(
    "body",
    [b'{"message":"x"}', b"[1]", b'{"message":{"content":7}}', b'{"id":', b"", b"{}"],
)
async def test_json_of_another_shape_is_malformed(body: bytes) -> None:
    failure = await failing(Answer(body=body))

    assert isinstance(failure, Malformed)
    assert failure.body == body.decode()


async def test_an_answer_of_another_shape_cost_something() -> None:
    failure = await failing(json({**ANSWER, "message": {"content": 7}}))

    assert (type(failure), failure.usage) == (Malformed, USAGE)


@pytest.mark.parametrize("arguments", ["[1]", '{"at":', 7])
async def test_arguments_that_are_no_object_are_malformed_and_cost_something(
    arguments: Any,
) -> None:
    call = {**CALLED, "function": {"name": "look", "arguments": arguments}}

    failure = await failing(json({**ANSWER, "message": {"tool_calls": [call]}}))

    assert (type(failure), failure.usage) == (Malformed, USAGE)


@pytest.mark.parametrize("arguments", ["", "null", None])
async def test_a_call_may_have_no_arguments(arguments: str | None) -> None:
    call = {**CALLED, "function": {"name": "look", "arguments": arguments}}
    async with serving(json({**ANSWER, "message": {"tool_calls": [call]}})) as server:
        reply = await ask(server)

    assert reply.parts == (ToolCall("", "look", {}, "look_1"),)


async def test_an_error_that_comes_with_200_is_an_error_and_cost_something() -> None:
    failure = await failing(json({**ANSWER, "finish_reason": "ERROR"}))

    assert (type(failure), failure.reason, failure.usage) == (ModelBusy, "unavailable", USAGE)


async def test_a_server_that_says_nothing_ends_at_the_deadline() -> None:
    failure = await failing(Answer(ending="silent"), timeout_s=0.3)

    assert (type(failure), failure.reason) == (ModelBusy, "timeout")


async def test_an_answer_that_stops_half_way_is_cut() -> None:
    failure = await failing(Answer(body=json(ANSWER).body[:99], ending="abrupt"))

    assert (type(failure), failure.reason) == (Malformed, "cut")


async def test_a_server_that_hangs_up_without_a_word_is_unreachable() -> None:
    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    raw = RawServer(())
    raw.port = server.sockets[0].getsockname()[1]
    async with server:
        with pytest.raises(ModelBusy) as raised:
            await ask(raw)

    assert raised.value.reason == "unreachable"


async def test_a_server_that_is_not_there_is_unreachable() -> None:
    async with serving() as server:
        pass

    with pytest.raises(ModelBusy) as raised:
        await ask(server)

    assert raised.value.reason == "unreachable"
    assert "ConnectError" in str(raised.value)

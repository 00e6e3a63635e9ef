"""Claude through its SDK, against a server that fails in every way: each ends as our error."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from stepfold.events.values import Usage
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
from tests.providers.anthropic_served import MESSAGE, USED, ask, error, failing, written
from tests.providers.raw_server import Answer, RawServer, json, serving, stream

# Streams that fail


async def test_a_stream_that_ends_cleanly_without_its_end_is_cut() -> None:
    failure = await failing(stream(*written()[:-1]), hears=True)

    assert isinstance(failure, Malformed)
    assert (failure.reason, failure.retryable) == ("cut", True)
    assert failure.usage is not None
    assert failure.usage.output == 9


@pytest.mark.parametrize("ending", ["clean", "abrupt"])
async def test_a_stream_that_is_cut_inside_json_is_cut(ending: Any) -> None:
    data = "".join(written()).encode()
    inside = data.index(b"Zo") + 3  # the first byte of two

    failure = await failing(stream(data[:inside], ending=ending), hears=True)

    assert isinstance(failure, Malformed)
    assert (failure.reason, failure.usage) == ("cut", USED)


@pytest.mark.parametrize(
    ("word", "kind", "reason"),
    [
        ("overloaded_error", ModelBusy, "overloaded"),
        ("rate_limit_error", ModelBusy, "rate_limit"),
        ("api_error", ModelBusy, "unavailable"),
        ("timeout_error", ModelBusy, "unavailable"),
        ("billing_error", NoMoney, "no_money"),
        ("invalid_request_error", ModelFailed, "invalid_request"),
        ("something_new", ModelBusy, "unavailable"),
    ],
)
async def test_an_error_inside_a_stream_is_told_by_its_word(
    word: str, kind: type[ModelError], reason: str
) -> None:
    broken = f"event: error\ndata: {json(error(word)).body.decode()}\n\n"

    failure = await failing(stream(*written()[:4], broken), hears=True)

    assert (type(failure), failure.reason, failure.usage) == (kind, reason, USED)
    assert word in failure.body
    assert str(failure) == f"{word}: No."


@pytest.mark.parametrize("data", ["no json", '{"type":"content_block_delta","index":7,"delta":{}}'])
async def test_an_event_that_cannot_be_read_is_malformed(data: str) -> None:
    failure = await failing(stream(*written()[:2], f"data: {data}\n\n"), hears=True)

    assert isinstance(failure, Malformed)
    assert (failure.reason, failure.body, failure.usage) == ("malformed", data, USED)


async def test_a_stream_that_stalls_ends_at_the_deadline() -> None:
    begin = time.monotonic()

    failure = await failing(stream(*written()[:5], ending="stall"), hears=True, timeout_s=0.3)

    assert isinstance(failure, ModelBusy)
    assert (failure.reason, failure.usage) == ("timeout", USED)
    assert str(failure) == "TimeoutError: no whole answer within 0.3 s"
    assert time.monotonic() - begin < 10


# Answers that fail


@pytest.mark.parametrize(
    ("status", "body", "kind", "reason"),
    [
        (400, error("invalid_request_error"), ModelFailed, "invalid_request"),
        (
            400,
            error("invalid_request_error", "Your credit balance is too low to use the API"),
            NoMoney,
            "no_money",
        ),
        (
            400,
            error("invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum"),
            ContextOverflow,
            "context_overflow",
        ),
        (
            400,
            error(
                "invalid_request_error",
                "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000",
            ),
            ContextOverflow,
            "context_overflow",
        ),
        (
            400,
            error("invalid_request_error", "Output blocked by content filtering policy"),
            ModelRefused,
            "refused",
        ),
        (401, error("authentication_error"), ModelFailed, "authentication"),
        (402, error("billing_error"), NoMoney, "no_money"),
        (403, error("permission_error"), ModelFailed, "permission"),
        (404, error("not_found_error"), ModelFailed, "not_found"),
        (413, error("request_too_large"), ContextOverflow, "context_overflow"),
        (
            429,
            error("rate_limit_error", "You have reached your enforced spend limit"),
            NoMoney,
            "no_money",
        ),
        (500, error("api_error"), ModelBusy, "unavailable"),
        (504, error("timeout_error"), ModelBusy, "unavailable"),
        (529, error("overloaded_error"), ModelBusy, "overloaded"),
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
@pytest.mark.parametrize(
    ("status", "word", "reason"),
    [(429, "rate_limit_error", "rate_limit"), (529, "overloaded_error", "overloaded")],
)
async def test_who_is_busy_says_how_long_to_wait_and_nothing_is_tried_again(
    status: int, word: str, reason: str, hears: bool
) -> None:
    answer = json(
        error(word), status=status, headers={"Retry-After": "7", "x-should-retry": "true"}
    )

    failure = await failing(answer, hears=hears)

    assert isinstance(failure, ModelBusy)
    assert (failure.reason, failure.delay_s) == (reason, 7.0)


@pytest.mark.parametrize("hears", [False, True])
async def test_a_page_in_place_of_an_answer_is_malformed(hears: bool) -> None:
    failure = await failing(
        Answer(body=b"<html>Welcome</html>", content_type="text/html"), hears=hears
    )

    assert isinstance(failure, Malformed)
    assert (failure.reason, failure.body) == ("malformed", "<html>Welcome</html>")


@pytest.mark.parametrize(
    "body",
    [b'{"type":"message","content":[{"text":"x"}]}', b"[1]", b'{"content":"x"}', b'{"id":', b""],
)
async def test_json_of_another_shape_is_malformed(body: bytes) -> None:
    failure = await failing(Answer(body=body))

    assert isinstance(failure, Malformed)
    assert failure.body == body.decode()


async def test_an_answer_of_another_shape_cost_something() -> None:
    failure = await failing(json({**MESSAGE, "content": ["x"]}))

    assert (type(failure), failure.usage) == (
        Malformed,
        Usage(input=5, output=9, raw=MESSAGE["usage"]),
    )


async def test_arguments_that_are_no_object_are_malformed_and_cost_something() -> None:
    call = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": ["sea"]}

    failure = await failing(json({**MESSAGE, "content": [call]}))

    assert isinstance(failure, Malformed)
    assert failure.usage is not None
    assert failure.usage.output == 9


async def test_an_error_that_comes_with_200_is_an_error() -> None:
    failure = await failing(json(error("overloaded_error")))

    assert (type(failure), failure.reason) == (ModelBusy, "overloaded")


async def test_a_server_that_says_nothing_ends_at_the_deadline() -> None:
    failure = await failing(Answer(ending="silent"), timeout_s=0.3)

    assert (type(failure), failure.reason) == (ModelBusy, "timeout")


async def test_an_answer_that_stops_half_way_is_cut() -> None:
    failure = await failing(Answer(body=json(MESSAGE).body[:99], ending="abrupt"))

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

"""Google over a real connection: what is sent, and what each fault of the wire becomes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from google.auth.exceptions import RefreshError, TransportError
from google.oauth2.credentials import Credentials

from stepfold.events.transcript import Heard
from stepfold.events.values import Text, ToolCall
from stepfold.providers.google import Account, Google, Key, Project
from stepfold.providers.model import (
    ContextOverflow,
    Delta,
    Malformed,
    ModelBusy,
    ModelError,
    ModelFailed,
    ModelRefused,
    NoMoney,
    Prompt,
    Reply,
)
from stepfold.providers.wire import Json
from tests.providers.google_recordings import in_pieces
from tests.providers.raw_server import Answer, RawServer, json, serving, stream

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
KEY = Key("g-test")
LATE_S = 0.3
PARTS: list[Json] = [{"text": "Hello there, friend."}]
WHOLE: Json = {
    "candidates": [{"content": {"role": "model", "parts": PARTS}, "finishReason": "STOP"}],
    "usageMetadata": {
        "promptTokenCount": 12,
        "candidatesTokenCount": 5,
        "thoughtsTokenCount": 3,
        "totalTokenCount": 20,
        "serviceTier": "standard",
    },
    "modelVersion": "gemini-2.5-flash-001",
    "responseId": "g1",
}


def prompt(**more: Any) -> Prompt:
    told = {"model": "gemini-2.5-flash", "traceparent": TRACE, **more}
    return Prompt(
        instructions="Be brief.", tools=(), transcript=(Heard("Hello"),), call="r1", **told
    )


@asynccontextmanager
async def model(
    *answers: Answer, account: Account = KEY, **more: Any
) -> AsyncIterator[tuple[Google, RawServer]]:
    async with serving(*answers) as server:
        google = Google(account, base_url=server.url, **more)
        try:
            yield google, server
        finally:
            await google.close()


async def failed(
    answer: Answer, *, hear: Callable[[Delta], None] | None = None, **more: Any
) -> ModelError:
    async with model(answer, **more) as (google, server):
        with pytest.raises(ModelError) as raised:
            await google.reply(prompt(hear=hear))
        assert len(server.requests) == 1, "it is the pipeline that tries again"
        return raised.value


async def told(**candidate: Any) -> Reply:
    raw = {**WHOLE, "candidates": [{**WHOLE["candidates"][0], **candidate}]}
    async with model(json(raw)) as (google, _):
        return await google.reply(prompt())


def nobody(delta: Delta) -> None:
    """Asks for a stream."""


def pieces(raw: Json = WHOLE) -> list[str]:
    return [f"data: {data}\r\n\r\n" for _, data in in_pieces(raw)]


def error_of(code: int, message: str, status: str = "", *details: Json) -> Json:
    told = {"code": code, "message": message, "status": status, "details": list(details)}
    return {"error": told}


def quota(period: str) -> Json:
    name = f"GenerateRequestsPer{period}PerProjectPerModel-FreeTier"
    return {
        "@type": "type.googleapis.com/google.rpc.QuotaFailure",
        "violations": [{"quotaId": name}],
    }


# -- what is sent -------------------------------------------------------------


async def test_an_answer_is_told_and_the_request_is_traced() -> None:
    async with model(json(WHOLE)) as (google, server):
        reply = await google.reply(prompt())

    (asked,) = server.requests
    assert (reply.parts, reply.finish) == ((Text("Hello there, friend."),), "stop")
    assert (reply.model, reply.provider, reply.tier) == (
        "gemini-2.5-flash-001",
        "google",
        "standard",
    )
    assert reply.usage is not None
    assert (reply.usage.input, reply.usage.output, reply.usage.thinking) == (12, 8, 3)
    assert asked.path == "/v1beta/models/gemini-2.5-flash:generateContent"
    assert asked.headers["x-goog-api-key"] == "g-test"
    assert asked.headers["traceparent"] == TRACE
    assert asked.json["contents"] == [{"role": "user", "parts": [{"text": "Hello"}]}]


async def test_vertex_is_asked_in_a_project_with_a_token() -> None:
    credentials = Credentials("t-1", quota_project_id="payer")  # type: ignore[no-untyped-call]
    account = Project("acme", "europe-west4", credentials)
    async with model(json(WHOLE), account=account) as (google, server):
        reply = await google.reply(prompt())

    (asked,) = server.requests
    model_path = "publishers/google/models/gemini-2.5-flash"
    assert asked.path == (
        f"/v1beta1/projects/acme/locations/europe-west4/{model_path}:generateContent"
    )
    assert asked.headers["authorization"] == "Bearer t-1"
    assert asked.headers["x-goog-user-project"] == "payer"
    assert "x-goog-api-key" not in asked.headers
    assert reply.provider == "vertex"


@pytest.mark.parametrize(
    ("trouble", "kind", "reason"),
    [(TransportError, ModelBusy, "unreachable"), (RefreshError, ModelFailed, "authentication")],
)
async def test_a_token_that_cannot_be_had_is_an_error_of_ours(
    trouble: type[Exception], kind: type, reason: str
) -> None:
    class Revoked(Credentials):
        def refresh(self, request: object) -> None:
            raise trouble("no")

    credentials = Revoked(None, refresh_token="r")  # type: ignore[no-untyped-call]
    async with model(json(WHOLE), account=Project("acme", "global", credentials)) as (
        google,
        server,
    ):
        with pytest.raises(ModelError) as raised:
            await google.reply(prompt())

    assert (type(raised.value), raised.value.reason) == (kind, reason)
    assert server.requests == []


async def test_a_model_that_has_its_path_keeps_it() -> None:
    async with model(json(WHOLE)) as (google, server):
        await google.reply(prompt(model="tunedModels/ours"))

    assert server.requests[0].path == "/v1beta/tunedModels/ours:generateContent"


async def test_who_hears_is_told_as_it_comes_and_the_reply_is_the_same() -> None:
    heard: list[str] = []
    async with model(json(WHOLE), stream(*pieces())) as (google, server):
        whole = await google.reply(prompt())
        streamed = await google.reply(prompt(hear=lambda delta: heard.append(delta.text)))

    assert streamed == whole
    assert heard == ["Hello t", "here, f", "riend."]
    assert server.requests[1].path.endswith(":streamGenerateContent?alt=sse")


async def test_bytes_may_be_cut_anywhere() -> None:
    data = "".join(pieces()).replace("Hello t", "Hé\u2028llo\u0085 t").encode()
    answer = stream(*(data[place : place + 3] for place in range(0, len(data), 3)))
    heard: list[str] = []
    async with model(answer) as (google, _):
        await google.reply(prompt(hear=lambda delta: heard.append(delta.text)))

    assert "".join(heard) == "Hé\u2028llo\u0085 there, friend."


async def test_a_server_that_does_not_stream_is_read_whole() -> None:
    async with model(json(WHOLE)) as (google, _):
        reply = await google.reply(prompt(hear=nobody))

    assert reply.all_text() == "Hello there, friend."


async def test_the_state_of_a_turn_is_kept_for_the_model_that_was_asked() -> None:
    reply = await told(content={"parts": [{"text": "Hm.", "thoughtSignature": "c2ln"}]})

    assert reply.state is not None
    assert (reply.state.model, reply.state.turn) == (
        "gemini-2.5-flash",
        [{"text": "Hm.", "thoughtSignature": "c2ln"}],
    )


# -- what goes wrong ----------------------------------------------------------

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


# -- answers that are less than one would wish --------------------------------


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

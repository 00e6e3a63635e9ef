"""Google over a real connection: what is sent, and the answer, whole or as it comes."""

from __future__ import annotations

import pytest
from google.auth.exceptions import RefreshError, TransportError
from google.oauth2.credentials import Credentials

from stepfold.events.values import Text
from stepfold.providers.google import Project
from stepfold.providers.model import (
    ModelBusy,
    ModelError,
    ModelFailed,
)
from tests.providers.google_served import (
    TRACE,
    WHOLE,
    model,
    nobody,
    pieces,
    prompt,
    told,
)
from tests.providers.raw_server import json, stream


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

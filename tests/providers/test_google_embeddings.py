"""Gemini's embeddings, of the Gemini API and of Vertex, over a real connection."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from google.oauth2.credentials import Credentials

from stepfold.providers.google import Account, GoogleEmbedder, Project
from stepfold.providers.model import (
    Malformed,
    ModelBusy,
)
from stepfold.providers.wire import Json
from tests.providers.google_served import KEY, LATE_S
from tests.providers.raw_server import Answer, RawServer, json, serving


@asynccontextmanager
async def embedder(
    *answers: Json, account: Account = KEY, **more: Any
) -> AsyncIterator[tuple[GoogleEmbedder, RawServer]]:
    async with serving(*map(json, answers)) as server:
        google = GoogleEmbedder(account, base_url=server.url, **more)
        try:
            yield google, server
        finally:
            await google.close()


def batch(number: int, tokens: int) -> Json:
    vectors = [{"values": [3.0, 4.0]}] * number
    return {"embeddings": vectors, "usageMetadata": {"promptTokenCount": tokens}}


async def test_many_texts_are_embedded_in_several_requests_and_counted_together() -> None:
    async with embedder(batch(100, 7), batch(1, 2)) as (google, server):
        told = await google.embed(["x"] * 101, model="gemini-embedding-001", what="document")

    assert told.vectors == ((0.6, 0.8),) * 101
    assert (told.model, told.provider) == ("gemini-embedding-001", "google")
    assert told.usage is not None
    assert told.usage.input == 9
    assert server.requests[0].path == "/v1beta/models/gemini-embedding-001:batchEmbedContents"


async def test_vertex_counts_tokens_by_text() -> None:
    one = {"embeddings": {"values": [1.0], "statistics": {"token_count": 3, "truncated": False}}}
    answer = {"predictions": [one, one], "metadata": {"billableCharacterCount": 9}}
    credentials = Credentials("t-1")  # type: ignore[no-untyped-call]
    async with embedder(answer, account=Project("acme", credentials=credentials)) as (
        google,
        asked,
    ):
        told = await google.embed(["a", "b"], model="text-embedding-005", what="query")

    assert told.usage is not None
    assert (told.usage.input, told.provider) == (6, "vertex")
    assert told.usage.raw == {"token_count": 6, "billableCharacterCount": 9}
    assert asked.requests[0].path.endswith(
        "/locations/global/publishers/google/models/text-embedding-005:predict"
    )


async def test_a_vector_too_few_is_malformed_and_says_what_it_cost() -> None:
    async with embedder(batch(100, 7), batch(0, 2)) as (google, _):
        with pytest.raises(Malformed, match="0 vectors for 1 texts") as raised:
            await google.embed(["x"] * 101, model="gemini-embedding-001", what="document")

    assert raised.value.usage is not None
    assert raised.value.usage.input == 9


async def test_an_embedding_that_does_not_come_is_late() -> None:
    async with serving(Answer(ending="silent")) as server:
        google = GoogleEmbedder(KEY, base_url=server.url, timeout_s=LATE_S)
        with pytest.raises(ModelBusy) as raised:
            await google.embed(["x"], model="gemini-embedding-001", what="query")
        await google.close()

    assert raised.value.reason == "timeout"

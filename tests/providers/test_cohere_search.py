"""Cohere's embeddings and reranking: what is sent, what comes back, what is paid, what fails."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import Any

import pytest

from stepfold.events.values import Usage
from stepfold.providers.cohere import CohereEmbedder, CohereReranker
from stepfold.providers.cohere_search import TEXTS_MAX
from stepfold.providers.embedder import Embedded, What
from stepfold.providers.model import Malformed, ModelBusy, ModelError, ModelFailed
from stepfold.providers.reranker import Ranked, Reranked
from stepfold.providers.wire import Json
from tests.providers.cohere_recordings import as_the_sdk_reads_it
from tests.providers.raw_server import Answer, RawServer, json, serving

EMBED, RERANK = "embed-v4.0", "rerank-v3.5"


def embedded(*vectors: Sequence[float], tokens: float = 4.0) -> Json:
    meta = {"api_version": {"version": "2"}, "billed_units": {"input_tokens": tokens}}
    return {"id": "e1", "embeddings": {"float": vectors}, "texts": [], "meta": meta}


def ranked(*results: tuple[int, float], units: Json | None = None) -> Json:
    told = [{"index": index, "relevance_score": score} for index, score in results]
    return {"id": "r1", "results": told, "meta": {"billed_units": units or {"search_units": 1}}}


async def embed(
    server: RawServer, texts: Sequence[str], *, what: What = "document", timeout_s: float = 20.0
) -> Embedded:
    embedder = CohereEmbedder(api_key="key-1", base_url=server.url, timeout_s=timeout_s)
    try:
        return await embedder.embed(texts, model=EMBED, what=what)
    finally:
        await embedder.close()


async def rerank(
    server: RawServer, texts: Sequence[str], *, k: int = 2, timeout_s: float = 20.0
) -> Reranked:
    reranker = CohereReranker(api_key="key-1", base_url=server.url, timeout_s=timeout_s)
    try:
        return await reranker.rerank("q", texts, model=RERANK, k=k)
    finally:
        await reranker.close()


# Embeddings


async def test_each_text_has_a_vector_of_length_1_in_its_place() -> None:
    async with serving(json(embedded([3, 4], [0, -2], [0, 0]))) as server:
        told = await embed(server, ["a", "b", ""])

    assert told.vectors == ((0.6, 0.8), (0.0, -1.0), (0.0, 0.0))
    assert (told.model, told.provider) == (EMBED, "cohere")


@pytest.mark.parametrize(
    ("what", "told"), [("document", "search_document"), ("query", "search_query")]
)
async def test_a_request_says_what_the_texts_are(what: What, told: str) -> None:
    async with serving(json(embedded([1]))) as server:
        await embed(server, ["Zoë\u2028"], what=what)

    asked = server.requests[0]
    assert (asked.method, asked.path) == ("POST", "/v2/embed")
    assert asked.headers["authorization"] == "Bearer key-1"
    assert asked.json == {
        "model": EMBED,
        "texts": ["Zoë\u2028"],
        "input_type": told,
        "embedding_types": ["float"],
    }
    assert as_the_sdk_reads_it(asked.json, "embed") == asked.json


async def test_what_is_paid_is_told_with_its_words() -> None:
    async with serving(json(embedded([1]))) as server:
        told = await embed(server, ["a"])

    billed = {"input_tokens": 4.0}
    assert told.usage == Usage(input=4, billed=billed, raw=embedded([1])["meta"])


async def test_many_texts_take_several_requests_whose_costs_are_summed() -> None:
    texts = [str(number) for number in range(TEXTS_MAX + 1)]
    first = embedded(*([number, 1] for number in range(TEXTS_MAX)), tokens=96)
    async with serving(json(first), json(embedded([0, 5], tokens=2))) as server:
        told = await embed(server, texts)

    assert [text for asked in server.requests for text in asked.json["texts"]] == texts
    assert len(told.vectors) == TEXTS_MAX + 1
    assert all(math.hypot(*each) == pytest.approx(1) for each in told.vectors)
    assert told.vectors[-1] == (0.0, 1.0)
    assert told.usage is not None
    assert (told.usage.input, told.usage.billed) == (98, {"input_tokens": 98.0})


async def test_no_texts_are_no_request() -> None:
    async with serving() as server:
        told = await embed(server, [])

    assert (told.vectors, told.usage, server.requests) == ((), None, [])


async def test_where_a_later_request_fails_what_the_earlier_ones_cost_is_told() -> None:
    first = embedded(*[[1]] * TEXTS_MAX, tokens=96)
    async with serving(json(first), json({"message": "no"}, status=503)) as server:
        with pytest.raises(ModelBusy) as raised:
            await embed(server, ["x"] * (TEXTS_MAX + 1))

    assert raised.value.usage is not None
    assert raised.value.usage.billed == {"input_tokens": 96.0}


@pytest.mark.parametrize(
    "raw",
    [
        embedded([1], [2]),
        embedded(),
        {"embeddings": {"int8": [[1]]}, "meta": embedded()["meta"]},
        {"embeddings": {"float": [["x"]]}, "meta": embedded()["meta"]},
    ],
    ids=["too many", "none", "another type", "no numbers"],
)
async def test_vectors_that_are_not_those_of_the_texts_are_malformed_and_paid(raw: Json) -> None:
    async with serving(json(raw)) as server:
        with pytest.raises(Malformed) as raised:
            await embed(server, ["a"])

    assert raised.value.usage is not None
    assert raised.value.usage.billed == {"input_tokens": 4.0}


async def test_an_answer_may_not_say_what_is_paid() -> None:
    async with serving(json({**embedded([1]), "meta": None})) as server:
        assert (await embed(server, ["a"])).usage is None


# Reranking


async def test_the_best_come_first_whatever_their_order_was() -> None:
    async with serving(json(ranked((0, 0.1), (2, 0.9), (1, 0.1)))) as server:
        told = await rerank(server, ["a", "b", "c"], k=3)

    assert told.order == (Ranked(2, 0.9), Ranked(0, 0.1), Ranked(1, 0.1))


@pytest.mark.parametrize(("k", "told"), [(2, 2), (9, 3)])
async def test_a_request_asks_for_as_many_as_there_can_be(k: int, told: int) -> None:
    async with serving(json(ranked((0, 0.1)))) as server:
        await rerank(server, ["a", "b", "c"], k=k)

    asked = server.requests[0]
    assert (asked.method, asked.path) == ("POST", "/v2/rerank")
    assert asked.json == {
        "model": RERANK,
        "query": "q",
        "documents": ["a", "b", "c"],
        "top_n": told,
    }
    assert as_the_sdk_reads_it(asked.json, "rerank") == asked.json


async def test_searches_are_paid_for_by_the_unit() -> None:
    raw = ranked((0, 0.5), units={"search_units": 3, "input_tokens": None})
    async with serving(json(raw)) as server:
        told = await rerank(server, ["a"])

    assert told.usage == Usage(billed={"search_units": 3.0}, raw=raw["meta"])


@pytest.mark.parametrize(
    "raw",
    [
        ranked((0, 0.5), (0, 0.4)),
        ranked((2, 0.5)),
        ranked((-1, 0.5)),
        {**ranked(), "results": "none"},
        {**ranked(), "results": [{"index": 0}]},
    ],
    ids=["one twice", "one too far", "before the first", "no list", "no score"],
)
async def test_an_order_of_other_texts_is_malformed_and_paid(raw: Json) -> None:
    async with serving(json(raw)) as server:
        with pytest.raises(Malformed) as raised:
            await rerank(server, ["a", "b"])

    assert raised.value.usage is not None
    assert raised.value.usage.billed == {"search_units": 1.0}


# Both


@pytest.mark.parametrize("ask", [embed, rerank])
@pytest.mark.parametrize(
    ("answer", "kind", "reason"),
    [
        (json({"message": "no"}, status=401), ModelFailed, "authentication"),
        (
            json({"message": "wait"}, status=429, headers={"retry-after": "7"}),
            ModelBusy,
            "rate_limit",
        ),
        (json({"message": "oh"}, status=500), ModelBusy, "unavailable"),
        (Answer(body=b"<html>", content_type="text/html"), Malformed, "malformed"),
        (Answer(body=b'{"id":'), Malformed, "malformed"),
        (Answer(body=b"{}"), Malformed, "malformed"),
        (Answer(body=b'{"id": "e1"', ending="abrupt"), Malformed, "cut"),
        (Answer(ending="silent"), ModelBusy, "timeout"),
    ],
    ids=["key", "rate", "trouble", "page", "half", "empty", "cut", "stall"],
)
async def test_what_fails_is_our_error_after_one_request(
    ask: Any, answer: Answer, kind: type[ModelError], reason: str
) -> None:
    async with serving(answer) as server:
        with pytest.raises(ModelError) as raised:
            await ask(server, ["a"], timeout_s=0.3 if reason == "timeout" else 20.0)

    assert (type(raised.value), raised.value.reason, raised.value.usage) == (kind, reason, None)
    assert raised.value.delay_s == (7.0 if reason == "rate_limit" else 0.0)
    assert len(server.requests) == 1


@pytest.mark.parametrize("ask", [embed, rerank])
async def test_a_server_that_is_not_there_is_unreachable(ask: Any) -> None:
    async with serving() as server:
        pass

    with pytest.raises(ModelBusy) as raised:
        await ask(server, ["a"])

    assert raised.value.reason == "unreachable"


async def test_one_embedder_serves_calls_at_once() -> None:
    async with serving(*[json(embedded([1]))] * 4) as server:
        embedder = CohereEmbedder(api_key="k", base_url=server.url)
        asked = (embedder.embed(["a"], model=EMBED, what="query") for _ in range(4))
        told = await asyncio.gather(*asked)
        await embedder.close()

    assert [each.vectors for each in told] == [((1.0,),)] * 4

"""Embedders: OpenAI's over a real connection, and the local one that hashes."""

from __future__ import annotations

import asyncio
import base64
import math
import os
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from stepfold.events.values import Usage
from stepfold.providers.embedder import Embedded, Embedder, Vector, unit
from stepfold.providers.hashing import NAME, HashingEmbedder
from stepfold.providers.model import Malformed, ModelBusy, ModelError, ModelFailed
from stepfold.providers.openai import OpenAIEmbedder
from stepfold.providers.openai_embeddings import BYTES_MAX, TEXTS_MAX, batches
from stepfold.providers.wire import Json
from tests.providers.openai_recordings import WIRE
from tests.providers.raw_server import Answer, RawServer, json, serving

SMALL = "text-embedding-3-small"


def recorded() -> list[Json]:
    path = WIRE / "openai_embeddings.jsonl"
    lines = path.read_bytes().splitlines() if path.is_file() else []
    return [msgspec.json.decode(line) for line in lines]


@asynccontextmanager
async def embedder(*answers: Answer, **more: Any) -> AsyncIterator[tuple[Embedder, RawServer]]:
    async with serving(*answers) as server:
        openai = OpenAIEmbedder(api_key="sk-test", base_url=server.url, **more)
        try:
            yield openai, server
        finally:
            await openai.close()


async def embedded(*answers: Answer, texts: Sequence[str] = ("a", "b")) -> Embedded:
    async with embedder(*answers) as (openai, _):
        return await openai.embed(texts, model=SMALL, what="document")


async def failed(*answers: Answer, texts: Sequence[str] = ("a", "b"), **more: Any) -> ModelError:
    async with embedder(*answers, **more) as (openai, server):
        with pytest.raises(ModelError) as raised:
            await openai.embed(texts, model=SMALL, what="document")
        assert len(server.requests) == len(answers)
        return raised.value


def packed(*numbers: float) -> str:
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()


def answer(*vectors: object, tokens: int | None = 3, first: int = 0) -> Json:
    data = [{"index": first + place, "embedding": each} for place, each in enumerate(vectors)]
    usage = None if tokens is None else {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "model": f"{SMALL}-as-answered", "data": data, "usage": usage}


# OpenAI


@pytest.mark.skipif(not WIRE.is_dir(), reason=f"{WIRE} is absent; set STEPFOLD_DATA")
async def test_recorded_answers_are_vectors_of_length_1_and_their_usage_is_kept() -> None:
    whole = [told for told in recorded() if told["status"] == 200]
    async with embedder(*(json(told["response"]) for told in whole)) as (openai, _):
        for told in whole:
            texts, raw = told["request"]["input"], told["response"]
            made = await openai.embed(texts, model=SMALL, what="document")

            assert (made.model, made.provider) == (raw["model"], "openai")
            assert [len(vector) for vector in made.vectors] == [
                len(base64.b64decode(each["embedding"])) // 4 for each in raw["data"]
            ]
            assert all(math.hypot(*vector) == pytest.approx(1) for vector in made.vectors)
            assert made.usage == Usage(input=raw["usage"]["prompt_tokens"], raw=raw["usage"])
    assert len(whole) == 2


@pytest.mark.skipif(not WIRE.is_dir(), reason=f"{WIRE} is absent; set STEPFOLD_DATA")
async def test_a_recorded_refusal_is_a_failure() -> None:
    (refused,) = [told for told in recorded() if told["status"] != 200]

    error = await failed(json(refused["response"], status=refused["status"]))

    assert (type(error), error.reason) == (ModelFailed, "not_found")
    assert "nonexistent" in error.body


async def test_texts_are_sent_as_they_are_and_an_empty_one_as_a_blank() -> None:
    async with embedder(json(answer([1.0], [1.0])), name="azure") as (openai, server):
        made = await openai.embed(["hello", ""], model=SMALL, what="query")

    (asked,) = server.requests
    assert asked.path == "/embeddings"
    assert asked.json == {"model": SMALL, "input": ["hello", " "], "encoding_format": "base64"}
    assert (made.provider, made.model) == ("azure", f"{SMALL}-as-answered")


async def test_vectors_are_in_the_order_of_the_texts_whatever_the_order_of_the_answer() -> None:
    raw = answer(packed(1.0, 0.0), packed(0.0, 1.0))

    made = await embedded(json({**raw, "data": raw["data"][::-1]}))

    assert made.vectors == ((1.0, 0.0), (0.0, 1.0))


async def test_a_server_that_knows_no_base64_and_no_length_1_is_understood() -> None:
    made = await embedded(json(answer([3, 4], [0, 0], tokens=None)))

    assert made.vectors == ((0.6, 0.8), (0.0, 0.0))
    assert made.usage is None


async def test_no_texts_are_no_request() -> None:
    async with embedder() as (openai, server):
        made = await openai.embed([], model=SMALL, what="document")

    assert made == Embedded((), SMALL, "openai", None)
    assert server.requests == []


async def test_many_texts_take_several_requests_and_the_usage_is_of_all() -> None:
    texts = ["a" * BYTES_MAX, "b", "c"]
    answers = json(answer([1.0], tokens=7)), json(answer([1.0], [-1.0], tokens=5))

    made = await embedded(*answers, texts=texts)

    assert made.vectors == ((1.0,), (1.0,), (-1.0,))
    assert made.usage == Usage(input=12, raw={"prompt_tokens": 12, "total_tokens": 12})


async def test_an_error_says_what_the_requests_before_it_cost() -> None:
    texts = ["a" * BYTES_MAX, "b"]
    busy = json(
        {"error": {"code": "rate_limit_exceeded"}}, status=429, headers={"retry-after": "4"}
    )

    error = await failed(json(answer([1.0], tokens=7)), busy, texts=texts)

    assert (type(error), error.reason, error.delay_s) == (ModelBusy, "rate_limit", 4.0)
    assert error.usage is not None
    assert error.usage.input == 7


@pytest.mark.parametrize(
    "raw",
    [
        answer([1.0]),
        answer([1.0], [1.0], [1.0]),
        answer([1.0], [1.0], first=1),
        answer([1.0], "no base64!"),
        answer([1.0], base64.b64encode(b"12345").decode()),
        answer([1.0], packed(math.nan)),
        answer([1.0], ["one"]),
        answer([1.0], None),
        {**answer(), "data": None},
    ],
    ids=["one", "three", "from 1", "text", "bytes", "nan", "words", "nothing", "no data"],
)
async def test_vectors_that_are_none_are_malformed_and_paid_for(raw: Json) -> None:
    error = await failed(json(raw))

    assert (type(error), error.retryable) == (Malformed, True)
    assert error.usage is not None
    assert error.usage.input == 3


@pytest.mark.parametrize(
    ("told", "kind", "reason"),
    [
        (Answer(200, b"<html>hello</html>", content_type="text/html"), Malformed, "malformed"),
        (Answer(200, b'{"data": [', ending="abrupt"), Malformed, "cut"),
        (Answer(503, b"away"), ModelBusy, "unavailable"),
        (json({"error": {"code": "server_error"}}), ModelBusy, "unavailable"),
        (Answer(ending="silent"), ModelBusy, "timeout"),
    ],
)
async def test_a_fault_of_the_wire_is_an_error_of_ours(
    told: Answer, kind: type, reason: str
) -> None:
    error = await failed(told, timeout_s=0.3)

    assert (type(error), error.reason) == (kind, reason)


@pytest.mark.parametrize(
    ("texts", "sizes"),
    [
        ([], []),
        (["a"] * TEXTS_MAX, [TEXTS_MAX]),
        (["a"] * (TEXTS_MAX + 1), [TEXTS_MAX, 1]),
        (["é" * (BYTES_MAX // 4)] * 3, [2, 1]),
        (["a", "b" * (BYTES_MAX + 1), "c"], [1, 1, 1]),
        (["\ud800"], [1]),
    ],
    ids=["none", "the most", "one more", "by bytes", "one too long", "half a pair"],
)
def test_requests_are_within_the_limits_and_no_text_is_lost(
    texts: list[str], sizes: list[int]
) -> None:
    made = list(batches(texts))

    assert [len(batch) for batch in made] == sizes
    assert [text for batch in made for text in batch] == texts


def test_a_length_near_to_1_is_left_as_it_was_told() -> None:
    near = (0.6, 0.8004)

    assert unit(near) is near


# Hashing


async def hashed(*texts: str) -> tuple[Vector, ...]:
    made = await HashingEmbedder().embed(texts, model="", what="document")
    return made.vectors


def nearness(one: Vector, other: Vector) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


async def test_words_in_another_form_are_nearer_than_other_words() -> None:
    asked, inflected, mistyped, other = await hashed(
        "How do I cancel my card?",
        "Cancelling cards",
        "how do i cancle my crad",
        "Opening hours of the branch",
    )

    assert nearness(asked, inflected) > 0.2 > nearness(asked, other)
    assert nearness(asked, mistyped) > nearness(asked, other)


async def test_writing_in_another_way_changes_nothing() -> None:
    one, other = await hashed("The CARD, twice: Stra\u00dfe \ufb01n.", "the card twice strasse fin")

    assert nearness(one, other) == pytest.approx(1)


async def test_vectors_have_length_1_and_that_of_no_word_is_zeros() -> None:
    first, second, none = await hashed("a", "word " * 1_000, " ... ")

    assert math.hypot(*first) == pytest.approx(1)
    assert math.hypot(*second) == pytest.approx(1)
    assert none == (0.0,) * 1_024


async def test_the_usage_is_the_words() -> None:
    local = HashingEmbedder(dimensions=8)

    made = await local.embed(["two words", "and three more"], model="", what="query")

    assert (made.model, made.provider, made.usage) == (NAME, NAME, Usage(input=5))
    assert [len(vector) for vector in made.vectors] == [8, 8]


def test_another_process_makes_the_same_vectors() -> None:
    program = (
        "from stepfold.providers.hashing import vector;"
        "print([place for place, each in enumerate(vector('a stable hash')) if each])"
    )

    told = [
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]

    assert told[0] == told[1] != b"[]\n"


async def test_the_loop_goes_on_while_many_texts_are_hashed() -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0)
            ticks += 1

    ticking = asyncio.create_task(tick())
    await hashed(*["some words of a text"] * 100)
    ticking.cancel()

    assert ticks > 1

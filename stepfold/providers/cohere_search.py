"""Cohere's embeddings and reranking: texts into bodies, answers into vectors and orders. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from stepfold.events.values import Usage
from stepfold.providers.embedder import Vector, What
from stepfold.providers.failures import unreadable
from stepfold.providers.reranker import Ranked
from stepfold.providers.wire import Json

TEXTS_MAX = 96
"""Of one request for embeddings."""
_INPUT_TYPES: Mapping[What, str] = {"document": "search_document", "query": "search_query"}
T = TypeVar("T")


class Meta(Struct):
    billed_units: dict[str, float | None] | None = None


class Vectors(Struct, rename={"floats": "float"}):
    floats: list[list[float]]


class EmbedAnswer(Struct):
    embeddings: Vectors


class Result(Struct):
    index: int
    relevance_score: float


class RankAnswer(Struct):
    results: list[Result]


def batches(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    for begin in range(0, len(texts), TEXTS_MAX):
        yield texts[begin : begin + TEXTS_MAX]


def embedding(texts: Sequence[str], model: str, what: What) -> Json:
    return {
        "model": model,
        "texts": list(texts),
        "input_type": _INPUT_TYPES[what],
        "embedding_types": ["float"],
    }


def vectors(raw: Json, number: int) -> tuple[Vector, ...]:
    """Of `number` texts, each of length 1."""
    told = _shaped(raw, EmbedAnswer).embeddings.floats
    if len(told) != number:
        raise unreadable(_json(raw), f"it has {len(told)} vectors for {number} texts")
    return tuple(map(_of_length_1, told))


def _of_length_1(told: Sequence[float]) -> Vector:
    length = math.hypot(*told)
    return tuple(each / length for each in told) if length else tuple(told)


def ranking(query: str, texts: Sequence[str], model: str, k: int) -> Json:
    return {"model": model, "query": query, "documents": list(texts), "top_n": min(k, len(texts))}


def ranks(raw: Json, number: int) -> tuple[Ranked, ...]:
    """The best first, each of `number` texts once at most."""
    told = _shaped(raw, RankAnswer).results
    places = {each.index for each in told}
    if len(places) != len(told) or not places <= set(range(number)):
        raise unreadable(_json(raw), f"it ranks other texts than the {number} that it was given")
    order = sorted(told, key=lambda each: (-each.relevance_score, each.index))
    return tuple(Ranked(each.index, each.relevance_score) for each in order)


def usage_of(raw: Json) -> Usage | None:
    """What is paid for; None when it was not told."""
    if not isinstance(raw.get("meta"), dict):
        return None
    billed = _shaped(raw["meta"], Meta).billed_units or {}
    told = {unit: count for unit, count in billed.items() if count is not None}
    return Usage(input=_tokens(told), billed=told, raw=raw["meta"]) if told else None


def total(one: Usage | None, other: Usage | None) -> Usage | None:
    if one is None or other is None:
        return one or other
    before, after = one.billed or {}, other.billed or {}
    billed = {unit: before.get(unit, 0) + after.get(unit, 0) for unit in before | after}
    return Usage(input=_tokens(billed), billed=billed, raw={"billed_units": billed})


def _tokens(billed: Mapping[str, float]) -> int | None:
    return int(billed["input_tokens"]) if "input_tokens" in billed else None


def _shaped(raw: Any, shape: type[T]) -> T:
    try:
        return msgspec.convert(raw, shape)
    except msgspec.ValidationError as error:
        raise unreadable(_json(raw), str(error)) from error


def _json(raw: Any) -> str:
    return msgspec.json.encode(raw).decode()

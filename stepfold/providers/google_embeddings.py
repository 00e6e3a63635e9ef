"""Google's embeddings: texts into requests, answers into vectors. Pure.

batchEmbedContents    the Gemini API, and Gemini's models on Vertex, which take one field elsewhere
predict               Vertex's other models
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import msgspec
from msgspec import Struct

from stepfold.events.values import Usage
from stepfold.providers.embedder import Vector, What
from stepfold.providers.failures import unreadable
from stepfold.providers.google_answer import body as text_of
from stepfold.providers.wire import Json

Method = Literal["batchEmbedContents", "predict"]
TEXTS_MAX, BYTES_MAX = 100, 20_000
"""Of one request: texts, and tokens, each of which is a byte or more."""
_TASKS: Mapping[What, str] = {"document": "RETRIEVAL_DOCUMENT", "query": "RETRIEVAL_QUERY"}


class Statistics(Struct):
    token_count: float | None = None


class Embedding(Struct):
    values: list[float]
    statistics: Statistics | None = None


class Prediction(Struct):
    embeddings: Embedding


class Counted(Struct, rename="camel"):
    prompt_token_count: int | None = None


class Answer(Struct, rename="camel"):
    embeddings: list[Embedding] = []
    predictions: list[Prediction] = []
    usage_metadata: Counted | None = None

    @property
    def told(self) -> list[Embedding]:
        return self.embeddings or [each.embeddings for each in self.predictions]


def method(model: str, *, vertex: bool) -> Method:
    gemini = "gemini" in model.rpartition("/")[2]
    return "predict" if vertex and not gemini else "batchEmbedContents"


def batches(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """Each within the limits, but for a text that is over them by itself."""
    begin, size = 0, 0
    for place, text in enumerate(texts):
        added = len(text.encode(errors="replace"))
        size += added
        if place > begin and (place - begin >= TEXTS_MAX or size > BYTES_MAX):
            yield texts[begin:place]
            begin, size = place, added
    if begin < len(texts):
        yield texts[begin:]


def request(texts: Sequence[str], path: str, what: What, *, vertex: bool) -> Json:
    """`path` is the model's. The API refuses a text without a character."""
    task, told = _TASKS[what], [text or " " for text in texts]
    if method(path, vertex=vertex) == "predict":
        return {"instances": [{"content": text, "task_type": task} for text in told]}
    named: Json = {"model": path, "taskType": task}
    if vertex:
        named = {"embedContentConfig": {"taskType": task}}
    return {"requests": [{**named, "content": {"parts": [{"text": text}]}} for text in told]}


def vectors(raw: Json, number: int) -> tuple[Vector, ...]:
    """Of `number` texts, each of length 1."""
    told = _answer(raw).told
    if len(told) != number:
        raise unreadable(text_of(raw), f"it has {len(told)} vectors for {number} texts")
    return tuple(_of_length_1(each.values) for each in told)


def _of_length_1(told: Sequence[float]) -> Vector:
    length = math.hypot(*told)
    return tuple(each / length for each in told) if length else tuple(told)


def usage_of(raw: Json) -> Usage | None:
    """None when it was not told, as the Gemini API does."""
    answer = _answer(raw)
    if answer.usage_metadata is not None:
        return Usage(input=answer.usage_metadata.prompt_token_count, raw=raw["usageMetadata"])
    counts = [each.statistics.token_count for each in answer.told if each.statistics]
    told = [count for count in counts if count is not None]
    if not told or len(told) != len(answer.told):
        return None
    return Usage(input=int(sum(told)), raw={"token_count": sum(told), **raw.get("metadata", {})})


def total(one: Usage | None, other: Usage | None) -> Usage | None:
    if one is None or other is None:
        return one or other
    into = None if one.input is None or other.input is None else one.input + other.input
    return Usage(input=into, raw={"token_count": into})


def _answer(raw: Json) -> Answer:
    try:
        return msgspec.convert(raw, Answer)
    except msgspec.ValidationError as error:
        raise unreadable(text_of(raw), str(error)) from error

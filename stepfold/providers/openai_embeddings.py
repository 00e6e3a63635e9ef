"""OpenAI's embeddings: texts into requests, answers into vectors. Pure."""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator, Sequence

from stepfold.events.values import Usage
from stepfold.providers.embedder import Embedded, Vector, unit
from stepfold.providers.failures import unreadable
from stepfold.providers.openai_failures import told as failed
from stepfold.providers.openai_shared import count, shaped, text_of
from stepfold.providers.wire import Json

TEXTS_MAX, BYTES_MAX = 2_048, 300_000
"""Of one request: texts, and tokens, each of which is a byte or more."""


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


def request(texts: Sequence[str], model: str) -> Json:
    """The API refuses a text without a character."""
    return {
        "model": model,
        "input": [text or " " for text in texts],
        "encoding_format": "base64",
    }


def embedded(raw: Json, number: int, provider: str) -> Embedded:
    """The vectors of `number` texts, or a ModelError."""
    with shaped(raw, lambda: _usage(raw.get("usage"))):
        return _embedded(raw, number, provider)


def _embedded(raw: Json, number: int, provider: str) -> Embedded:
    if raw.get("error"):
        raise failed(raw["error"], text_of(raw))
    told = sorted(raw["data"], key=lambda each: each["index"])
    if [each["index"] for each in told] != list(range(number)):
        raise unreadable(text_of(raw), f"it has {len(told)} vectors for {number} texts")
    vectors = tuple(unit(_vector(each["embedding"])) for each in told)
    return Embedded(vectors, raw.get("model") or "", provider, _usage(raw.get("usage")))


def _vector(told: str | list[float]) -> Vector:
    """Floats of four bytes in base64; servers that do not know that give numbers."""
    if not isinstance(told, str):
        return tuple(float(each) for each in told)
    data = base64.b64decode(told, validate=True)
    if len(data) % 4:
        raise ValueError(f"a vector of {len(data)} bytes")
    return struct.unpack(f"<{len(data) // 4}f", data)


def _usage(told: object) -> Usage | None:
    if not isinstance(told, dict):
        return None
    return Usage(input=count(told, "prompt_tokens"), raw=told)


def total(one: Usage | None, other: Usage | None) -> Usage | None:
    if one is None or other is None:
        return one or other
    into = None if one.input is None or other.input is None else one.input + other.input
    before, after = one.raw or {}, other.raw or {}
    raw = {key: (count(before, key) or 0) + (count(after, key) or 0) for key in before | after}
    return Usage(input=into, raw=raw)

"""What both of OpenAI's APIs say alike: schemas, files, citations, counts. Pure."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Literal

import msgspec
from msgspec import Struct

from stepfold.events.values import Citation, FileRef, ToolCall, Usage
from stepfold.policy.toolspec import ToolSpec
from stepfold.providers.failures import unreadable
from stepfold.providers.model import ModelError, ModelFailed, Prompt
from stepfold.providers.schemas import strict
from stepfold.providers.wire import Json, call_id

CACHE_KEY_CHARS = 32
NAME_CHARS_MAX = 64
NOT_ITS_SHAPE = (AttributeError, IndexError, KeyError, TypeError, ValueError)
_NOT_NAME = re.compile(r"[^A-Za-z0-9_-]+")
_NOT_AT_ROOT = ("allOf", "anyOf", "enum", "not", "oneOf")
_TEXTS = ("text/", "application/json", "application/xml", "application/x-ndjson")


def text_of(value: object) -> str:
    return msgspec.json.encode(value).decode()


# Schemas: strict where the schema can be that, else as they are, in what the API lets stand at the
# root. What it lets not stand there is told in words, and held by the caller's validation.


class Parameters(Struct, frozen=True):
    schema: Json
    strict: bool


def parameters(spec: ToolSpec) -> Parameters:
    told = strict(spec.parameters) if spec.parameters else None
    if told is not None:
        return Parameters(told, strict=True)
    lost = {key: spec.parameters[key] for key in _NOT_AT_ROOT if key in spec.parameters}
    kept = {key: value for key, value in spec.parameters.items() if key not in lost}
    if lost:
        words = f"{kept.get('description', '')} The arguments must also fit: {text_of(lost)}"
        kept["description"] = words.strip()
    return Parameters({"type": "object", "properties": {}, **kept}, strict=False)


def format_of(schema: Json | None) -> Json | None:
    """The `json_schema` that an answer is asked for in; None when the API knows no such schema, and
    the instructions alone ask for it.
    """
    if schema is None:
        return None
    told = strict(schema)
    if told is None and (schema.get("type") != "object" or schema.keys() & set(_NOT_AT_ROOT)):
        return None
    title = _NOT_NAME.sub("_", str(schema.get("title", ""))).strip("_")
    name = title[:NAME_CHARS_MAX] or "answer"
    return {"name": name, "schema": told or schema, "strict": told is not None}


def cache_key(prompt: Prompt, tools: Iterable[Json]) -> str:
    """The same for all prompts that begin alike: with these instructions and these tools."""
    begin = msgspec.json.encode([prompt.instructions, list(tools)])
    return hashlib.sha256(begin).hexdigest()[:CACHE_KEY_CHARS]


# Files: where one lies that a user has sent.


class Source(Struct, frozen=True):
    kind: Literal["data", "url", "id", "text"]
    value: str


def source(ref: FileRef, blobs: Mapping[str, bytes]) -> Source:
    """ModelFailed when OpenAI cannot be shown it."""
    name = ref.name or ref.blob or ref.url
    if ref.blob in blobs:
        return _bytes(ref, name, blobs[ref.blob])
    if ref.url.startswith("data:"):
        return Source("data", ref.url)
    if ref.url.startswith(("https://", "http://")):
        return Source("url", ref.url)
    if ref.url.startswith(("file-", "file_")):
        return Source("id", ref.url)
    why = "its bytes are not in this worker's object store" if ref.blob else "no address it reads"
    raise ModelFailed(
        f"file {name!r} cannot be shown to OpenAI: {why}; keep it in the object store, which the"
        " setting `files` names, or give an https address",
        reason="invalid_request",
    )


def _bytes(ref: FileRef, name: str, data: bytes) -> Source:
    if ref.media.startswith(_TEXTS):
        return Source("text", f"{name}:\n{data.decode(errors='replace')}")
    return Source("data", f"data:{ref.media};base64,{base64.b64encode(data).decode()}")


def file_name(ref: FileRef) -> str:
    """A document must have a name, or the API refuses it."""
    return ref.name or f"file.{ref.media.rpartition('/')[2] or 'pdf'}"


# Answers.


@contextmanager
def shaped(raw: Json | str, spent: Callable[[], Usage | None] = lambda: None) -> Iterator[None]:
    """JSON of another shape than the API's is malformed, wherever that shows. `spent` is what it
    cost all the same.
    """
    try:
        yield
    except NOT_ITS_SHAPE as error:
        body = raw if isinstance(raw, str) else text_of(raw)
        told = unreadable(body, f"{type(error).__name__}: {error}")
        told.usage = spent()
        raise told from error
    except ModelError as error:
        error.usage = error.usage or spent()
        raise


def own_name(call: ToolCall) -> str:
    return call_id(call.provider_call, call.call)


def citation(annotation: Json, text: str) -> Citation:
    """A source that the provider names. It is none of our documents, so it has no digest, and what
    is quoted is what the provider tells of it.
    """
    inner = annotation.get(annotation.get("type", ""))
    told = inner if isinstance(inner, dict) else annotation
    begin, end = told.get("start_index"), told.get("end_index")
    marked = text[begin:end] if isinstance(begin, int) and isinstance(end, int) else ""
    return Citation(
        document=told.get("url") or told.get("file_id") or "",
        digest="",
        start=0,
        end=0,
        quote=told.get("title") or told.get("filename") or marked,
    )


def count(details: Json, key: str) -> int | None:
    """A number of tokens, None when it was not told."""
    told = details.get(key)
    return told if isinstance(told, int) and not isinstance(told, bool) else None


def details(usage: Json, key: str) -> Json:
    told = usage.get(key)
    return told if isinstance(told, dict) else {}

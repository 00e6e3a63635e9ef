"""Recorded exchanges with Google, answers in pieces, and requests against the SDK's types."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from stepfold.events.transcript import Heard, Item, Result, Thought
from stepfold.policy.toolspec import ToolSpec
from stepfold.providers import google_generate as generate
from stepfold.providers.model import Prompt
from stepfold.providers.sse import events
from stepfold.providers.wire import Json

WIRE = Path(os.environ.get("STEPFOLD_DATA", "../shared/data")) / "wire"
WEATHER: Json = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "day": {"type": "string"}},
    "required": ["city"],
}
Event = tuple[str, str]


class Exchange(Struct, frozen=True):
    """`stream` are its events, when the answer came in pieces."""

    name: str
    status: int
    request: Json
    response: Json
    stream: tuple[Event, ...]

    @property
    def raw(self) -> Json:
        return assembled(self.stream) if self.stream else self.response


@cache
def exchanges(api: str = "google_generate") -> tuple[Exchange, ...]:
    path = WIRE / f"{api}.jsonl"
    lines = path.read_bytes().splitlines() if path.is_file() else []
    return tuple(_exchange(number, line) for number, line in enumerate(lines, start=1))


def _exchange(number: int, line: bytes) -> Exchange:
    """A whole answer that was asked for by hand was recorded as text."""
    told = msgspec.json.decode(line)
    text = told.get("stream") or ""
    streamed = "event-stream" in told["content_type"]
    response = told.get("response") or (msgspec.json.decode(text) if text and not streamed else {})
    stream = tuple(events(text.replace("\r\n", "\n").split("\n"))) if streamed else ()
    request = told["request"] or {}
    return Exchange(f"google:{number}", told["status"], request, response, stream)


def answers() -> list[Exchange]:
    return [each for each in exchanges() if each.status == 200]


def assembled(stream: Iterable[Event]) -> Json:
    assembly = generate.Assembly()
    for event, data in stream:
        assembly.take(event, data)
    return assembly.whole()


def heard(stream: Iterable[Event], kind: str) -> str:
    assembly = generate.Assembly()
    deltas = (delta for event in stream for delta in assembly.take(*event))
    return "".join(delta.text for delta in deltas if delta.kind == kind)


def prompt_after(*turns: Thought, model: str, **more: Any) -> Prompt:
    """A conversation in which every call got a result, and somebody spoke before each turn."""
    items: list[Item] = []
    for turn in turns:
        items += [Heard("And then?"), turn]
        items += [Result(call.call, call.name, "sunny") for call in turn.calls]
    tools = (ToolSpec("get_weather", "The weather.", WEATHER),)
    return Prompt(
        **{"instructions": "Be brief.", "tools": tools, "call": "r9", "model": model, **more},
        transcript=(*items, Heard("Thanks.")),
    )


# Whole answers, as the API would have streamed them.


def in_pieces(raw: Json) -> list[Event]:
    return list(_pieces(raw))


def _pieces(raw: Json) -> Iterator[Event]:
    head = {key: raw[key] for key in raw if key not in ("candidates", "usageMetadata")}
    first = {**head, "usageMetadata": {"promptTokenCount": 1}}
    if not raw.get("candidates"):
        yield "", _json(raw)
        return
    candidate = raw["candidates"][0]
    content = candidate.get("content") or {}
    for part in content.get("parts") or ():
        for piece in _apart(part):
            yield "", _json({**first, "candidates": [{"content": {**content, "parts": [piece]}}]})
    yield "", _json({**raw, "candidates": [{**candidate, "content": _end(content)}]})


def _apart(part: Json) -> list[Json]:
    """Plain text comes in pieces; what is signed, and everything else, in one."""
    if part.keys() <= {"text", "thought"}:
        return [{**part, "text": piece} for piece in _cut(part["text"])]
    return [part]


def _end(content: Json) -> Json:
    return {**content, "parts": [{"text": ""}]} if content else {}


def _cut(text: str) -> list[str]:
    return [text[place : place + 7] for place in range(0, len(text), 7)]


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


# The SDK's own types of what may be sent.


def as_the_sdk_reads_it(body: Json) -> Json:
    """The body, if the SDK's types know all of it; a ValidationError, KeyError where they do not.
    They forbid what they do not know, and read base64 only from JSON.
    """
    for name, value in body.items():
        for each in value if isinstance(value, list) else (value,):
            _type(name).model_validate_json(msgspec.json.encode(each))
    return body


def _type(name: str) -> Any:
    from google.genai import types

    return {
        "contents": types.Content,
        "generationConfig": types.GenerationConfig,
        "systemInstruction": types.Content,
        "toolConfig": types.ToolConfig,
        "tools": types.Tool,
    }[name]

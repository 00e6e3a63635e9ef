"""Recorded exchanges with Anthropic, answers in pieces, and requests against the SDK's types."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from pydantic import BaseModel, TypeAdapter

from stepfold.events.transcript import Heard, Item, Result, Thought
from stepfold.policy.toolspec import ToolSpec
from stepfold.providers import anthropic_messages as messages
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
    response: Json
    stream: tuple[Event, ...]

    @property
    def raw(self) -> Json:
        return assembled(self.stream) if self.stream else self.response


@cache
def exchanges() -> tuple[Exchange, ...]:
    path = WIRE / "anthropic_messages.jsonl"
    lines = path.read_bytes().splitlines() if path.is_file() else []
    return tuple(_exchange(number, line) for number, line in enumerate(lines, start=1))


def _exchange(number: int, line: bytes) -> Exchange:
    told = msgspec.json.decode(line)
    stream = tuple(events(told.get("stream", "").split("\n")))
    return Exchange(f"anthropic:{number}", told.get("response") or {}, stream)


def assembled(stream: Iterable[Event]) -> Json:
    assembly = messages.Assembly()
    for event, data in stream:
        assembly.take(event, data)
    return assembly.whole()


def heard(stream: Iterable[Event], kind: str) -> str:
    assembly = messages.Assembly()
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
    used = raw["usage"]
    stop = {key: raw[key] for key in raw if key.startswith("stop_")}
    begun = {**raw, **dict.fromkeys(stop), "content": []}
    yield _event("message_start", message={**begun, "usage": {**used, "output_tokens": 1}})
    for index, block in enumerate(raw["content"]):
        start, deltas = _apart(block)
        yield _event("content_block_start", index=index, content_block=start)
        yield _event("ping")
        for delta in deltas:
            yield _event("content_block_delta", index=index, delta=delta)
        yield _event("content_block_stop", index=index)
    yield _event("message_delta", delta=stop, usage={**used, "input_tokens": None})
    yield _event("message_stop")


def _apart(block: Json) -> tuple[Json, list[Json]]:
    """(a block as it begins, what is added to it)."""
    match block["type"]:
        case "text":
            start = {**block, "text": ""}
            cited = start.pop("citations", None) or []
            texts = [{"type": "text_delta", "text": piece} for piece in _cut(block["text"])]
            return start, [*({"type": "citations_delta", "citation": c} for c in cited), *texts]
        case "thinking":
            said = _cut(block["thinking"])
            signed = {"type": "signature_delta", "signature": block["signature"]}
            deltas = [{"type": "thinking_delta", "thinking": piece} for piece in said]
            return {**block, "thinking": "", "signature": ""}, [*deltas, signed]
        case "tool_use" | "server_tool_use":
            written = _cut(_json(block["input"]))
            deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in written]
            return {**block, "input": {}}, deltas
        case _:
            return block, []


def _event(kind: str, **fields: Any) -> Event:
    return kind, _json({"type": kind, **fields})


def _cut(text: str) -> list[str]:
    return [text[place : place + 7] for place in range(0, len(text), 7)]


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


# The SDK's own types of what may be sent.


@cache
def _adapter(*, beta: bool) -> TypeAdapter[Any]:
    if beta:
        from anthropic.types.beta import message_create_params as beta_params

        return TypeAdapter(beta_params.MessageCreateParams)
    from anthropic.types import message_create_params as params

    return TypeAdapter(params.MessageCreateParams)


def as_the_sdk_reads_it(body: Json, *, beta: bool = False) -> Json:
    """What of `body` the SDK's types know; a ValidationError where it is not of them."""
    read: Json = _exhausted(_adapter(beta=beta).validate_python(body))
    return read


def _exhausted(value: Any) -> Any:
    """Pydantic checks an Iterable when it is gone through, and makes objects of some blocks."""
    if isinstance(value, BaseModel):
        return value.model_dump(exclude_unset=True)
    if isinstance(value, dict):
        return {key: _exhausted(each) for key, each in value.items()}
    if isinstance(value, list | tuple) or hasattr(value, "__next__"):
        return [_exhausted(each) for each in value]
    return value

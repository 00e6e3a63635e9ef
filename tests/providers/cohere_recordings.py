"""Recorded exchanges with Cohere, answers in pieces, and requests against the SDK's types."""

from __future__ import annotations

import os
import typing
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace
from pydantic import BaseModel, TypeAdapter

from stepfold.providers import cohere_chat as chat
from stepfold.providers.model import Reply
from stepfold.providers.wire import Json

WIRE = Path(os.environ.get("STEPFOLD_DATA", "../shared/data")) / "wire"
Event = tuple[str, str]


@cache
def recorded(api: str) -> tuple[Json, ...]:
    """`request` and `response` of each exchange."""
    path = WIRE / f"{api}.jsonl"
    lines = path.read_bytes().splitlines() if path.is_file() else []
    return tuple(msgspec.json.decode(line) for line in lines)


def answers(api: str) -> list[Json]:
    return [each["response"] for each in recorded(api)]


def named(raw: Json, model: str) -> Reply:
    """The reply as the sender completes it."""
    reply = chat.reply(raw)
    state = replace(reply.state, model=model) if reply.state else None
    return replace(reply, model=model, provider="cohere", state=state)


def assembled(stream: Iterable[Event]) -> Json:
    assembly = chat.Assembly()
    for event, data in stream:
        assembly.take(event, data)
    return assembly.whole()


def heard(stream: Iterable[Event], kind: str) -> str:
    assembly = chat.Assembly()
    deltas = (delta for event in stream for delta in assembly.take(*event))
    return "".join(delta.text for delta in deltas if delta.kind == kind)


# Whole answers, as the API would have streamed them.


def in_pieces(raw: Json, *, lists: bool = False) -> list[Event]:
    """With `lists` a call and a citation stand in a list of one, as some servers write them."""
    return list(_pieces(raw, lists=lists))


def _pieces(raw: Json, *, lists: bool) -> Iterator[Event]:
    message = raw["message"]
    empty = {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}
    yield _event("message-start", empty, id=raw["id"])
    for piece in _cut(message.get("tool_plan") or ""):
        yield _event("tool-plan-delta", {"tool_plan": piece})
    for index, content in enumerate(message.get("content") or ()):
        kind = content["type"]
        yield _event("content-start", {"content": {"type": kind, kind: ""}}, index=index)
        for piece in _cut(content[kind]):
            yield _event("content-delta", {"content": {kind: piece}}, index=index)
        yield _event("content-end", None, index=index)
    for index, call in enumerate(message.get("tool_calls") or ()):
        yield from _called(call, index, lists=lists)
    for index, citation in enumerate(message.get("citations") or ()):
        told = {"citations": [citation] if lists else citation}
        yield _event("citation-start", told, index=index)
        yield _event("citation-end", None, index=index)
    end = {"finish_reason": raw["finish_reason"], "usage": raw["usage"]}
    yield "message-end", _json({"type": "message-end", "id": raw["id"], "delta": end})


def _called(call: Json, index: int, *, lists: bool) -> Iterator[Event]:
    function = call["function"]
    begun = {**call, "function": {**function, "arguments": ""}}
    yield _event("tool-call-start", {"tool_calls": [begun] if lists else begun}, index=index)
    for piece in _cut(function["arguments"]):
        more = {"function": {"arguments": piece}}
        yield _event("tool-call-delta", {"tool_calls": [more] if lists else more}, index=index)
    yield _event("tool-call-end", None, index=index)


def _event(kind: str, message: Json | None, **fields: Any) -> Event:
    delta = {} if message is None else {"delta": {"message": message}}
    return kind, _json({"type": kind, **fields, **delta})


def _cut(text: str) -> list[str]:
    return [text[place : place + 7] for place in range(0, len(text), 7)]


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


# The SDK's own types of what may be sent.


@cache
def _adapter(method: str, parameter: str) -> TypeAdapter[Any]:
    from cohere.v2 import client

    return TypeAdapter(typing.get_type_hints(getattr(client.AsyncV2Client, method))[parameter])


def as_the_sdk_reads_it(body: Json, method: str = "chat") -> Json:
    """What of `body` the SDK's types know; KeyError, ValidationError where it is not of them."""
    told = {name: value for name, value in body.items() if name != "stream"}
    read = {name: _adapter(method, name).validate_python(each) for name, each in told.items()}
    return {**body, **{name: _plain(each) for name, each in read.items()}}


def _plain(value: Any) -> Any:
    """Without what a model of pydantic keeps though its type does not know it."""
    if isinstance(value, BaseModel):
        assert not value.model_extra, value.model_extra
        fields = type(value).model_fields
        return {
            name: _plain(getattr(value, name))
            for name in fields
            if name in value.model_fields_set or name in ("type", "role")
        }
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value

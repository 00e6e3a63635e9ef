"""Recorded exchanges with OpenAI, whole answers in pieces, and requests against the SDK's types."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace
from pydantic import TypeAdapter

from stepfold.events.transcript import Heard, Item, Result, Thought
from stepfold.handlers.prompt import reasoned
from stepfold.policy.toolspec import ToolSpec
from stepfold.providers import openai_chat, openai_responses
from stepfold.providers.model import Prompt, Reply
from stepfold.providers.sse import events
from stepfold.providers.wire import Json
from stepfold.testing import ASKED

WIRE = Path(os.environ.get("STEPFOLD_DATA", "../shared/data")) / "wire"
DIALECTS: dict[str, Any] = {"openai_responses": openai_responses, "openai_chat": openai_chat}

Event = tuple[str, str]


class Exchange(Struct, frozen=True):
    """`stream` are its events, when the answer came in pieces."""

    name: str
    api: str
    request: Json
    status: int
    response: Json
    stream: tuple[Event, ...]

    @property
    def raw(self) -> Json:
        return assembled(self.api, self.stream) if self.stream else self.response


@cache
def exchanges(api: str) -> tuple[Exchange, ...]:
    lines = (WIRE / f"{api}.jsonl").read_bytes().splitlines() if WIRE.is_dir() else []
    return tuple(_exchange(api, number, line) for number, line in enumerate(lines, start=1))


def _exchange(api: str, number: int, line: bytes) -> Exchange:
    told = msgspec.json.decode(line)
    name = f"{api}:{number}"
    stream = tuple(events(told.get("stream", "").split("\n")))
    return Exchange(name, api, told["request"], told["status"], told.get("response") or {}, stream)


def answers(*apis: str) -> list[Exchange]:
    return [each for api in apis for each in exchanges(api) if each.status == 200]


def streams(*apis: str) -> list[Exchange]:
    return [each for each in answers(*apis) if each.stream]


def assembled(api: str, stream: Iterable[Event]) -> Json:
    assembly = DIALECTS[api].Assembly()
    for event, data in stream:
        assembly.take(event, data)
    raw: Json = assembly.whole()
    return raw


def heard(api: str, stream: Iterable[Event], kind: str) -> str:
    assembly = DIALECTS[api].Assembly()
    deltas = (delta for event in stream for delta in assembly.take(*event))
    return "".join(delta.text for delta in deltas if delta.kind == kind)


def thought(reply: Reply, call: str = "r1") -> Thought:
    """The turn as the log would give it back."""
    event = reasoned(replace(ASKED, call=call), reply, elapsed_ms=1)
    return Thought(event.parts, event.state)


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


WEATHER: Json = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "day": {"type": "string"}},
    "required": ["city"],
}


# Whole answers, as the API would have streamed them.


def in_pieces(api: str, raw: Json) -> list[Event]:
    told = _chunks(raw) if api == "openai_chat" else _items(raw)
    return [*told, ("", "[DONE]")] if api == "openai_chat" else list(told)


def _chunks(raw: Json) -> Iterator[Event]:
    choice = raw["choices"][0]
    message = dict(choice["message"])
    head = {key: raw[key] for key in raw if key not in ("choices", "usage")}
    calls, content = message.pop("tool_calls", None) or [], message.pop("content", None)

    def chunk(delta: Json, finish: str | None = None) -> Event:
        choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
        return "", _json({**head, "object": "chat.completion.chunk", "choices": choices})

    yield chunk({**message, "content": None if content is None else ""})
    for piece in _cut(content or ""):
        yield chunk({"content": piece})
    for index, call in enumerate(calls):
        function = {"name": call["function"]["name"], "arguments": ""}
        yield chunk({"tool_calls": [{**call, "index": index, "function": function}]})
        for piece in _cut(call["function"]["arguments"]):
            yield chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    yield chunk({}, choice["finish_reason"])
    yield "", _json({**head, "choices": [], "usage": raw.get("usage")})


def _items(raw: Json) -> Iterator[Event]:
    """The last event lacks what only the items' own events have."""
    yield _event("response.created", response={**raw, "output": [], "status": "in_progress"})
    for index, item in enumerate(raw["output"]):
        yield _event("response.output_item.added", output_index=index, item={"type": item["type"]})
        for content in item.get("content") or ():
            kind = "refusal" if content["type"] == "refusal" else "output_text"
            for piece in _cut(content.get("text") or content.get("refusal") or ""):
                yield _event(f"response.{kind}.delta", output_index=index, delta=piece)
        for place, summary in enumerate(item.get("summary") or ()):
            yield _event("response.reasoning_summary_part.added", summary_index=place)
            for piece in _cut(summary["text"]):
                yield _event("response.reasoning_summary_text.delta", delta=piece)
        yield _event("response.output_item.done", output_index=index, item=item)
    lost = [
        {key: item[key] for key in item if key not in ("phase", "encrypted_content")}
        for item in raw["output"]
    ]
    end = "incomplete" if raw.get("status") == "incomplete" else "completed"
    yield _event(f"response.{end}", response={**raw, "output": lost})


def _event(kind: str, **fields: Any) -> Event:
    return kind, _json({"type": kind, **fields})


def _cut(text: str) -> Sequence[str]:
    return [text[place : place + 7] for place in range(0, len(text), 7)]


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


# The SDK's own types of what may be sent.


@cache
def _adapter(api: str) -> TypeAdapter[Any]:
    if api == "openai_chat":
        from openai.types.chat import completion_create_params as chat

        return TypeAdapter(chat.CompletionCreateParams)
    from openai.types.responses import response_create_params as responses

    return TypeAdapter(responses.ResponseCreateParams)


def as_the_sdk_reads_it(api: str, body: Json) -> Json:
    """What of `body` the SDK's types know; a ValidationError where it is not of them."""
    read: Json = _exhausted(_adapter(api).validate_python(body))
    return read


def _exhausted(value: Any) -> Any:
    """Pydantic checks an Iterable only when it is gone through."""
    if isinstance(value, dict):
        return {key: _exhausted(each) for key, each in value.items()}
    if isinstance(value, list | tuple) or hasattr(value, "__next__"):
        return [_exhausted(each) for each in value]
    return value

"""OpenAI's Responses API, stateless: nothing is stored there, and what a turn needs to be continued
goes back with it. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from stepfold.events.transcript import Heard, Result, Thought
from stepfold.events.values import FileRef, Finish, ToolCall, Usage
from stepfold.policy.toolspec import ToolSpec
from stepfold.providers.call_ids import CallIds
from stepfold.providers.failures import cut, unreadable
from stepfold.providers.model import Delta, Prompt, Reply
from stepfold.providers.openai_answer import items_of, label, sound
from stepfold.providers.openai_failures import told as failed
from stepfold.providers.openai_models import effort, reasons, takes_temperature
from stepfold.providers.openai_output import BETWEEN, Turn, read, rebuilt, sendable, stateless
from stepfold.providers.openai_shared import (
    cache_key,
    count,
    details,
    file_name,
    format_of,
    own_name,
    parameters,
    shaped,
    source,
    text_of,
)
from stepfold.providers.wire import Json, decoded, kept, replayable, result_text

API = "openai.responses"
PROVIDER = "openai"
SEARCHES_MAX = 1_000_000
"""A number above it counts no searches of one answer."""
_DONE = frozenset({"completed", "complete"})
_INCOMPLETE: Mapping[str, Finish] = {
    "content_filter": "content_filter",
    "max_output_tokens": "length",
}


# A prompt, as the API takes it.


def request(prompt: Prompt, *, stream: bool = False) -> Json:
    tools = [_tool(spec) for spec in prompt.tools]
    body: Json = {"model": prompt.model, "store": False, "input": list(_input(prompt))}
    if prompt.instructions:
        body["instructions"] = prompt.instructions
    if tools:
        body["tools"] = tools
        body |= _choice(prompt)
    if told := format_of(prompt.schema):
        body["text"] = {"format": {"type": "json_schema", **told}}
    if reasons(prompt.model):
        body["include"] = ["reasoning.encrypted_content"]
    if prompt.options.cache:
        body["prompt_cache_key"] = cache_key(prompt, tools)
    if stream:
        body["stream"] = True
    return body | _options(prompt)


def _tool(spec: ToolSpec) -> Json:
    told = parameters(spec)
    tool: Json = {"type": "function", "name": spec.name}
    if spec.description:
        tool["description"] = spec.description
    return {**tool, "parameters": told.schema, "strict": told.strict}


def _choice(prompt: Prompt) -> Json:
    options = prompt.options
    told: Json = {} if options.parallel else {"parallel_tool_calls": False}
    if options.tool_choice in ("auto", "none", "required"):
        told["tool_choice"] = options.tool_choice
    elif prompt.offers(options.tool_choice):
        told["tool_choice"] = {"type": "function", "name": options.tool_choice}
    return told


def _options(prompt: Prompt) -> Json:
    options = prompt.options
    word = effort(prompt.model, options.effort)
    told: Json = {"reasoning": {"effort": word}} if word else {}
    if options.output_tokens_max is not None:
        told["max_output_tokens"] = options.output_tokens_max
    if options.temperature is not None and takes_temperature(prompt.model, word):
        told["temperature"] = options.temperature
    return told


def _input(prompt: Prompt) -> Iterator[Json]:
    ids = CallIds()
    for item in prompt.items:
        match item:
            case Heard():
                yield {"role": "user", "content": _heard(item, prompt.blobs)}
            case Thought():
                yield from _turn(item, prompt, ids)
            case Result():
                name, text = ids.of(item.call), result_text(item)
                yield {"type": "function_call_output", "call_id": name, "output": text}


def _turn(thought: Thought, prompt: Prompt, ids: CallIds) -> list[Json]:
    turn = replayable(thought, API, prompt.model)
    if turn is None or not stateless(turn):
        return rebuilt(thought.parts, ids.name)
    for call in thought.calls:
        ids.keep(call)
    return sendable(turn, prompt.blobs)


def _heard(heard: Heard, blobs: Mapping[str, bytes]) -> str | list[Json]:
    if not heard.files:
        return heard.text
    said: list[Json] = [{"type": "input_text", "text": heard.text}] if heard.text else []
    return said + [_file(ref, blobs) for ref in heard.files]


def _file(ref: FileRef, blobs: Mapping[str, bytes]) -> Json:
    told = source(ref, blobs)
    if told.kind == "text":
        return {"type": "input_text", "text": told.value}
    if ref.media.startswith("image/"):
        where = "file_id" if told.kind == "id" else "image_url"
        return {"type": "input_image", "detail": "auto", where: told.value}
    if told.kind == "data":
        return {"type": "input_file", "filename": file_name(ref), "file_data": told.value}
    return {"type": "input_file", f"file_{told.kind}": told.value}


# An answer, as we tell it.


def reply(raw: Json) -> Reply:
    with shaped(raw, lambda: usage(raw)):
        return _reply(raw)


def _reply(raw: Json) -> Reply:
    if raw.get("error") or raw.get("status") == "failed":
        raise failed(raw.get("error"), text_of(raw))
    turn = read(items_of(raw))
    model = label(raw, "model")
    state = kept(API, model, turn.items, rebuilt(turn.parts, own_name))
    told = Reply(
        parts=turn.parts,
        finish=_finish(raw, turn),
        finish_word=_word(raw),
        usage=usage(raw),
        model=model,
        provider=PROVIDER,
        response=label(raw, "id"),
        tier=label(raw, "service_tier"),
        state=state,
        blobs=turn.blobs,
    )
    return sound(told, raw)


def _word(raw: Json) -> str:
    return label(details(raw, "incomplete_details"), "reason") or label(raw, "status")


def _finish(raw: Json, turn: Turn) -> Finish:
    calls = any(isinstance(part, ToolCall) for part in turn.parts)
    status = raw.get("status")
    if turn.malformed:
        return "malformed_tool_call"
    if status == "incomplete":
        return _INCOMPLETE.get(_word(raw), "unknown")
    if status not in _DONE:
        return "error" if status == "cancelled" else "unknown"
    if calls:
        return "tool_calls"
    return "refusal" if turn.refused else "stop"


def usage(raw: Json) -> Usage | None:
    told = raw.get("usage")
    if not isinstance(told, dict):
        return None
    into, out = details(told, "input_tokens_details"), details(told, "output_tokens_details")
    billed = _billed(raw)
    own = {"tool_usage": raw["tool_usage"]} if billed and raw.get("tool_usage") else {}
    return Usage(
        input=count(told, "input_tokens"),
        output=count(told, "output_tokens"),
        cached=count(into, "cached_tokens"),
        cache_write=count(into, "cache_write_tokens"),
        thinking=count(out, "reasoning_tokens"),
        billed=billed or None,
        raw=told | own,
    )


def _billed(raw: Json) -> dict[str, float]:
    """What OpenAI bills for its own tools beside tokens: searches, and containers for code."""
    items = [item for item in _output(raw) if isinstance(item, dict)]
    searched = [item for item in items if item.get("type") == "web_search_call"]
    searches = sum(details(item, "action").get("type", "search") == "search" for item in searched)
    asked = count(details(details(raw, "tool_usage"), "web_search"), "num_requests")
    if asked is not None and 0 <= asked <= SEARCHES_MAX:
        searches = asked
    told: dict[str, float] = {
        "web_search": searches,
        "file_search": sum(item.get("type") == "file_search_call" for item in items),
        "code_interpreter": len(
            {
                str(item.get("container_id"))
                for item in items
                if item.get("type") == "code_interpreter_call"
            }
        ),
    }
    return {name: number for name, number in told.items() if number}


def _output(raw: Json) -> list[Any]:
    told = raw.get("output")
    return told if isinstance(told, list) else []


# An answer that comes in pieces.


class Assembly:
    """The answer is in its last event; of items the form in which each was told to be done counts,
    because the last event may lack their `phase` and their encrypted thinking.
    """

    def __init__(self) -> None:
        self._items: dict[int, Json] = {}
        self._end: Json | None = None

    @property
    def ended(self) -> bool:
        return self._end is not None

    @property
    def usage(self) -> Usage | None:
        return usage(self._end or {})

    def take(self, event: str, data: str) -> Sequence[Delta]:
        with shaped(data):
            return self._take(event, data)

    def _take(self, event: str, data: str) -> Sequence[Delta]:
        if data.strip() == "[DONE]":
            return ()
        told = decoded(data)
        if told is None:
            raise unreadable(data, "an event of the stream is not JSON")
        kind = told.get("type") or event
        if kind == "error" or (told.get("error") and "response" not in told):
            inner = told.get("error")
            raise failed(inner if isinstance(inner, dict) else told, data)
        if kind == "response.failed":
            answer = details(told, "response")
            raise failed(answer.get("error"), data, usage(answer))
        if kind in ("response.completed", "response.incomplete"):
            self._end = details(told, "response")
        elif kind == "response.output_item.done":
            self._items[_place(told)] = told["item"]
        return _said(kind, told)

    def whole(self) -> Json:
        if self._end is None:
            raise cut("it has no response.completed")
        if not self._items:
            return self._end
        items = dict(enumerate(_output(self._end))) | self._items
        return {**self._end, "output": [items[place] for place in sorted(items)]}


def _said(kind: str, told: dict[str, Any]) -> Sequence[Delta]:
    match kind:
        case "response.output_text.delta" | "response.refusal.delta":
            return (Delta("text", _words(told)),)
        case "response.reasoning_summary_text.delta" | "response.reasoning_text.delta":
            return (Delta("thinking", _words(told)),)
        case "response.reasoning_summary_part.added" if told.get("summary_index"):
            return (Delta("thinking", BETWEEN),)
    return ()


def _place(told: Json) -> int:
    """Of an item among the others."""
    place = told["output_index"]
    if not isinstance(place, int):
        raise TypeError(f"its output_index is {place!r}")
    return place


def _words(told: Json) -> str:
    words = told["delta"]
    if not isinstance(words, str):
        raise TypeError(f"its delta is {words!r}")
    return words

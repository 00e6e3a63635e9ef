"""What Cohere's chat answers: its shape, parts, citations, usage and errors. Pure.

Cohere names no model: whoever asked knows it, and fills it into the reply and its state.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from stepfold.events.values import (
    Citation,
    FileRef,
    Finish,
    HostedTool,
    Part,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    Usage,
)
from stepfold.providers.call_ids import CallIds
from stepfold.providers.extractive import stems
from stepfold.providers.failures import failure, unreadable
from stepfold.providers.model import Malformed, ModelBusy, ModelError, Reply
from stepfold.providers.sentences import sentences
from stepfold.providers.wire import Json, arguments, kept

API = "cohere.chat"
E = TypeVar("E", bound=ModelError)
T = TypeVar("T")
_UNAVAILABLE = 500
_FINISH: Mapping[str, Finish] = {
    "COMPLETE": "stop",
    "STOP_SEQUENCE": "stop",
    "TOOL_CALL": "tool_calls",
    "MAX_TOKENS": "length",
}


class Content(Struct):
    type: str = ""
    text: str = ""
    thinking: str = ""


class Function(Struct, frozen=True):
    name: str = ""
    arguments: Any = None


class Called(Struct):
    id: str = ""
    function: Function = Function()


class Source(Struct):
    """What a citation rests on, under the names that whoever asked gave it."""

    id: str | None = None
    document: Json | None = None
    tool_output: Json | None = None


class Cited(Struct):
    """`text` is of the answer, not of its sources."""

    text: str = ""
    sources: list[Source] | None = None
    content_index: int | None = None
    type: str | None = None


class Message(Struct):
    content: list[Content] | str | None = None
    tool_plan: str | None = None
    tool_calls: list[Called] | None = None
    citations: list[Cited] | None = None


class Tokens(Struct):
    input_tokens: float | None = None
    output_tokens: float | None = None


class Used(Struct):
    tokens: Tokens | None = None
    billed_units: dict[str, float | None] | None = None
    cached_tokens: float | None = None


class Answer(Struct):
    message: Message
    id: str = ""
    finish_reason: str = ""


def reply(raw: Json) -> Reply:
    """`model` stays empty, in the state too."""
    if raw.get("finish_reason") in ("ERROR", "TIMEOUT"):
        raise failed(raw)
    answer = _answer(raw)
    word, message = answer.finish_reason, answer.message
    finish = _FINISH.get(word, "unknown")
    calls = message.tool_calls or []
    broken = [place for place, call in enumerate(calls) if not _callable(call)]
    if broken and finish != "length":
        raise _no_arguments(raw)
    turn = raw["message"]
    if broken:  # cut by the limit of tokens
        message.tool_calls = _but(calls, broken)
        turn = {**turn, "tool_calls": _but(turn["tool_calls"], broken)}
        turn = {key: each for key, each in turn.items() if key != "tool_calls" or each}
    parts = tuple(_parts(message))
    return Reply(
        parts=parts,
        finish="tool_calls" if message.tool_calls and finish in ("stop", "unknown") else finish,
        finish_word=word,
        usage=usage_of(raw),
        response=answer.id,
        state=kept(API, "", turn, rebuilt(parts, CallIds())),
    )


def _answer(raw: Json) -> Answer:
    try:
        return _shaped(raw, Answer)
    except Malformed as error:
        raise _costing(error, raw) from error.__cause__


def _shaped(raw: Json, shape: type[T]) -> T:
    try:
        return msgspec.convert(raw, shape)
    except msgspec.ValidationError as error:
        raise unreadable(_json(raw), str(error)) from error


def _callable(call: Called) -> bool:
    return arguments(call.function.arguments) is not None


def _but(calls: list[T], places: list[int]) -> list[T]:
    return [call for place, call in enumerate(calls) if place not in places]


def _no_arguments(raw: Json) -> Malformed:
    return _costing(unreadable(_json(raw), "the arguments of a call are no JSON object"), raw)


# -- parts --------------------------------------------------------------------


def _parts(message: Message) -> Iterator[Part]:
    """In order; a plan stands before the calls that it is for."""
    told = message.content or []
    contents = [Content("text", text=told)] if isinstance(told, str) else told
    cited = [each for each in message.citations or () if each.type in (None, "TEXT_CONTENT")]
    first = next((place for place, each in enumerate(contents) if each.text), 0)
    for place, content in enumerate(contents):
        if content.thinking:
            yield Thinking(content.thinking)
        if content.text:
            here = (each for each in cited if _place(each, first) == place)
            yield Text(content.text, tuple(dict.fromkeys(_citations(here))))
    if message.tool_plan:
        yield Thinking(message.tool_plan)
    for call in message.tool_calls or ():
        made = arguments(call.function.arguments) or {}
        yield ToolCall("", call.function.name, made, call.id)


def _place(cited: Cited, first: int) -> int:
    return first if cited.content_index is None else cited.content_index


def _citations(told: Iterable[Cited]) -> Iterator[Citation]:
    """Cohere cites documents, not words: the quote is the sentence that says most of it. What it
    cites of other tools' results names no document; only the state keeps that.
    """
    for each in told:
        for source in each.sources or ():
            held = source.document or source.tool_output or {}
            document = held.get("document") or (source.id if source.document else "")
            if document and (quote := _quote(each.text, _text(held))):
                yield Citation(str(document), "", 0, 0, quote)


def _text(held: Json) -> str:
    """What a source says: its `text`, or else the longest that it has."""
    told = held.get("text")
    words = [value for key, value in held.items() if isinstance(value, str) and key != "id"]
    return told if isinstance(told, str) else max(words, key=len, default="")


def _quote(said: str, text: str) -> str:
    """All of a text where none of its sentences says any of it."""
    bare, words = said.strip(" .,;:!?\n"), stems(said)

    def shared(sentence: str) -> tuple[bool, int]:
        return bare in sentence, len(words & stems(sentence))

    best = max(sentences(text), key=shared, default="")
    return (best if any(shared(best)) else text).strip()


def rebuilt(parts: Iterable[Part], ids: CallIds) -> Json:
    """A turn from its parts alone, as a model that did not say it takes it: without thinking and
    without what other providers' own tools did. Empty when nothing is left.
    """
    content: list[Json] = []
    calls: list[Json] = []
    for part in parts:
        match part:
            case Text() | Refusal():
                if part.text:
                    content.append({"type": "text", "text": part.text})
            case ToolCall():
                function = {"name": part.name, "arguments": _json(part.arguments)}
                calls.append({"id": ids.name(part), "type": "function", "function": function})
            case FileRef():
                content.append({"type": "text", "text": f"(a file: {part.name or part.media})"})
            case Thinking() | HostedTool():
                pass
    said = {"content": content} if content else {}
    called = {"tool_calls": calls} if calls else {}
    return {"role": "assistant", **said, **called} if said or called else {}


# -- usage and errors ---------------------------------------------------------


def usage_of(raw: Json) -> Usage | None:
    """Tokens as counted; what is paid for are the `billed` units."""
    if not isinstance(raw.get("usage"), dict):
        return None
    told = _shaped(raw["usage"], Used)
    tokens = told.tokens or Tokens()
    billed = {name: each for name, each in (told.billed_units or {}).items() if each is not None}
    return Usage(
        input=_int(tokens.input_tokens),
        output=_int(tokens.output_tokens),
        cached=_int(told.cached_tokens),
        billed=billed or None,
        raw=raw["usage"],
    )


def _int(told: float | None) -> int | None:
    return None if told is None else int(told)


def failed(raw: Json) -> ModelError:
    """The error of an answer that says itself that it has failed, in a stream's last event too."""
    word, body = raw.get("finish_reason"), _json(raw)
    detail = f"{word}: {raw.get('error') or 'the generation failed'}"
    if word == "TIMEOUT":
        error: ModelError = ModelBusy(detail, reason="timeout", body=body)
    else:
        error = failure(_UNAVAILABLE, body, detail=detail)
    return _costing(error, raw)


def _costing(error: E, raw: Json) -> E:
    """`error`, with what was used where that can be read."""
    with suppress(Malformed):
        error.usage = usage_of(raw)
    return error


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()

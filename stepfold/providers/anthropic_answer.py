"""What the Messages API answers: its shape, parts, usage and errors. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

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
from stepfold.providers.failures import failure, unreadable
from stepfold.providers.model import Malformed, ModelError, Reply
from stepfold.providers.wire import Json, arguments, kept

API = "anthropic.messages"
_RESULT = "_tool_result"
_UNKNOWN_ERROR = 500
_ERRORS: Mapping[str, int] = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "conflict_error": 409,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""The statuses of these errors; inside a stream, which has begun with 200, only the word tells."""
_FINISH: Mapping[str, Finish] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "context_overflow",
    "pause_turn": "paused",
    "refusal": "refusal",
}


class Cited(Struct):
    cited_text: str = ""
    source: str | None = None
    url: str | None = None
    document_title: str | None = None
    document_index: int | None = None

    @property
    def document(self) -> str:
        told = self.source or self.url or self.document_title
        return told or ("" if self.document_index is None else f"document {self.document_index}")


class Block(Struct):
    """Any block: each kind has some of these."""

    type: str
    text: str = ""
    citations: list[Cited] | None = None
    thinking: str = ""
    id: str = ""
    name: str = ""
    input: Any = None
    tool_use_id: str = ""
    content: Any = None
    is_error: bool = False
    file_id: str = ""


class CacheCreation(Struct):
    ephemeral_1h_input_tokens: int | None = None


class OutputDetails(Struct):
    thinking_tokens: int | None = None


class Tokens(Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_creation: CacheCreation | None = None
    output_tokens_details: OutputDetails | None = None
    server_tool_use: dict[str, float | None] | None = None
    service_tier: str | None = None


class StopDetails(Struct):
    explanation: str | None = None


class Answer(Struct):
    content: list[Block]
    id: str = ""
    model: str = ""
    stop_reason: str | None = None
    stop_details: StopDetails | None = None
    usage: Tokens | None = None


def reply(raw: Json) -> Reply:
    if raw.get("type") == "error":
        raise failed(raw)
    answer = _answer(raw)
    word = answer.stop_reason or ""
    finish = _FINISH.get(word, "unknown")
    blocks, turn = answer.content, raw["content"]
    broken = [place for place, block in enumerate(blocks) if not _callable(block)]
    if broken and finish != "length":
        raise _unreadable(raw, "the arguments of a call are no JSON object")
    turn = [block for place, block in enumerate(turn) if place not in broken]
    parts = tuple(_parts([block for place, block in enumerate(blocks) if place not in broken]))
    calls = any(isinstance(part, ToolCall) for part in parts)
    return Reply(
        parts=parts + _refusal(answer.stop_details),
        finish="tool_calls" if calls and finish in ("stop", "unknown") else finish,
        finish_word=word,
        usage=usage_of(raw),
        model=answer.model,
        response=answer.id,
        tier=(answer.usage and answer.usage.service_tier) or "",
        state=kept(API, answer.model, turn, rebuilt(parts, CallIds())),
    )


def _answer(raw: Json) -> Answer:
    try:
        return msgspec.convert(raw, Answer)
    except msgspec.ValidationError as error:
        raise _unreadable(raw, str(error)) from error


def _refusal(told: StopDetails | None) -> tuple[Part, ...]:
    return (Refusal(told.explanation),) if told and told.explanation else ()


def _callable(block: Block) -> bool:
    """A call that the limit of tokens cut has a text for an input, and no object."""
    return block.type != "tool_use" or arguments(block.input) is not None


def _unreadable(raw: Json, why: str) -> Malformed:
    error = unreadable(_json(raw), why)
    with suppress(Malformed):
        error.usage = usage_of(raw)
    return error


# -- parts --------------------------------------------------------------------


def _parts(blocks: Sequence[Block]) -> Iterator[Part]:
    """In order; the outcome of a tool that Anthropic ran joins its call."""
    outcomes = {block.tool_use_id: block for block in blocks if block.tool_use_id}
    run = {block.id for block in blocks if block.type.endswith("tool_use")}
    for block in blocks:
        match block.type:
            case "text":
                yield Text(block.text, tuple(_citations(block.citations or ())))
            case "thinking":
                if block.thinking:
                    yield Thinking(block.thinking)
            case "redacted_thinking":
                pass  # says nothing; the state has it
            case "tool_use":
                yield ToolCall("", block.name, arguments(block.input) or {}, block.id)
            case "container_upload":
                yield FileRef("", url=block.file_id)
            case _ if block.tool_use_id:
                if block.tool_use_id not in run:
                    name = block.type.removesuffix(_RESULT)
                    yield _hosted(name, block.tool_use_id, None, block)
            case _:
                yield _hosted(block.name or block.type, block.id, block, outcomes.get(block.id))


def _hosted(name: str, identity: str, call: Block | None, outcome: Block | None) -> HostedTool:
    output = outcome.content if outcome else None
    kind = output.get("type", "") if isinstance(output, dict) else ""
    bad = outcome is not None and (outcome.is_error or str(kind).endswith("_error"))
    return HostedTool(name, identity, call.input if call else None, output, "error" if bad else "")


def _citations(told: Iterable[Cited]) -> Iterator[Citation]:
    for each in told:
        quote = each.cited_text.strip()
        if quote:
            yield Citation(each.document, "", 0, 0, quote)


def rebuilt(parts: Iterable[Part], ids: CallIds) -> list[Json]:
    """A turn from its parts alone, as a Claude that did not say it takes it: without thinking,
    without what other providers' own tools did, and without blank texts.
    """
    told: list[Json] = []
    for part in parts:
        match part:
            case Text() | Refusal():
                if part.text.strip():
                    told.append({"type": "text", "text": part.text})
            case ToolCall():
                call = {"type": "tool_use", "id": ids.name(part), "name": part.name}
                told.append({**call, "input": part.arguments})
            case FileRef():
                told.append({"type": "text", "text": f"(a file: {part.name or part.media})"})
            case Thinking() | HostedTool():
                pass
    return told


# -- usage and errors ---------------------------------------------------------


def usage_of(raw: Json) -> Usage | None:
    """Inclusive: Anthropic counts what was read from a cache, or written to one, beside the input.

    Raw, it may also hold `iterations`: other models that worked at an answer, whose tokens are in
    no total.
    """
    if not isinstance(raw.get("usage"), dict):
        return None
    try:
        told = msgspec.convert(raw["usage"], Tokens)
    except msgspec.ValidationError as error:
        raise unreadable(_json(raw), str(error)) from error
    cached, written = told.cache_read_input_tokens, told.cache_creation_input_tokens
    creation, details = told.cache_creation, told.output_tokens_details
    return Usage(
        input=None
        if told.input_tokens is None
        else told.input_tokens + (cached or 0) + (written or 0),
        output=told.output_tokens,
        cached=cached,
        thinking=details.thinking_tokens if details else None,
        cache_write=written,
        cache_write_1h=creation.ephemeral_1h_input_tokens if creation else None,
        billed=_billed(told.server_tool_use or {}),
        raw=raw["usage"],
    )


def _billed(counts: Mapping[str, float | None]) -> dict[str, float] | None:
    return {name.removesuffix("_requests"): each for name, each in counts.items() if each} or None


def failed(raw: Json) -> ModelError:
    """The error of an `error` event, or of an error that came with status 200."""
    error = raw.get("error")
    told = error if isinstance(error, dict) else {}
    word = str(told.get("type", "error"))
    detail = f"{word}: {told.get('message', '')}".rstrip(": ")
    return failure(_ERRORS.get(word, _UNKNOWN_ERROR), _json(raw), detail=detail)


def _json(raw: Json) -> str:
    return msgspec.json.encode(raw).decode()

"""What generateContent answers: its shape, its usage, and why it stopped. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import msgspec
from msgspec import Struct

from stepfold.events.values import Finish, Usage
from stepfold.providers.failures import unreadable
from stepfold.providers.model import Malformed, ModelRefused
from stepfold.providers.wire import Json

_FINISH: Mapping[str, Finish] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "MODEL_ARMOR": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
    "MALFORMED_FUNCTION_CALL": "malformed_tool_call",
    "UNEXPECTED_TOOL_CALL": "malformed_tool_call",
    "CONTINUATION": "paused",
    "LANGUAGE": "error",
    "OTHER": "error",
    "IMAGE_OTHER": "error",
    "NO_IMAGE": "error",
    "TOO_MANY_TOOL_CALLS": "error",
    "MISSING_THOUGHT_SIGNATURE": "error",
    "MALFORMED_RESPONSE": "error",
}


class Inline(Struct, rename="camel"):
    data: str = ""
    mime_type: str = ""


class Away(Struct, rename="camel"):
    file_uri: str = ""
    mime_type: str = ""


class FunctionCall(Struct):
    name: str = ""
    args: Json | None = None
    id: str = ""


class ServerTool(Struct, rename="camel"):
    """A tool that Google ran, or its outcome."""

    tool_type: str = ""
    id: str = ""
    args: Any = None
    response: Any = None


class WirePart(Struct, rename="camel"):
    text: str | None = None
    thought: bool = False
    inline_data: Inline | None = None
    file_data: Away | None = None
    function_call: FunctionCall | None = None
    executable_code: Json | None = None
    code_execution_result: Json | None = None
    tool_call: ServerTool | None = None
    tool_response: ServerTool | None = None


class Content(Struct):
    parts: list[WirePart] = []


class Segment(Struct, rename="camel"):
    text: str = ""


class Support(Struct, rename="camel"):
    segment: Segment | None = None
    grounding_chunk_indices: list[int] = []


class Source(Struct, rename="camel"):
    uri: str = ""
    title: str = ""
    file_search_store: str = ""

    @property
    def name(self) -> str:
        return self.uri or self.title or self.file_search_store


class Chunk(Struct, rename="camel"):
    web: Source | None = None
    retrieved_context: Source | None = None
    maps: Source | None = None


class Grounding(Struct, rename="camel"):
    grounding_chunks: list[Chunk] = []
    grounding_supports: list[Support] = []
    web_search_queries: list[str] = []


class Quoted(Struct, rename="camel"):
    """`start_index` and `end_index` count bytes."""

    start_index: int = 0
    end_index: int = 0
    uri: str = ""
    title: str = ""


class Citations(Struct, rename="camel"):
    citations: list[Quoted] = []
    citation_sources: list[Quoted] = []


class Candidate(Struct, rename="camel"):
    content: Content | None = None
    finish_reason: str = ""
    finish_message: str = ""
    grounding_metadata: Grounding | None = None
    citation_metadata: Citations | None = None


class Feedback(Struct, rename="camel"):
    block_reason: str = ""
    block_reason_message: str = ""


class Count(Struct, rename="camel"):
    modality: str = ""
    token_count: int = 0


class Tokens(Struct, rename="camel"):
    prompt_token_count: int | None = None
    tool_use_prompt_token_count: int | None = None
    candidates_token_count: int | None = None
    thoughts_token_count: int | None = None
    cached_content_token_count: int | None = None
    total_token_count: int | None = None
    prompt_tokens_details: list[Count] | None = None
    tool_use_prompt_tokens_details: list[Count] | None = None
    candidates_tokens_details: list[Count] | None = None
    service_tier: str = ""
    traffic_type: str = ""


class Answer(Struct, rename="camel"):
    candidates: list[Candidate] = []
    prompt_feedback: Feedback | None = None
    usage_metadata: Tokens | None = None
    model_version: str = ""
    response_id: str = ""

    @property
    def tier(self) -> str:
        told = self.usage_metadata
        return (told.service_tier or told.traffic_type) if told else ""


def answered(raw: Json) -> Answer:
    """The answer, or a chunk of it, in its shape; Malformed when it has another one, which says
    what it cost where that can be read.
    """
    try:
        return msgspec.convert(raw, Answer, strict=False)
    except msgspec.ValidationError as error:
        told = unreadable(body(raw), str(error))
        with suppress(Malformed):
            told.usage = usage_of(raw)
        raise told from error


def body(raw: Json) -> str:
    return msgspec.json.encode(raw).decode()


def nothing(answer: Answer, raw: Json) -> ModelRefused | Malformed:
    """The error for an answer without a candidate."""
    usage, feedback = usage_of(raw), answer.prompt_feedback
    if feedback is None or not feedback.block_reason:
        error = unreadable(body(raw), "it has no candidate")
        error.usage = usage
        return error
    told = f"the prompt was blocked: {feedback.block_reason} {feedback.block_reason_message}"
    return ModelRefused(told.strip(), body=body(raw), usage=usage)


def finish(word: str, *, calls: bool) -> Finish:
    """Gemini ends calls with STOP too, and servers that speak its API with words of their own."""
    told = _FINISH.get(word, "unknown")
    return "tool_calls" if calls and told in ("stop", "unknown") else told


def usage_of(raw: Json) -> Usage | None:
    """Inclusive: Gemini counts thoughts beside the candidates, tool use beside the prompt."""
    try:
        counts = raw.get("usageMetadata")
        told: Tokens | None = msgspec.convert(counts, Tokens | None, strict=False)
    except msgspec.ValidationError as error:
        raise unreadable(body(raw), f"its usageMetadata: {error}") from error
    if told is None:
        return None
    into = _sum(told.prompt_token_count, told.tool_use_prompt_token_count)
    out = _sum(told.candidates_token_count, told.thoughts_token_count)
    if out is None and into is not None and told.total_token_count is not None:
        out = max(told.total_token_count - into, 0)  # a count of 0 is left out
    details_in = (told.prompt_tokens_details, told.tool_use_prompt_tokens_details)
    return Usage(
        input=into,
        output=out,
        cached=told.cached_content_token_count,
        thinking=told.thoughts_token_count,
        audio_in=_audio(*details_in),
        audio_out=_audio(told.candidates_tokens_details),
        raw=raw["usageMetadata"],
    )


def _sum(*counts: int | None) -> int | None:
    told = [count for count in counts if count is not None]
    return sum(told) if told else None


def _audio(*details: Sequence[Count] | None) -> int | None:
    """Tokens of sound; None where nothing is told by modality."""
    told = [detail for detail in details if detail is not None]
    if not told:
        return None
    return sum(each.token_count for detail in told for each in detail if each.modality == "AUDIO")

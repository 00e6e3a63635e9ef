"""Values that events are made of. Frozen, without behaviour beyond what their shape says.

A span counts Unicode code points of a document's content; a digest names that content, so that a
citation stays checkable after the document has changed.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

Arguments = dict[str, Any]
"""A JSON object as a model wrote it: open by nature, validated before a tool sees it."""

Finish = Literal[
    "stop",
    "tool_calls",
    "length",
    "context_overflow",
    "refusal",
    "content_filter",
    "malformed_tool_call",
    "paused",
    "error",
    "unknown",
]


class Passage(Struct, frozen=True):
    """A slice of a document: `text == content[start:end]`, `digest` = sha256 of the content."""

    document: str
    title: str
    digest: str
    start: int
    end: int
    text: str
    score: float


class Citation(Struct, frozen=True):
    """A verbatim quote: `quote == content[start:end]` of the document with that digest."""

    document: str
    digest: str
    start: int
    end: int
    quote: str


class RefusedCitation(Struct, frozen=True):
    citation: Citation
    reason: str


class Text(Struct, frozen=True, tag="text", omit_defaults=True):
    text: str
    citations: tuple[Citation, ...] = ()


class Thinking(Struct, frozen=True, tag="thinking"):
    """Reasoning that a model showed; never said to the contact."""

    text: str


class Refusal(Struct, frozen=True, tag="refusal"):
    text: str


class ToolCall(Struct, frozen=True, tag="tool_call", omit_defaults=True):
    """`call` is ours and unique in the conversation; `provider_call` is the provider's own id.

    Providers repeat their ids within one conversation (25 of 100 recorded ones do).
    """

    call: str
    name: str
    arguments: Arguments
    provider_call: str = ""


Part = Text | Thinking | Refusal | ToolCall


class Usage(Struct, frozen=True, omit_defaults=True):
    """Tokens, inclusive: `cached` is part of `input`, `thinking` part of `output`; None = not told.

    `raw` is what the provider sent, so that history can be priced again.
    """

    input: int | None = None
    output: int | None = None
    cached: int | None = None
    thinking: int | None = None
    raw: dict[str, Any] | None = None

"""Values that events are made of. Frozen, without behaviour beyond what their shape says.

A span counts Unicode code points of a document's content; a digest names that content, so that a
citation stays checkable after the document has changed.
"""

from __future__ import annotations

from decimal import Decimal
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


class FileRef(Struct, frozen=True, tag="file", omit_defaults=True):
    """An image or a document. `blob` names its bytes in the object store; `url` says where it lies
    otherwise: `https:`, or a provider's own id of it.
    """

    media: str
    blob: str = ""
    url: str = ""
    name: str = ""


class HostedTool(Struct, frozen=True, tag="hosted_tool", omit_defaults=True):
    """A tool that the provider itself ran: what went in and came out, as it told. `id` is its own
    name of the call.
    """

    name: str
    id: str = ""
    input: Any = None
    output: Any = None
    status: str = ""


class ToolCall(Struct, frozen=True, tag="tool_call", omit_defaults=True):
    """`call` is ours and unique in the conversation; `provider_call` is the provider's own id.

    Providers repeat their ids within one conversation (25 of 100 recorded ones do).
    """

    call: str
    name: str
    arguments: Arguments
    provider_call: str = ""


Part = Text | Thinking | Refusal | FileRef | HostedTool | ToolCall


class Usage(Struct, frozen=True, omit_defaults=True):
    """Tokens, inclusive: `cached`, `cache_write` (of which `cache_write_1h` are kept an hour) and
    `audio_in` are parts of `input`, `thinking` and `audio_out` of `output`; None = not told.
    `billed` are units that are paid for where they are not tokens as counted (searches, Cohere's
    billed units). `raw` is what the provider sent, so that history can be priced again.
    """

    input: int | None = None
    output: int | None = None
    cached: int | None = None
    thinking: int | None = None
    cache_write: int | None = None
    cache_write_1h: int | None = None
    audio_in: int | None = None
    audio_out: int | None = None
    billed: dict[str, float] | None = None
    raw: dict[str, Any] | None = None


class State(Struct, frozen=True):
    """A model's turn exactly as its API gave it, to be sent back to the same API and model family.
    Kept only where the parts alone could not say all of it (signatures, encrypted thinking).
    """

    api: str
    model: str
    turn: Any


class Price(Struct, frozen=True, omit_defaults=True):
    """What an amount was reckoned with: `book` names the price book's version, `rates` are per
    million units unless their name says otherwise, as decimals in strings.
    """

    book: str
    rates: dict[str, str] = {}
    currency: str = "USD"


class Spend(Struct, frozen=True, omit_defaults=True):
    """A paid call beside the models' turns: `what` is `embed` or `rerank`."""

    what: str
    model: str
    provider: str = ""
    usage: Usage | None = None
    cost_usd: Decimal | None = None
    price: Price | None = None
    elapsed_ms: float = 0


class Repair(Struct, frozen=True):
    """An answer that does not fit its schema, and why: a model is shown both."""

    output: str
    why: str


class Delta(Struct, frozen=True):
    """What a model says, as it says it. Never in the log."""

    kind: Literal["text", "thinking"]
    text: str


Effort = Literal["", "none", "minimal", "low", "medium", "high", "max"]
Rating = Literal["good", "bad"]
Outcome = Literal["answer", "refusal", "hand_off"]
BudgetStep = Literal["", "warn", "cheaper", "read_only", "refuse"]


class Options(Struct, frozen=True, omit_defaults=True):
    """How a model is asked. `tool_choice` is `auto`, `none`, `required` or a tool's name; None and
    empty = as the provider has it.
    """

    effort: Effort = ""
    output_tokens_max: int | None = None
    temperature: float | None = None
    tool_choice: str = ""
    parallel: bool = True
    cache: bool = True


class Choice(Struct, frozen=True, omit_defaults=True):
    """Why this model: the route and the place on it, what was passed over, and the facts that do
    not follow from the conversation. `table` is the digest of the routes.
    """

    route: str
    place: int
    why: str
    table: str
    passed: tuple[str, ...] = ()
    hour: int = -1
    budget: BudgetStep = ""
    budget_left_usd: Decimal | None = None

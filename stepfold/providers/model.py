"""The contract of a model, cut from what four providers have in common and where they differ.

A model answers a `Prompt` with a `Reply`, or raises one of the tree below. It never tries again by
itself: each attempt is a step of the log. While it answers it may tell `prompt.hear` what it says.

    ModelError
    ├── ModelBusy          try again, or the next model; `delay_s` when the provider named one
    ├── Malformed          an answer that cannot be read: worth asking again
    └── ModelFailed        asking this model again would not help
        ├── NoMoney        no credit, a spend limit, a used-up quota of the day
        ├── ContextOverflow    the prompt is too long: shorter, or a model that takes more
        └── ModelRefused   the provider's policy forbids it
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import cached_property
from typing import Any, Protocol

from msgspec import Struct

from stepfold.events.transcript import Heard, Item, Result, legal
from stepfold.events.values import (
    Citation,
    Delta,
    Finish,
    Options,
    Part,
    Price,
    State,
    Text,
    Thinking,
    ToolCall,
    Usage,
)
from stepfold.policy.toolspec import ToolSpec

__all__ = [
    "AS_IT_IS",
    "Call",
    "ContextOverflow",
    "Delta",
    "Hear",
    "Malformed",
    "Model",
    "ModelBusy",
    "ModelError",
    "ModelFailed",
    "ModelRefused",
    "NoMoney",
    "Prompt",
    "Reply",
]

BODY_CHARS_MAX = 8_000
AS_IT_IS = Options()


class ModelError(Exception):
    """The model gave no answer. `reason` is one word of ours, `body` the provider's own answer;
    `usage` what it cost all the same.
    """

    retryable = False
    reason = "model"

    def __init__(
        self,
        detail: str,
        *,
        reason: str = "",
        delay_s: float = 0.0,
        body: str = "",
        usage: Usage | None = None,
    ) -> None:
        super().__init__(detail)
        self.reason = reason or type(self).reason
        self.delay_s = delay_s
        self.body = body[:BODY_CHARS_MAX]
        self.usage = usage


class ModelBusy(ModelError):
    """Rate limits, time-outs, a provider's own trouble: worth asking again."""

    retryable = True
    reason = "busy"


class Malformed(ModelError):
    """An answer that cannot be read, or a stream that was cut."""

    retryable = True
    reason = "malformed"


class ModelFailed(ModelError):
    """A request that this model will never answer."""


class NoMoney(ModelFailed):
    """No credit, a spend limit, a used-up quota of the day."""

    reason = "no_money"


class ContextOverflow(ModelFailed):
    """The prompt is too long for this model."""

    reason = "context_overflow"


class ModelRefused(ModelFailed):
    """The provider's policy forbids it."""

    reason = "refused"


Hear = Callable[[Delta], None]


class Prompt:
    """What a model is asked: instructions, the tools it may call, and the conversation so far.

    `model` is its name at the provider. With `schema` the answer is to be JSON that fits it.
    `blobs` holds the bytes of the files in the transcript, by name. `traceparent` goes along where
    the provider takes it. Who sets `hear` wants to be told while the model speaks.

    `items` is a legal history: it is built when first looked at, because it grows with the
    conversation and not every model needs it.
    """

    def __init__(  # noqa: PLR0913  (what a request is made of, by name)
        self,
        *,
        instructions: str,
        tools: tuple[ToolSpec, ...],
        transcript: tuple[Item, ...],
        call: str,
        model: str = "",
        options: Options = AS_IT_IS,
        schema: dict[str, Any] | None = None,
        blobs: Mapping[str, bytes] | None = None,
        traceparent: str = "",
        hear: Hear | None = None,
    ) -> None:
        self.instructions = instructions
        self.tools = tools
        self.transcript = transcript
        self.call = call
        self.model = model
        self.options = options
        self.schema = schema
        self.blobs = blobs or {}
        self.traceparent = traceparent
        self.hear = hear

    @cached_property
    def items(self) -> tuple[Item, ...]:
        return tuple(legal(self.transcript))

    @property
    def question(self) -> str:
        """The contact's latest words, empty when there are none."""
        latest = (item.text for item in reversed(self.transcript) if isinstance(item, Heard))
        return next(latest, "")

    @property
    def results(self) -> tuple[Result, ...]:
        """The outcomes since the contact's latest words, in order of arrival."""
        found: list[Result] = []
        for item in reversed(self.transcript):
            if isinstance(item, Heard):
                break
            if isinstance(item, Result):
                found.append(item)
        return tuple(reversed(found))

    def offers(self, name: str) -> bool:
        return any(tool.name == name for tool in self.tools)


class Call(Struct, frozen=True):
    """A tool call as a model makes it; `id` is the provider's own name of it, if any."""

    name: str
    arguments: dict[str, Any]
    id: str = ""


class Reply(Struct, frozen=True):
    """A model's turn: its `parts` in order, where a `ToolCall` has no `call` yet; or, shorter, one
    `text` with its citations and some `calls`.

    `cost_usd` None = the price is not known, or not reckoned yet; `model` as it answered. `blobs`
    are the bytes of files that it made, by name.
    """

    text: str = ""
    calls: tuple[Call, ...] = ()
    citations: tuple[Citation, ...] = ()
    thinking: str = ""
    parts: tuple[Part, ...] = ()
    finish: Finish | None = None
    finish_word: str = ""
    usage: Usage | None = None
    cost_usd: Decimal | None = None
    price: Price | None = None
    model: str = ""
    provider: str = ""
    response: str = ""
    tier: str = ""
    state: State | None = None
    blobs: dict[str, bytes] = {}

    def all_parts(self) -> tuple[Part, ...]:
        if self.parts:
            return self.parts
        parts: list[Part] = [Thinking(self.thinking)] if self.thinking else []
        if self.text:
            parts.append(Text(self.text, self.citations))
        parts += [ToolCall("", call.name, call.arguments, call.id) for call in self.calls]
        return tuple(parts)

    def all_text(self) -> str:
        return "".join(part.text for part in self.all_parts() if isinstance(part, Text))


class Model(Protocol):
    async def reply(self, prompt: Prompt, /) -> Reply:
        """One answer, or a ModelError."""
        ...

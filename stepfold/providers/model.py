"""The contract of a model. Provisional: it is cut anew once OpenAI and Anthropic are both in.

A model answers with a `Reply` or raises one of:

    ModelError
    ├── ModelBusy       try again, or the next model; `delay_s` when the provider named one
    └── ModelFailed     asking again would not help
"""

from __future__ import annotations

from decimal import Decimal
from functools import cached_property
from typing import Any, Protocol

from msgspec import Struct

from stepfold.events.transcript import Heard, Item, Result, legal
from stepfold.events.values import Citation, Finish, Usage


class ModelError(Exception):
    """The model gave no answer. `reason` is one word of ours, the message is the provider's."""

    retryable = False

    def __init__(self, detail: str, *, reason: str = "model", delay_s: float = 0.0) -> None:
        super().__init__(detail)
        self.reason = reason
        self.delay_s = delay_s


class ModelBusy(ModelError):
    """Rate limits, time-outs, a provider's own trouble: worth asking again."""

    retryable = True


class ModelFailed(ModelError):
    """A request that this model will never answer."""


class Prompt:
    """What a model is asked: instructions, the tools it may call, and the conversation so far.

    `items` is a legal history: it is built when first looked at, because it grows with the
    conversation and not every model needs it.
    """

    def __init__(
        self, *, instructions: str, tools: tuple[str, ...], transcript: tuple[Item, ...], call: str
    ) -> None:
        self.instructions = instructions
        self.tools = tools
        self.call = call
        self.transcript = transcript

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


class Call(Struct, frozen=True):
    """A tool call as a model makes it; `id` is the provider's own name of it, if any."""

    name: str
    arguments: dict[str, Any]
    id: str = ""


class Reply(Struct, frozen=True):
    """A model's turn. `cost_usd` None = the price is not known; `model` as it answered."""

    text: str = ""
    calls: tuple[Call, ...] = ()
    citations: tuple[Citation, ...] = ()
    thinking: str = ""
    finish: Finish | None = None
    usage: Usage | None = None
    cost_usd: Decimal | None = None
    model: str = ""
    provider: str = ""


class Model(Protocol):
    async def reply(self, prompt: Prompt, /) -> Reply:
        """One answer, or a ModelError."""
        ...

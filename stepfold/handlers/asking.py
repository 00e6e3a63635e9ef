"""One call of a model: found by its name, given the files it needs, listened to, and priced.

Whatever it ends with is told once: a `Spoken`, or a `ModelError`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from stepfold.events.envelope import Entry
from stepfold.events.traces import traceparent
from stepfold.events.transcript import Heard, Thought
from stepfold.events.values import FileRef, Price, Usage
from stepfold.handlers.budgets import BudgetRefused, Keeper
from stepfold.handlers.decide import BUDGET
from stepfold.handlers.worker import since
from stepfold.providers.model import Delta, Hear, Model, ModelError, ModelFailed, Prompt, Reply
from stepfold.providers.models import NoPrices, Prices, find
from stepfold.streams.log import FileMissing, LogError

NO_PRICES = NoPrices()
UNSEEN = frozenset({"timeout", "cut", "unreachable", "malformed"})
"""Reasons of failures that a provider may have charged for."""
TOKEN_CHARS = 3
"""Characters of a token, at least."""
FILE_TOKENS = 3_000
OUTPUT_TOKENS = 2_000
"""What an answer may have that has no limit of its own: what is held for it."""


log = logging.getLogger("stepfold.asking")


class Files(Protocol):
    """The bytes of images and documents, by `sha256:` and their hash."""

    async def get(self, name: str) -> bytes: ...

    async def put(self, data: bytes) -> str: ...


class Tokens(Protocol):
    """Where words go while they are said. They are never in the log."""

    def speak(self, entry: Entry, call: str, attempt: int) -> Speaking: ...


class Speaking(Protocol):
    def hear(self, delta: Delta, /) -> None: ...

    def end(self) -> None:
        """The call is over; its outcome, in the log, says what of this counts."""
        ...


class Spoken(Struct, frozen=True):
    reply: Reply
    elapsed_ms: float
    first_ms: float = 0


class Failed(Struct, frozen=True):
    """`streamed` characters were told to those who listen, and are to be taken back."""

    error: ModelError
    elapsed_ms: float
    streamed: int = 0
    provider: str = ""
    cost_usd: Decimal | None = None
    price: Price | None = None


class Asker:
    """`models` by name; `prices` reckons what a reply has no price for. A name that is not there is
    looked for once more after `look`, which takes over what was configured meanwhile, and `hint`
    says how a model is set up.
    """

    def __init__(  # noqa: PLR0913  (what asking needs of the world, by name)
        self,
        models: Mapping[str, Model],
        *,
        prices: Prices = NO_PRICES,
        files: Files | None = None,
        tokens: Tokens | None = None,
        keeper: Keeper | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        look: Callable[[], Awaitable[None]] | None = None,
        hint: Callable[[str], str] = lambda name: "",
    ) -> None:
        self._look = look
        self._hint = hint
        self._models = models
        self._prices = prices
        self._files = files
        self._tokens = tokens
        self._keeper = keeper
        self._clock = clock

    async def ask(
        self, entry: Entry, name: str, prompt: Prompt, *, turn: int, attempt: int, agent: str = ""
    ) -> Spoken | Failed:
        """The money for it is held meanwhile. An answer that never came may have cost something."""
        if self._keeper is None or not self._keeper.any:
            return await self._ask(entry, name, prompt, turn, attempt)
        try:
            estimate = self._estimate(name, prompt)
            await self._keeper.reserve(entry.key, agent, prompt.call, estimate)
        except BudgetRefused as refused:
            return Failed(ModelFailed(str(refused), reason=BUDGET), 0)
        told = await self._ask(entry, name, prompt, turn, attempt)
        if isinstance(told, Spoken):
            cost = told.reply.cost_usd
        else:
            cost = None if told.error.reason in UNSEEN else told.cost_usd or Decimal(0)
        await self._keeper.settle(entry.key, agent, prompt.call, cost)
        return told

    def _estimate(self, name: str, prompt: Prompt) -> Decimal | None:
        """US dollars, on the high side; a model of our own process costs nothing."""
        provider, slash, model = name.partition("/")
        if not slash:
            return Decimal(0)
        usage = Usage(
            input=tokens_of(prompt),
            output=prompt.options.output_tokens_max or OUTPUT_TOKENS,
        )
        return self._price(usage, provider, model)[0]

    async def _ask(
        self, entry: Entry, name: str, prompt: Prompt, turn: int, attempt: int
    ) -> Spoken | Failed:
        begin = time.perf_counter()
        found = await self._find(name)
        if found is None:
            known = ", ".join(sorted(self._models)) or "none"
            detail = f"model {name!r} is not set up in this worker (known: {known})"
            hint = self._hint(name)
            return Failed(_unknown(f"{detail}; {hint}" if hint else detail), since(begin))
        model, prompt.model = found
        prompt.traceparent = traceparent(entry.trace, *entry.key, turn, entry.id)
        listening = _Listening(begin)
        speaking = self._tokens.speak(entry, prompt.call, attempt) if self._tokens else None
        if speaking is not None:
            listening.then = speaking.hear
            prompt.hear = listening.hear
        try:
            prompt.blobs = await self._blobs(prompt)
            reply = await model.reply(prompt)
            reply = await self._kept(reply)
        except ModelError as error:
            return self._failed(error, name, begin, listening.streamed)
        finally:
            if speaking is not None:
                speaking.end()
        return Spoken(self._priced(reply, name), since(begin), listening.first_ms)

    async def _find(self, name: str) -> tuple[Model, str] | None:
        """A request may name a server that came with routes which are newer than this process's."""
        found = find(self._models, name)
        if found is None and self._look is not None:
            try:
                await self._look()
            except LogError as error:
                log.warning("the routes cannot be looked at again: %s", error)
            found = find(self._models, name)
        return found

    async def _blobs(self, prompt: Prompt) -> Mapping[str, bytes]:
        wanted = {ref.blob for ref in _files(prompt) if ref.blob}
        if not wanted or self._files is None:
            return {}
        try:
            return {name: await self._files.get(name) for name in sorted(wanted)}
        except FileMissing as error:
            raise ModelFailed(str(error), reason="file_missing") from error

    async def _kept(self, reply: Reply) -> Reply:
        """What the model made is kept before anything names it."""
        if self._files is not None:
            for data in reply.blobs.values():
                await self._files.put(data)
        return replace(reply, blobs={}) if reply.blobs else reply

    def _priced(self, reply: Reply, name: str) -> Reply:
        if reply.cost_usd is not None or reply.usage is None:
            return reply
        cost_usd, price = self._price(
            reply.usage, reply.provider, reply.model or _at_provider(name), reply.tier
        )
        return replace(reply, cost_usd=cost_usd, price=price)

    def _failed(self, error: ModelError, name: str, begin: float, streamed: int) -> Failed:
        provider = name.partition("/")[0] if "/" in name else ""
        cost_usd, price = (
            self._price(error.usage, provider, _at_provider(name)) if error.usage else (None, None)
        )
        return Failed(error, since(begin), streamed, provider, cost_usd, price)

    def _price(
        self, usage: Usage, provider: str, model: str, tier: str = ""
    ) -> tuple[Decimal | None, Price | None]:
        told = self._prices.price(
            usage, provider=provider, model=model, at=self._clock(), tier=tier
        )
        return told or (None, None)


def tokens_of(prompt: Prompt) -> int:
    """The tokens of a prompt, on the high side."""
    characters = len(prompt.instructions) + len(str(prompt.schema or ""))
    characters += sum(len(str(spec.parameters)) + len(spec.description) for spec in prompt.tools)
    for item in prompt.transcript:
        characters += len(item.text) if isinstance(item, Heard) else item.characters
    return characters // TOKEN_CHARS + FILE_TOKENS * sum(1 for _ in _files(prompt))


class _Listening:
    """Counts what is streamed, and notes when it began."""

    def __init__(self, begin: float) -> None:
        self._begin = begin
        self.then: Hear = _nobody
        self.first_ms = 0.0
        self.streamed = 0

    def hear(self, delta: Delta) -> None:
        self.first_ms = self.first_ms or since(self._begin)
        self.streamed += len(delta.text)
        self.then(delta)


def _at_provider(name: str) -> str:
    return name.partition("/")[2] or name


def _nobody(delta: Delta) -> None:
    """Nobody listens."""


def _files(prompt: Prompt) -> Iterable[FileRef]:
    for item in prompt.transcript:
        if isinstance(item, Heard):
            yield from item.files
        elif isinstance(item, Thought):
            yield from (part for part in item.parts if isinstance(part, FileRef))


def _unknown(detail: str) -> ModelError:
    error = ModelError(detail, reason="model_unknown")
    error.retryable = True  # another worker may know it
    return error

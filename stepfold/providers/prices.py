"""The price book: genai-prices, and the overrides of a `prices.toml` above it.

Of genai-prices the data are used: which model a name is, and its rates at a time. The arithmetic is
ours (`rates.py`): there a unit without a rate costs nothing, here it leaves the call unpriced.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from stepfold.events.values import Price, Usage
from stepfold.providers.overrides import Overrides, model_named, read_overrides, tier_named
from stepfold.providers.rates import REQUEST, Card, Rate, reckon

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice, TieredPrices

PROVIDERS: Mapping[str, str] = {"vertex": "google"}
"""Our names of providers that have another one there."""
BILLS_UNITS = frozenset({"cohere"})
"""Who bills other tokens than it counts: without `usage.billed` its price is not known."""
FREE: Mapping[str, Mapping[str, Decimal]] = {"anthropic": {"web_fetch": Decimal(0)}}
"""Units that are told, and cost nothing beside their tokens; the book does not name them."""
ANYWHERE = frozenset({"None", "global", "not_available"})
"""Where Anthropic may answer at the listed rates; elsewhere it costs more, and the book knows not
how much.
"""
TIERS = ("service_tier", "processing", "speed")
"""What the book calls a tier: any of these."""

_TOKENS: Mapping[str, str] = {
    "input_mtok": "input",
    "output_mtok": "output",
    "cache_read_mtok": "cached",
    "cache_write_mtok": "cache_write",
    "cache_write_1h_mtok": "cache_write_1h",
    "input_audio_mtok": "audio_in",
    "output_audio_mtok": "audio_out",
    "output_reasoning_mtok": "thinking",
}
_EACH: Mapping[str, str] = {
    "web_searches_kcount": "web_search",
    "storage_searches_kcount": "file_search",
    "code_executions_kcount": "code_execution",
    "rerank_searches_kcount": "search_units",
    "requests_kcount": REQUEST,
}
_NEVER_ALONE = frozenset({"cache_audio_read_mtok"})
"""Of audio tokens from a cache, which `reckon` never prices."""
_THOUSAND_DIGITS = 3


def load_prices(path: Path | None) -> Book:
    """The book, with the overrides in the file at `path` when there is one. PricesRefused."""
    return Book(read_overrides(path) if path is not None else Overrides())


class Book:
    """Rates by provider, model, day and tier. The first question loads the data, in 0.2 s."""

    def __init__(self, overrides: Overrides) -> None:
        self._overrides = overrides

    @cached_property
    def name(self) -> str:
        """Which rates these are, in every amount's `Price`."""
        ours = f" prices.toml {self._overrides.digest}" if self._overrides.entries else ""
        return f"genai-prices {version('genai-prices')}{ours}"

    def price(
        self, usage: Usage, *, provider: str, model: str, at: datetime, tier: str = ""
    ) -> tuple[Decimal, Price] | None:
        """None too when the model, the tier or a unit that was used has no rate."""
        if not _whole(usage, provider.lower()):
            return None
        card = self.card(provider, model, at=at, tier=tier)
        told = reckon(card, usage) if card is not None else None
        return (told[0], Price(self.name, told[1])) if told is not None else None

    def card(self, provider: str, model: str, *, at: datetime, tier: str = "") -> Card | None:
        """All rates of a model: those of the overrides, and where they have none the book's."""
        at = (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
        provider, model, tier = provider.lower(), model_named(model), tier_named(tier)
        listed = _listed(provider, model, at, tier)
        ours = self._overrides.find(provider, model, at.date(), tier)
        return ours.over(listed or Card()) if ours is not None else listed


def _whole(usage: Usage, provider: str) -> bool:
    """Do its counts tell all that is paid for?"""
    raw = usage.raw or {}
    iterations = raw.get("iterations")
    if isinstance(iterations, list) and any(map(_names_model, iterations)):
        return False  # another model helped, and its tokens are in no total
    if str(raw.get("inference_geo")) not in ANYWHERE:
        return False
    return provider not in BILLS_UNITS or bool(usage.billed)


def _names_model(iteration: object) -> bool:
    return isinstance(iteration, dict) and "model" in iteration


def _listed(provider: str, model: str, at: datetime, tier: str) -> Card | None:
    """genai-prices' rates; None when it does not know the model, or not in this tier."""
    from genai_prices.data_snapshot import get_snapshot

    snapshot = get_snapshot()
    wanted = PROVIDERS.get(provider, provider)
    # By the name itself: its own search takes any name that holds `openai` for OpenAI.
    known = next((each for each in snapshot.providers if each.id == wanted), None)
    if known is None:
        return None
    try:
        _, found = snapshot.find_provider_model(model, known, None, None)
    except LookupError:
        return None
    context = _context(found, at, tier)
    if context is None:
        return None
    card = _card(found.get_prices(at, context))
    return replace(card, each={**FREE.get(wanted, {}), **card.each})


def _context(model: ModelInfo, at: datetime, tier: str) -> dict[str, str] | None:
    """How genai-prices names this tier of the model; None when it has no price then."""
    if not tier:
        return {}
    wanted = [{kind: tier} for kind in TIERS]
    for variant in model.price_variants or ():
        if variant.when in wanted and (variant.constraint is None or variant.constraint.active(at)):
            return variant.when
    return None


def _card(prices: ModelPrice) -> Card:
    told = {key: rate for key, rate in vars(prices).items() if rate is not None}
    return Card(
        tokens={kind: _rate(told[key]) for key, kind in _TOKENS.items() if key in told},
        each={unit: _one(told[key]) for key, unit in _EACH.items() if key in told},
        unseen=bool(told.keys() - _TOKENS.keys() - _EACH.keys() - _NEVER_ALONE),
    )


def _rate(price: Decimal | TieredPrices) -> Rate:
    if isinstance(price, Decimal):
        return Rate(price)
    return Rate(price.base, tuple((tier.start, tier.price) for tier in price.tiers))


def _one(thousand: Decimal) -> Decimal:
    return thousand.scaleb(-_THOUSAND_DIGITS)

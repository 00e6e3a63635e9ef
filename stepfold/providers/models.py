"""The models that a process can ask, by name: `extractive`, or `provider/model`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Protocol, TypeVar

from stepfold.events.values import Price, Usage

Asked = TypeVar("Asked")
"""A model, an embedder or a reranker."""


def find(models: Mapping[str, Asked], name: str) -> tuple[Asked, str] | None:
    """(the model, its name at its provider); None when nobody put it in."""
    if name in models:
        return models[name], name
    provider, _, model = name.partition("/")
    return (models[provider], model) if model and provider in models else None


class Prices(Protocol):
    """A price book."""

    def price(
        self, usage: Usage, *, provider: str, model: str, at: datetime, tier: str = ""
    ) -> tuple[Decimal, Price] | None:
        """US dollars and the rates they were reckoned with; None when the price is not known."""
        ...


class NoPrices:
    """A book that knows no price."""

    def price(
        self, usage: Usage, *, provider: str, model: str, at: datetime, tier: str = ""
    ) -> tuple[Decimal, Price] | None:
        return None

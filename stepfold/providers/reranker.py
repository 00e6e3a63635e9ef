"""The contract of a reranker: which of some texts answer a query best."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from stepfold.events.values import Usage


class Ranked(Struct, frozen=True):
    """`index` is the text's place among those that were given; `score` from 0 to 1, comparable only
    within one answer.
    """

    index: int
    score: float


class Reranked(Struct, frozen=True):
    """The best first. `usage.billed` holds `search_units` where they are paid for."""

    order: tuple[Ranked, ...]
    model: str
    provider: str
    usage: Usage | None = None


class Reranker(Protocol):
    async def rerank(self, query: str, texts: Sequence[str], /, *, model: str, k: int) -> Reranked:
        """At most `k` of `texts`, or a ModelError."""
        ...

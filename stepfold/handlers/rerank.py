"""Which of the passages found answer best: a reranker's opinion, by the route of task `rerank`.

Without such a route the search's own order stands; and where every reranker failed, it stands too:
an answer from good passages in a worse order is better than none.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal

from msgspec import Struct

from stepfold.events.envelope import Entry
from stepfold.events.event import RetrievalRequested
from stepfold.events.values import Passage, Price, Spend, Usage
from stepfold.handlers.asking import UNSEEN
from stepfold.handlers.budgets import BudgetRefused, Keeper
from stepfold.handlers.choosing import World
from stepfold.handlers.worker import since
from stepfold.providers.model import ModelError
from stepfold.providers.models import Prices, find
from stepfold.providers.reranker import Reranked, Reranker
from stepfold.routing import Facts, Routing, route

TASK = "rerank"
WIDER, WIDER_MAX = 4, 60
"""So many times the passages wanted are given to a reranker, and so many at most."""
ZERO = Decimal(0)
ONE_SEARCH = Usage(billed={"search_units": 1})
"""What a ranking is expected to be billed."""


class Best(Struct, frozen=True):
    """At most as many passages as were wanted, and what finding them cost."""

    passages: tuple[Passage, ...]
    spent: tuple[Spend, ...] = ()


class Ranking:
    """`rerankers` by name as models are; `world` knows the routes."""

    def __init__(
        self,
        rerankers: Mapping[str, Reranker],
        world: Callable[[str, str, str], World],
        *,
        prices: Prices,
        clock: Callable[[], datetime],
        keeper: Keeper | None = None,
    ) -> None:
        self._rerankers = rerankers
        self._world = world
        self._prices = prices
        self._clock = clock
        self._keeper = keeper

    def wanted(self, entry: Entry, agent: str) -> int:
        """How many passages to search for, so that there is something to choose from."""
        k = _request(entry).passages_max
        return min(k * WIDER, max(k, WIDER_MAX)) if self._routing(entry, agent).picks else k

    async def best(self, entry: Entry, agent: str, passages: tuple[Passage, ...]) -> Best:
        request = _request(entry)
        if not passages:
            return Best(())
        spent: list[Spend] = []
        for pick in self._routing(entry, agent).picks:
            found = find(self._rerankers, pick.model)
            if found is None:
                continue
            told = await self._ask(entry, agent, pick.model, found, passages, spent)
            if told is not None:
                order = (passages[each.index] for each in told.order)
                return Best(tuple(order)[: request.passages_max], tuple(spent))
        return Best(passages[: request.passages_max], tuple(spent))

    async def _ask(
        self,
        entry: Entry,
        agent: str,
        name: str,
        found: tuple[Reranker, str],
        passages: tuple[Passage, ...],
        spent: list[Spend],
    ) -> Reranked | None:
        request, (reranker, model) = _request(entry), found
        begin, provider = time.perf_counter(), name.rpartition("/")[0]
        if not await self._reserved(entry, agent, provider, model):
            return None
        told: Reranked | None = None
        try:
            told = await reranker.rerank(
                request.query,
                [f"{each.title}\n{each.text}" for each in passages],
                model=model,
                k=request.passages_max,
            )
            usage = told.usage
            cost, price = self._price(usage, provider, model)
        except ModelError as error:
            usage, price, cost = error.usage, None, ZERO
            if usage is not None or error.reason in UNSEEN:
                cost, price = self._price(usage, provider, model)
        spent.append(Spend(TASK, model, provider, usage, cost, price, since(begin)))
        if self._keeper is not None:
            await self._keeper.settle(entry.key, agent, request.call, cost)
        return told

    async def _reserved(self, entry: Entry, agent: str, provider: str, model: str) -> bool:
        """Is there money for it? What has no provider runs here, for nothing."""
        if self._keeper is None or not self._keeper.any:
            return True
        estimate = self._price(ONE_SEARCH, provider, model)[0]
        try:
            await self._keeper.reserve(entry.key, agent, _request(entry).call, estimate)
        except BudgetRefused:
            return False
        return True

    def _price(
        self, usage: Usage | None, provider: str, model: str
    ) -> tuple[Decimal | None, Price | None]:
        if not provider:
            return ZERO, None
        if usage is None:
            return None, None
        told = self._prices.price(usage, provider=provider, model=model, at=self._clock())
        return told or (None, None)

    def _routing(self, entry: Entry, agent: str) -> Routing:
        world = self._world(*entry.key, agent)
        facts = Facts(
            task=TASK,
            customer=world.customer,
            agent=agent,
            hour=world.hour,
            budget=world.budget,
            budget_left_usd=world.budget_left_usd,
        )
        return route(world.routes, facts)


def _request(entry: Entry) -> RetrievalRequested:
    assert isinstance(entry.event, RetrievalRequested)
    return entry.event

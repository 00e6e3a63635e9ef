"""Passages in the order of a reranker, by the route of task `rerank`."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from msgspec.structs import replace

from stepfold.events.envelope import Entry, first, record
from stepfold.events.event import RetrievalReturned
from stepfold.events.values import Passage, Price, Usage
from stepfold.handlers.budgets import Keeper
from stepfold.handlers.rerank import Ranking
from stepfold.handlers.retrieve import Retrieve
from stepfold.handlers.worlds import Worlds
from stepfold.policy.budget import Budget, Budgets, encode_budgets
from stepfold.projections.conversation import replay
from stepfold.providers.model import ModelBusy, ModelError
from stepfold.providers.overlap import OverlapReranker
from stepfold.providers.reranker import Ranked, Reranked
from stepfold.routing import Candidate, Route, Routes, encode_routes
from stepfold.streams.memory import MemoryBalances, MemoryLog, MemoryShelf
from stepfold.testing import (
    AGENT,
    ASKED,
    HELLO,
    PASSAGE,
    RETRIEVAL,
    SEARCHED,
    STARTED,
    Clock,
    Passages,
)

SEARCH_USD = Decimal("0.002")
BILLED = Usage(billed={"search_units": 1})
THINKING = replay([STARTED, HELLO, ASKED, SEARCHED, RETRIEVAL])


class Backwards:
    """A paid reranker that likes the last text best; with `error` it has trouble."""

    def __init__(self, error: ModelError | None = None) -> None:
        self.asked: list[tuple[str, int, str, int]] = []
        self._error = error

    async def rerank(self, query: str, texts: Sequence[str], /, *, model: str, k: int) -> Reranked:
        self.asked.append((query, len(texts), model, k))
        if self._error is not None:
            raise self._error
        order = (Ranked(place, 0.5) for place in reversed(range(len(texts))))
        return Reranked(tuple(order)[:k], model, "paid", BILLED)


class PerSearch:
    def price(
        self, usage: Usage, *, provider: str, model: str, at: object, tier: str = ""
    ) -> tuple[Decimal, Price] | None:
        assert usage.billed is not None
        usd = int(usage.billed["search_units"]) * SEARCH_USD
        return usd, Price("test", {"search_units": str(SEARCH_USD)})


def passages(count: int) -> tuple[Passage, ...]:
    return tuple(replace(PASSAGE, text=f"passage {number}") for number in range(count))


def asked() -> Entry:
    draft = first("acme", "c1", RETRIEVAL, by="agent", key="x")
    return record(draft, position=5, at=Clock().at, after=4)


async def retrieve(
    *ask: str, found: int = 30, keeper: Keeper | None = None, **rerankers: Backwards
) -> RetrievalReturned:
    shelf, clock = MemoryShelf(), Clock()
    candidates = tuple(Candidate(name) for name in ask)
    if ask:
        await shelf.appoint(encode_routes(Routes((Route("rerank", candidates),))))
    worlds = Worlds(shelf, clock)
    await worlds.look()
    ranking = Ranking(
        {"overlap": OverlapReranker(), **rerankers},
        worlds,
        prices=PerSearch(),
        clock=clock,
        keeper=keeper,
    )
    worker = Retrieve(Passages(*passages(found)), ranking)
    outcome = await worker.run(asked(), THINKING, AGENT)
    assert isinstance(outcome, RetrievalReturned)
    return outcome


def texts(outcome: RetrievalReturned) -> list[str]:
    return [each.text for each in outcome.passages]


async def test_without_a_route_the_order_of_the_search_stands() -> None:
    outcome = await retrieve()

    assert texts(outcome) == [f"passage {number}" for number in range(5)]
    assert outcome.spent == ()


async def test_a_reranker_chooses_from_four_times_what_is_wanted_and_its_cost_is_recorded() -> None:
    paid = Backwards()

    outcome = await retrieve("paid/best-1", paid=paid)

    assert paid.asked == [("open", 20, "best-1", 5)]
    assert texts(outcome) == [f"passage {number}" for number in (19, 18, 17, 16, 15)]
    (spent,) = outcome.spent
    assert (spent.what, spent.provider, spent.model) == ("rerank", "paid", "best-1")
    assert (spent.usage, spent.cost_usd) == (BILLED, SEARCH_USD)
    assert spent.price is not None


async def test_when_one_fails_the_next_is_asked_and_both_are_recorded() -> None:
    broken, paid = Backwards(ModelBusy("503", reason="unavailable")), Backwards()

    outcome = await retrieve("broken/a", "paid/b", broken=broken, paid=paid)

    assert texts(outcome)[0] == "passage 19"
    assert [(each.model, each.cost_usd) for each in outcome.spent] == [
        ("a", Decimal(0)),
        ("b", SEARCH_USD),
    ]


async def test_one_that_may_have_been_charged_for_is_unpriced_not_free() -> None:
    outcome = await retrieve("late/a", late=Backwards(ModelBusy("no answer", reason="timeout")))

    assert texts(outcome) == [f"passage {number}" for number in range(5)]
    assert [each.cost_usd for each in outcome.spent] == [None]


async def test_the_local_one_costs_nothing_and_one_that_nobody_has_is_passed_over() -> None:
    outcome = await retrieve("nobody/x", "overlap")

    assert [(each.model, each.provider, each.cost_usd) for each in outcome.spent] == [
        ("overlap", "", Decimal(0))
    ]


async def test_nothing_is_asked_where_nothing_was_found() -> None:
    paid = Backwards()

    outcome = await retrieve("paid/a", found=0, paid=paid)

    assert (outcome.passages, outcome.spent, paid.asked) == ((), (), [])


async def test_what_does_not_fit_into_the_budget_is_not_asked_and_what_does_is_settled() -> None:
    shelf, balances = MemoryShelf(), MemoryBalances()
    limit = Budget("customer", SEARCH_USD, period="ever")
    await shelf.appoint(encode_budgets(Budgets((limit,))))
    keeper = Keeper(shelf, balances, MemoryLog(), Clock())
    await keeper.look()
    paid = Backwards()

    fits = await retrieve("paid/a", keeper=keeper, paid=paid)
    too_much = await retrieve("paid/a", keeper=keeper, paid=paid)

    assert texts(fits)[0] == "passage 19"
    assert texts(too_much)[0] == "passage 0"
    assert len(paid.asked) == 1
    (balance,) = (await balances.all()).values()
    assert (balance.spent_usd, balance.held) == (SEARCH_USD, {})


async def test_what_a_search_cost_counts_for_its_conversation_and_its_turn() -> None:
    outcome = await retrieve("paid/a", paid=Backwards())

    state = replay([outcome], THINKING)

    assert state.spent_usd == SEARCH_USD
    assert state.turn is not None
    assert state.turn.spent_usd == SEARCH_USD

"""Money is reserved before a model is asked and settled afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from stepfold.app import opened
from stepfold.events.envelope import first
from stepfold.events.event import Reasoned, TurnAbandoned
from stepfold.events.values import Price, Text, Usage
from stepfold.handlers.asking import Asker
from stepfold.handlers.budgets import STALE_S, BudgetRefused, Keeper
from stepfold.handlers.reason import Reason
from stepfold.policy.agent import Agent
from stepfold.policy.budget import Budget, Budgets, encode_budgets
from stepfold.providers.model import ModelBusy, ModelFailed, Prompt, Reply
from stepfold.providers.scripted import ScriptedModel
from stepfold.settings import Settings
from stepfold.streams.log import Balances
from stepfold.streams.memory import MemoryBalances, MemoryLog, MemoryShelf
from stepfold.testing import Arrangement, Clock

KEY = ("acme", "c1")
CENT = Decimal("0.01")
Factory = Callable[[Path], AbstractAsyncContextManager[Balances]]


@asynccontextmanager
async def memory(folder: Path) -> AsyncIterator[Balances]:
    yield MemoryBalances()


@asynccontextmanager
async def jetstream(folder: Path) -> AsyncIterator[Balances]:
    async with opened(Settings(folder=folder)) as found:
        yield found.balances


ACCOUNTS: Mapping[str, Factory] = {"memory": memory, "jetstream": jetstream}


@pytest.fixture(params=ACCOUNTS)
async def balances(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Balances]:
    async with ACCOUNTS[request.param](tmp_path) as made:
        yield made


async def keeper(
    balances: Balances, *budgets: Budget, log: MemoryLog | None = None, clock: Clock | None = None
) -> Keeper:
    shelf = MemoryShelf()
    await shelf.appoint(encode_budgets(Budgets(budgets)))
    made = Keeper(shelf, balances, log or MemoryLog(), clock or Clock())
    await made.look()
    return made


def customers(usd: str) -> Budget:
    return Budget("customer", Decimal(usd), period="ever")


async def test_of_200_at_once_as_many_go_out_as_fit_and_no_more(balances: Balances) -> None:
    processes = [await keeper(balances, customers("0.50")) for _ in range(4)]
    estimate, actual = Decimal("0.010"), Decimal("0.007")

    async def call(number: int) -> bool:
        mine = processes[number % 4]
        try:
            await mine.reserve(KEY, "desk", f"r{number}", estimate)
        except BudgetRefused:
            return False
        await asyncio.sleep(0)
        await mine.settle(KEY, "desk", f"r{number}", actual)
        return True

    went = sum(await asyncio.gather(*map(call, range(200))))

    (balance,) = (await balances.all()).values()
    assert balance.held == {}
    assert balance.spent_usd == went * actual
    assert balance.spent_usd <= Decimal("0.5")
    assert went >= 50  # as many as fit by their estimates, and some after others were settled


async def test_an_estimate_that_was_too_low_overshoots_by_its_error_only(
    balances: Balances,
) -> None:
    kept = await keeper(balances, customers("0.10"))
    await kept.reserve(KEY, "desk", "r1", Decimal("0.10"))
    await kept.settle(KEY, "desk", "r1", Decimal("0.13"))

    with pytest.raises(BudgetRefused, match=r"0 of 0\.10 USD are left"):
        await kept.reserve(KEY, "desk", "r2", CENT)

    assert kept.step(*KEY, "desk") == ("refuse", Decimal("-0.03"))


async def test_a_call_is_held_once_however_often_it_is_reserved(balances: Balances) -> None:
    one, other = await keeper(balances, customers("1")), await keeper(balances, customers("1"))

    await one.reserve(KEY, "desk", "r1", CENT)
    await other.reserve(KEY, "desk", "r1", CENT)
    await other.settle(KEY, "desk", "r1", CENT)
    await one.look()
    await one.settle(KEY, "desk", "r1", CENT)

    (balance,) = (await balances.all()).values()
    assert (balance.spent_usd, balance.held) == (CENT, {})


async def test_a_refusal_writes_small_amounts_in_digits(balances: Balances) -> None:
    kept = await keeper(balances, customers("1E-7"))

    with pytest.raises(BudgetRefused, match=r"about 0\.0000002 USD .* 0\.0000001 of 0\.0000001"):
        await kept.reserve(KEY, "desk", "r1", Decimal("2E-7"))


async def test_what_does_not_fit_into_one_account_is_held_in_none(balances: Balances) -> None:
    kept = await keeper(
        balances, customers("1"), Budget("conversation", Decimal("0.005"), period="ever")
    )

    with pytest.raises(BudgetRefused, match="the ever budget of conversation acme"):
        await kept.reserve(KEY, "desk", "r1", CENT)

    assert [balance.used_usd for balance in (await balances.all()).values()] == [Decimal(0)]


async def test_a_price_that_nobody_knows_fits_into_no_budget(balances: Balances) -> None:
    kept = await keeper(balances, customers("1"))

    with pytest.raises(BudgetRefused, match=r"add the price to prices\.toml"):
        await kept.reserve(KEY, "desk", "r1", None)
    await (await keeper(balances)).reserve(KEY, "desk", "r1", None)


async def test_what_a_dead_process_held_is_settled_from_the_log(balances: Balances) -> None:
    log, clock = MemoryLog(), Clock()
    await (await keeper(balances, customers("1"), clock=clock)).reserve(KEY, "desk", "r1", CENT)
    answer = Reasoned("r1", 1, "m", (Text("x"),), cost_usd=Decimal("0.004"))
    await log.append([first(*KEY, answer, by="reason", key="r1")], after=0)
    other = await keeper(balances, customers("1"), log=log, clock=clock)

    await other.sweep()
    assert [balance.spent_usd for balance in (await balances.all()).values()] == [Decimal(0)]
    clock.wait_until(clock.at + timedelta(seconds=STALE_S + 1))
    await other.sweep()

    (balance,) = (await balances.all()).values()
    assert (balance.spent_usd, balance.held) == (Decimal("0.004"), {})


async def test_what_is_held_for_a_call_that_still_runs_stays_held(balances: Balances) -> None:
    clock = Clock()
    kept = await keeper(balances, customers("1"), clock=clock)
    await kept.reserve(KEY, "desk", "r1", CENT)
    clock.wait_until(clock.at + timedelta(seconds=STALE_S + 1))

    await kept.sweep()

    (balance,) = (await balances.all()).values()
    assert list(balance.held) == ["acme/c1/r1"]


async def test_what_others_spend_is_seen_and_so_is_a_change_of_the_budgets() -> None:
    balances = MemoryBalances()
    shelf = MemoryShelf()
    await shelf.appoint(encode_budgets(Budgets((customers("1"),))))
    one, other = (Keeper(shelf, balances, MemoryLog(), Clock()) for _ in range(2))
    await one.look()
    await other.look()
    await one.reserve(KEY, "desk", "r1", Decimal("0.85"))

    await other.look()
    assert other.step(*KEY, "desk") == ("warn", Decimal("0.15"))
    await shelf.appoint(encode_budgets(Budgets((customers("2"),))))
    await other.look()
    assert other.step(*KEY, "desk") == ("", Decimal("1.15"))


# -- around a model -----------------------------------------------------------------------------


class Dollar:
    """A book with one price: a dollar for a million tokens."""

    def price(
        self, usage: Usage, *, provider: str, model: str, at: datetime, tier: str = ""
    ) -> tuple[Decimal, Price] | None:
        tokens = (usage.input or 0) + (usage.output or 0)
        return Decimal(tokens) / 1_000_000, Price("test")


class Provider(ScriptedModel):
    """Its replies have no price of their own."""

    async def reply(self, prompt: Prompt, /) -> Reply:
        reply = await super().reply(prompt)
        return Reply(text=reply.text, usage=reply.usage, model="big", provider="acme-ai")


async def arranged(budget: Budget, *replies: Reply | Exception) -> tuple[Arrangement, Keeper]:
    arrangement = Arrangement()
    kept = await keeper(MemoryBalances(), budget, log=arrangement.log, clock=arrangement.clock)
    asker = Asker({"acme-ai": Provider(replies)}, prices=Dollar(), keeper=kept)
    arrangement.workers = {**arrangement.workers, "reason.requested": Reason(asker)}
    arrangement.restart()
    await arrangement.start(Agent("desk", models=("acme-ai/big",)))
    return arrangement, kept


async def test_a_call_is_paid_with_what_it_cost_not_with_its_estimate() -> None:
    arrangement, kept = await arranged(customers("1"), Reply("Hi.", usage=Usage(100, 20)))

    await arrangement.say("Hello")
    await arrangement.run_to_rest()

    assert kept.step("acme", "c1", "desk") == ("", Decimal(1) - Decimal("0.00012"))


async def test_a_call_that_does_not_fit_does_not_go_out_and_ends_its_turn() -> None:
    arrangement, _ = await arranged(customers("0.0001"), Reply("never"))

    await arrangement.say("Hello")
    await arrangement.run_to_rest()

    end = (await arrangement.rest()).events[-1]
    assert isinstance(end, TurnAbandoned)
    assert end.reason == "budget"
    assert "budget of customer acme" in end.detail


@pytest.mark.parametrize(
    ("error", "left"),
    [(ModelFailed("400"), "1"), (ModelBusy("stalled", reason="timeout"), "less")],
)
async def test_a_failure_costs_nothing_unless_the_provider_may_have_charged(
    error: Exception, left: str
) -> None:
    arrangement, kept = await arranged(customers("1"), error, ModelFailed("400"))

    await arrangement.say("Hello")
    await arrangement.run_to_rest()

    rest = kept.step("acme", "c1", "desk")[1]
    assert rest is not None
    assert rest == 1 if left == "1" else Decimal("0.99") < rest < 1

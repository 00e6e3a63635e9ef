"""How far the budgets are used up, and for whom that is told."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from stepfold.gateway.dashboard.budgets import standing
from stepfold.policy.budget import Budget, Budgets, accounts
from stepfold.streams.log import Balance

NOW = datetime(2026, 3, 14, tzinfo=UTC)
EACH = Budget("customer", Decimal(10), period="month")
ONE = Budget("customer", Decimal(4), name="acme", period="day")
AGENT = Budget("agent", Decimal(5), name="help-desk")
LONG = Budget("conversation", Decimal(1), name="acme/c1", period="ever")
ALL = Budgets((EACH, ONE, AGENT, LONG))


def balances(at: datetime = NOW) -> dict[str, Balance]:
    """acme has spent 3 of everything, globex 9."""
    spent = {"acme": 3, "globex": 9}
    return {
        account.name: Balance(Decimal(usd))
        for customer, usd in spent.items()
        for account in accounts(ALL, customer, "c1", "", at)
    }


def told(customer: str | None) -> dict[tuple[str, str, str], tuple[int, str]]:
    return {
        (each.budget.scope, each.name, each.budget.period): (int(each.used_usd), each.step)
        for each in standing(ALL, balances(), customer, NOW)
    }


def test_a_budget_for_each_has_the_accounts_of_this_period() -> None:
    assert told(None) == {
        ("customer", "acme", "month"): (3, ""),
        ("customer", "globex", "month"): (9, "cheaper"),
        ("customer", "acme", "day"): (3, ""),
        ("agent", "help-desk", "month"): (0, ""),
        ("conversation", "acme/c1", "ever"): (3, "refuse"),
    }


def test_a_customer_is_told_of_its_own_and_not_of_those_of_agents() -> None:
    assert set(told("acme")) == {
        ("customer", "acme", "month"),
        ("customer", "acme", "day"),
        ("conversation", "acme/c1", "ever"),
    }
    assert set(told("globex")) == {("customer", "globex", "month")}


def test_what_was_spent_in_another_period_is_over() -> None:
    before = balances(datetime(2026, 2, 1, tzinfo=UTC))

    now = [each for each in standing(ALL, before, "acme", NOW) if each.budget.period != "ever"]

    assert [int(each.used_usd) for each in now] == [0]


def test_a_share_is_never_more_than_all() -> None:
    shares = [each.share for each in standing(ALL, balances(), "acme", NOW)]

    assert sorted(shares) == [0.3, 0.75, 1.0]

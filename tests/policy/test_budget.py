"""Accounts of budgets, and how far one is used up."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from stepfold.events.values import BudgetStep
from stepfold.policy.budget import (
    STEPS,
    Budget,
    Budgets,
    accounts,
    decode_budgets,
    encode_budgets,
    step,
    worse,
)

AT = datetime(2026, 3, 7, 12, tzinfo=UTC)
TEN = Decimal(10)


def names(*budgets: Budget, customer: str = "acme", agent: str = "desk") -> list[str]:
    return [each.name for each in accounts(Budgets(budgets), customer, "c1", agent, AT)]


def test_each_scope_and_period_has_an_account_of_its_own() -> None:
    assert names(
        Budget("customer", TEN, period="day"),
        Budget("agent", TEN),
        Budget("conversation", TEN, period="ever"),
    ) == [
        "customer.each.acme.2026-03-07",
        "agent.each.desk.2026-03",
        "conversation.each.acme.c1.ever",
    ]


def test_a_budget_of_one_name_is_not_that_of_others() -> None:
    acme = Budget("customer", TEN, name="acme")

    assert names(acme) == ["customer.one.acme.2026-03"]
    assert names(acme, customer="other") == []


def test_a_call_without_an_agent_is_paid_by_no_agents_budget() -> None:
    assert names(Budget("agent", TEN), agent="") == []


def test_a_name_that_is_no_token_cannot_meet_another() -> None:
    one, other = (names(Budget("agent", TEN), agent=name)[0] for name in ("a b", "a.b"))

    assert one != other
    assert one.startswith("agent.each.a_b~")


@pytest.mark.parametrize(
    ("used", "reached"),
    [
        ("7.99", ""),
        ("8", "warn"),
        ("9", "cheaper"),
        ("9.5", "read_only"),
        ("9.999", "read_only"),
        ("10", "refuse"),
        ("11", "refuse"),
    ],
)
def test_steps_come_on_the_way_to_the_limit(used: str, reached: BudgetStep) -> None:
    assert step(Budget("customer", TEN), Decimal(used)) == reached


def test_a_step_at_one_never_comes() -> None:
    bare = Budget("customer", TEN, warn_at=TEN, cheaper_at=TEN, read_only_at=TEN)

    assert step(bare, Decimal("9.99")) == ""


def test_of_two_budgets_the_worse_counts() -> None:
    assert [worse(each, "cheaper") for each in STEPS] == [
        "cheaper",
        "cheaper",
        "cheaper",
        "read_only",
        "refuse",
    ]


def test_budgets_survive_their_encoding() -> None:
    budgets = Budgets((Budget("customer", Decimal("0.10"), name="acme", period="day"),))

    assert decode_budgets(encode_budgets(budgets)) == budgets

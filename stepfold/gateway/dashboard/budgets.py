"""How far the budgets are used up in this period."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal

from msgspec import Struct

from stepfold.app import Opened
from stepfold.events.values import BudgetStep
from stepfold.gateway.dashboard.page import Visit
from stepfold.gateway.refusals import refusing
from stepfold.policy.budget import ANY, Budget, Budgets, accounts, decode_budgets, step
from stepfold.streams.log import Balance


class Standing(Struct, frozen=True):
    """One account; `step` is how far it is used up, empty = not far."""

    budget: Budget
    name: str
    used_usd: Decimal
    step: BudgetStep

    @property
    def share(self) -> float:
        """0 to 1, of the limit."""
        limit = self.budget.limit_usd
        return min(float(self.used_usd / limit), 1.0) if limit else 1.0


async def seen_by(visit: Visit) -> list[Standing]:
    """FrontRefused (503)."""
    with refusing():
        return await standings(visit.front.found, visit.customer, visit.now)


async def standings(found: Opened, customer: str | None, now: datetime) -> list[Standing]:
    """Those that are most used up first; only those of `customer`, unless None."""
    raw = await found.budgets.appointed()
    budgets = decode_budgets(raw) if raw is not None else Budgets()
    if not budgets.budgets:
        return []
    told = standing(budgets, await found.balances.all(), customer, now)
    return sorted(told, key=lambda each: (-each.share, each.name))


def standing(
    budgets: Budgets, balances: Mapping[str, Balance], customer: str | None, now: datetime
) -> Iterator[Standing]:
    for budget in budgets.budgets:
        for account, name in _accounts(budget, balances, now):
            whose = name.partition("/")[0] if budget.scope != "agent" else None
            if customer is None or whose == customer:
                used = balances.get(account, Balance()).used_usd
                yield Standing(budget, name, used, step(budget, used))


def _accounts(
    budget: Budget, balances: Mapping[str, Balance], now: datetime
) -> Iterator[tuple[str, str]]:
    """Account and whose it is. A budget for each has the accounts that were used in this period."""
    customer, _, conversation = budget.name.partition("/")
    (own,) = accounts(Budgets((budget,)), customer, conversation, customer, now)
    if budget.name != ANY:
        yield own.name, budget.name
        return
    scope, shared, *_, now_called = own.name.split(".")
    for account in balances:
        if account.startswith(f"{scope}.{shared}.") and account.endswith(f".{now_called}"):
            yield account, "/".join(account.split(".")[2:-1])

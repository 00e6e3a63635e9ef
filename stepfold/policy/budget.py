"""What may be spent: by a customer, an agent or a conversation, in a day, a month or for good.

A budget has accounts, one for each name and period. On the way to its limit come steps: a warning,
only the cheapest model, only tools that read; then nothing is asked any more.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Literal

import msgspec
from msgspec import Struct

from stepfold.events.values import BudgetStep

Scope = Literal["customer", "agent", "conversation"]
Period = Literal["day", "month", "ever"]
ANY = "*"
_UNSAFE = re.compile(r"[^A-Za-z0-9_=+@:~-]")
STEPS: tuple[BudgetStep, ...] = ("", "warn", "cheaper", "read_only", "refuse")


class Budget(Struct, frozen=True, omit_defaults=True):
    """`name` is that of a customer, an agent or customer/conversation; `*` gives each one an
    account of its own. The steps begin at a share of the limit, 1 = never.
    """

    scope: Scope
    limit_usd: Decimal
    name: str = ANY
    period: Period = "month"
    warn_at: Decimal = Decimal("0.8")
    cheaper_at: Decimal = Decimal("0.9")
    read_only_at: Decimal = Decimal("0.95")


class Budgets(Struct, frozen=True, omit_defaults=True):
    budgets: tuple[Budget, ...] = ()


class Account(Struct, frozen=True):
    """Where a budget keeps what one name has spent in one period."""

    name: str
    budget: Budget


def accounts(
    budgets: Budgets, customer: str, conversation: str, agent: str, at: datetime
) -> Iterator[Account]:
    """The accounts that a call in this conversation is paid from."""
    names = {"customer": customer, "agent": agent, "conversation": f"{customer}/{conversation}"}
    for budget in budgets.budgets:
        name = names[budget.scope]
        if name and budget.name in (ANY, name):
            yield Account(_account(budget, name, at), budget)


def _account(budget: Budget, name: str, at: datetime) -> str:
    period = {"day": f"{at:%Y-%m-%d}", "month": f"{at:%Y-%m}", "ever": "ever"}[budget.period]
    shared = "each" if budget.name == ANY else "one"
    return f"{budget.scope}.{shared}.{'.'.join(map(_token, name.split('/')))}.{period}"


def _token(name: str) -> str:
    """The name as a token of a subject; one that is none gets the hash of what it really is."""
    safe = _UNSAFE.sub("_", name)
    return safe if safe == name else f"{safe}~{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def step(budget: Budget, used_usd: Decimal) -> BudgetStep:
    """How far a budget is used up."""
    if used_usd >= budget.limit_usd:
        return "refuse"
    share = used_usd / budget.limit_usd
    begins: tuple[tuple[Decimal, BudgetStep], ...] = (
        (budget.read_only_at, "read_only"),
        (budget.cheaper_at, "cheaper"),
        (budget.warn_at, "warn"),
    )
    return next((name for begin, name in begins if share >= begin), "")


def worse(one: BudgetStep, other: BudgetStep) -> BudgetStep:
    return max(one, other, key=STEPS.index)


def encode_budgets(budgets: Budgets) -> bytes:
    return msgspec.json.encode(budgets, order="sorted")


def decode_budgets(raw: bytes) -> Budgets:
    return msgspec.json.decode(raw, type=Budgets)

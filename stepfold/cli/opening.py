"""What the accounts of new budgets begin with: what the log says was spent in their period while
nobody kept them. Calls that run in that moment are in no account.

An account that workers keep is left alone, since what is spent is in it, or held in it. Doing this
twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from stepfold.app import Opened
from stepfold.cli.since import literal
from stepfold.cli.viewing import Question, ask_views
from stepfold.policy.budget import (
    ANY,
    Budget,
    Budgets,
    Period,
    Scope,
    accounts,
    decode_budgets,
)
from stepfold.settings import Settings
from stepfold.streams.log import Balances, LogConflict, LogUnavailable

Key = tuple[Scope, str, Period]
ACCOUNTS_MAX = 10_000
"""Accounts of one budget that begin with what was spent: the dearest ones."""
RACES_MAX = 100
NAMES: Mapping[Scope, str] = {
    "customer": "customer",
    "agent": "if(what = 'generate', NULL, agent)",
    "conversation": "concat(customer, '/', conversation)",
}
"""Whose account a paid thing is in, as `spend` has it. A generation is asked for by no agent."""


class Opening(Struct, frozen=True):
    """An account and what it begins with; `unpriced` calls of its period are not in it."""

    scope: Scope
    name: str
    period: Period
    spent_usd: Decimal
    unpriced: int


class Openings(Struct, frozen=True):
    """`more`: there were more accounts than ACCOUNTS_MAX, and the rest begin at zero."""

    accounts: tuple[Opening, ...] = ()
    more: bool = False


class _Spent(Struct, frozen=True):
    name: str
    usd: Decimal | None
    unpriced: int


async def open_accounts(
    found: Opened, here: Settings, budgets: Sequence[Budget], now: datetime
) -> Openings:
    """Put what was spent into the accounts of `budgets` that nobody has kept so far."""
    there, kept = await found.balances.all(), await _in_force(found)
    begun: list[Opening] = []
    more = False
    for budget in budgets:
        told = await ask_views(found, here, _question(budget, now))
        more = more or told.about.truncated
        for spent in msgspec.json.decode(told.body, type=list[_Spent]):
            account, usd = _account(budget, spent.name, now), spent.usd or Decimal(0)
            if account in there and (_key(budget) in kept or there[account].spent_usd >= usd):
                continue
            if usd:
                await _begin(found.balances, account, usd)
            begun.append(Opening(budget.scope, spent.name, budget.period, usd, spent.unpriced))
    return Openings(tuple(begun), more)


async def _in_force(found: Opened) -> frozenset[Key]:
    """Budgets that cannot be read keep no account: workers refuse them, and others replace them."""
    raw = await found.budgets.appointed()
    try:
        budgets = decode_budgets(raw) if raw is not None else Budgets()
    except msgspec.DecodeError:
        return frozenset()
    return frozenset(map(_key, budgets.budgets))


def _key(budget: Budget) -> Key:
    return budget.scope, budget.name, budget.period


def _account(budget: Budget, name: str, now: datetime) -> str:
    customer, _, conversation = name.partition("/")
    (account,) = accounts(Budgets((budget,)), customer, conversation, name, now)
    return account.name


def _question(budget: Budget, now: datetime) -> Question:
    """What was spent under each name, the dearest first."""
    wanted = [f"recorded_at >= {literal(begin)}"] if (begin := _begin_of(budget, now)) else []
    if budget.name != ANY:
        wanted.append("name = '{}'".format(budget.name.replace("'", "''")))
    sql = f"""
        SELECT name, sum(cost_usd) AS usd, count(*) FILTER (unpriced) AS unpriced
        FROM (
            SELECT {NAMES[budget.scope]} AS name, recorded_at, cost_usd, unpriced FROM spend
        )
        WHERE {" AND ".join(("name <> ''", *wanted))}
        GROUP BY name
        HAVING sum(cost_usd) > 0 OR count(*) FILTER (unpriced) > 0
        ORDER BY usd DESC NULLS LAST, name
    """
    return Question(sql, "json", rows_max=ACCOUNTS_MAX)


def _begin_of(budget: Budget, now: datetime) -> datetime | None:
    day = now.replace(hour=0, minute=0, second=0, microsecond=0)
    begins = {"day": day, "month": day.replace(day=1)}
    return begins.get(budget.period)


async def _begin(balances: Balances, account: str, usd: Decimal) -> None:
    for _ in range(RACES_MAX):
        balance = await balances.get(account)
        if balance.spent_usd >= usd:
            return
        try:
            await balances.put(account, replace(balance, spent_usd=usd))
        except LogConflict:
            continue
        return
    raise LogUnavailable(f"account {account}: lost {RACES_MAX} races; apply the budgets again")

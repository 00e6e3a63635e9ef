"""What it costs, by whom and by what; what has no price is told, not left out."""

from __future__ import annotations

import asyncio
from decimal import Decimal

from starlette.responses import Response

from stepfold.gateway.dashboard.budgets import seen_by
from stepfold.gateway.dashboard.page import Visit
from stepfold.gateway.dashboard.periods import PERIODS, Period, before, period
from stepfold.gateway.dashboard.queries import unpriced_sql
from stepfold.gateway.dashboard.tables import exported, table
from stepfold.gateway.dashboard.words import sum_of

Column = tuple[str, str, str]
"""Name in the query, title, how its values are shown."""

CALLS, COST = ("calls", "Calls", "number"), ("cost_usd", "Cost", "money")
TOKENS = (("input_tokens", "Tokens in", "number"), ("output_tokens", "Tokens out", "number"))
TABLES: tuple[tuple[str, str, tuple[Column, ...]], ...] = (
    ("cost_by_day", "By day", (("day", "Day", "day"), COST, *TOKENS)),
    (
        "cost_by_model",
        "By model",
        (
            ("model", "Model", "model"),
            COST,
            CALLS,
            ("failed", "Failed", "number"),
            *TOKENS,
            ("provider", "Provider", "text"),
        ),
    ),
    ("cost_by_customer", "By customer", (("customer", "Customer", "customer"), COST, CALLS)),
    (
        "cost_by_agent",
        "By agent",
        (("agent", "Agent", "agent"), COST, CALLS, ("conversations", "Conversations", "number")),
    ),
    (
        "cost_by_task",
        "By task and route",
        (("task", "Task", "task"), ("route", "Route", "text"), COST, CALLS),
    ),
    (
        "cost_by_conversation",
        "Dearest conversations",
        (("conversation", "Conversation", "conversation"), COST, CALLS),
    ),
)
"""What it costs stands next to what costs it: a phone shows the first columns."""

SHOWN, DAYS_SHOWN = 15, 1_000


async def look(visit: Visit) -> Response:
    over = period(visit.asked("period"), "month")
    since = over.since(visit.now)
    if found := await exported(visit, {name: {"since": since} for name, _, _ in TABLES}):
        return found
    told, earlier, budgets = await asyncio.gather(
        asyncio.gather(
            *(table(visit, name, since=since, rows=_rows(name)) for name, _, _ in _wanted(visit))
        ),
        _earlier(visit, over),
        seen_by(visit),
    )
    days = told[0].rows
    return visit.page(
        "cost.html",
        over=over,
        all_periods=PERIODS.values(),
        tables=[
            (each, title, columns)
            for each, (_, title, columns) in zip(told, _wanted(visit), strict=True)
        ],
        total=(total := sum_of(row["cost_usd"] for row in days)),
        earlier=earlier,
        change=change(total, earlier),
        budgets=budgets,
        unpriced_sql=unpriced_sql(since),
        unpriced=sum(row["unpriced"] for row in days),
        tokens=sum((row["input_tokens"] or 0) + (row["output_tokens"] or 0) for row in days),
        shown=SHOWN,
    )


async def _earlier(visit: Visit, over: Period) -> Decimal | None:
    """What as long a time before this period cost; None where that is not known."""
    since = before(over, visit.now)
    if since is None:
        return None
    (told,) = await visit.rows("cost_between", since=since, until=over.since(visit.now))
    return None if told["cost_usd"] is None else Decimal(told["cost_usd"])


def change(total: Decimal | None, earlier: Decimal | None) -> float | None:
    """How much more or less, of what it was; None where there is nothing to hold it against."""
    return float(total / earlier - 1) if total is not None and earlier else None


def _wanted(visit: Visit) -> list[tuple[str, str, tuple[Column, ...]]]:
    """One customer alone needs no table of customers."""
    return [each for each in TABLES if visit.customer is None or each[0] != "cost_by_customer"]


def _rows(name: str) -> int:
    return DAYS_SHOWN if name == "cost_by_day" else SHOWN

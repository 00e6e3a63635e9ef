"""What goes on, in five seconds: what needs a person first, then the numbers, then the latest."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from msgspec import Struct
from starlette.responses import Response

from stepfold.gateway.asking import Row
from stepfold.gateway.dashboard.budgets import Standing, seen_by
from stepfold.gateway.dashboard.conversations import listed
from stepfold.gateway.dashboard.page import Visit
from stepfold.gateway.dashboard.periods import PERIODS
from stepfold.gateway.dashboard.words import count, failure, moment, sum_of
from stepfold.gateway.refusals import refusing
from stepfold.streams.config import STEPS
from stepfold.streams.jetstream import standing

LATEST = 8
WAITING_MAX = 100
SHOWN_MAX = 5
GRAVE = ("tool.unknown", "conversation.stopped", "turn.abandoned", "generation.abandoned")
BEHIND = 1_000
"""Steps that nobody has handled yet, from which it is too much."""


class Bar(Struct, frozen=True):
    """A day of a small picture; `height` of 100."""

    title: str
    cost_usd: Decimal | None
    unpriced: int
    height: float


class Lag(Struct, frozen=True):
    """Steps that the views have not read, and that wait for workers; None where it is not told."""

    views: int
    lanes: dict[str, int] | None

    @property
    def most(self) -> int:
        return max((self.views, *(self.lanes or {}).values()))


async def look(visit: Visit) -> Response:
    seen = await visit.seen()
    since, week = PERIODS["day"].since(visit.now), PERIODS["week"].since(visit.now)
    (
        ((states,), waiting, (failures, details), latest),
        (days, times, lag, budgets),
    ) = await asyncio.gather(
        asyncio.gather(
            visit.rows("now"),
            visit.rows("approvals_waiting", tool=None, rows=WAITING_MAX),
            _failures(visit, since, week),
            listed(visit, rows=LATEST),
        ),
        asyncio.gather(
            visit.rows("cost_by_day", since=week),
            visit.rows("turn_times", since=since, unit="day", all=True),
            lagging(visit),
            seen_by(visit),
        ),
    )
    needs = needed(states, waiting, failures, budgets)
    values = {
        "seen": seen,
        "states": states,
        "waiting": waiting,
        "asked": len({(row["customer"], row["conversation"]) for row in waiting}),
        "shown_max": SHOWN_MAX,
        "failures": failures,
        "details": details,
        "failed_most": _most(failures),
        "failed": sum(row["times"] for row in failures if row["kind"] != "tool.unknown"),
        "unknown": unknown(failures),
        "bars": bars(days, visit),
        "week_usd": sum_of(row["cost_usd"] for row in days),
        "times": times[0] if times else None,
        "latest": latest,
        "lag": lag,
        "behind": BEHIND,
        "budgets": budgets,
        "needs": needs,
        "needs_tone": tone(states, failures) if needs else "good",
    }
    return visit.page("overview_now.html" if visit.part == "now" else "overview.html", **values)


async def lagging(visit: Visit) -> Lag:
    """What waits for workers is of all customers: only an operator is told."""
    seen = await visit.seen()
    with refusing():
        last = await visit.front.found.log.last()
        lanes = None
        if visit.session.operator:
            found = await standing(visit.front.found.client, STEPS)
            lanes = {name: waiting for name, (waiting, _) in sorted(found.items())}
    return Lag(max(last - seen, 0), lanes)


def needed(
    states: Row, waiting: Sequence[Row], failures: Sequence[Row], budgets: Sequence[Standing]
) -> list[str]:
    """What a person must look at, in words; nothing when nothing needs one."""
    stopped = states["stopped"] + states["unreadable"]
    abandoned = sum(row["times"] for row in failures if row["kind"] == "turn.abandoned")
    used_up = sum(bool(each.step) for each in budgets)
    told = (
        (len(waiting), "approval waits", "approvals wait"),
        (unknown(failures), "tool outcome is unknown", "tool outcomes are unknown"),
        (stopped, "conversation is stopped", "conversations are stopped"),
        (abandoned, "turn was given up in 24 h", "turns were given up in 24 h"),
        (used_up, "budget is nearly used up", "budgets are nearly used up"),
    )
    return [count(times, one, many) for times, one, many in told if times]


def tone(states: Row, failures: Sequence[Row]) -> str:
    """Something broke, or somebody is only asked."""
    broken = states["stopped"] + states["unreadable"]
    return "bad" if broken or any(row["kind"] == "turn.abandoned" for row in failures) else "warn"


def _gravity(row: Row) -> int:
    """What a contact felt comes before what was made good again."""
    return GRAVE.index(row["kind"]) if row["kind"] in GRAVE else len(GRAVE)


async def _failures(
    visit: Visit, since: datetime, unknown_since: datetime
) -> tuple[list[Row], dict[int, str]]:
    """The gravest first, and what the steps that are shown say beside their reason."""
    told = await visit.rows("failures", since=since, unknown_since=unknown_since)
    failures = sorted(told, key=_gravity)
    if not failures:
        return [], {}
    positions = tuple(row["position"] for row in failures[:SHOWN_MAX])
    told = await visit.rows("details", positions=positions)
    return failures, {row["position"]: row["detail"] for row in told if row["detail"]}


def _most(failures: Sequence[Row]) -> str:
    """What failed most often."""
    told = [row for row in failures if row["kind"] != "tool.unknown"]
    most = max(told, key=lambda row: row["times"], default=None)
    return f"most: {failure(most['kind'])}" if most else "none in 24 h"


def unknown(failures: Sequence[Row]) -> int:
    return sum(row["times"] for row in failures if row["kind"] == "tool.unknown")


def bars(days: Sequence[Row], visit: Visit) -> list[Bar]:
    """The last seven days, today last; a day without a paid call is there too."""
    by_day = {row["day"]: row for row in days}
    today = visit.now.date()
    week = [today - timedelta(days=back) for back in range(6, -1, -1)]
    costs = {day: _cost(by_day.get(f"{day}")) for day in week}
    most = max((each or Decimal(0) for each in costs.values()), default=Decimal(0))
    return [
        Bar(
            f"{moment(f'{day}T00:00:00'):%a %d %b}",
            costs[day],
            int(by_day[f"{day}"]["unpriced"]) if f"{day}" in by_day else 0,
            float((costs[day] or Decimal(0)) / most * 100) if most else 0.0,
        )
        for day in week
    ]


def _cost(day: Row | None) -> Decimal | None:
    """A day without a paid call cost nothing; what one without a known price did, nobody knows."""
    if day is None:
        return Decimal(0)
    return None if day["cost_usd"] is None else Decimal(day["cost_usd"])

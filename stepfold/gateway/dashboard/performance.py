"""How quickly turns and models answer, how often they fail, and how far behind who works is."""

from __future__ import annotations

import asyncio

from starlette.responses import Response

from stepfold.gateway.dashboard.overview import lagging
from stepfold.gateway.dashboard.page import Visit
from stepfold.gateway.dashboard.periods import PERIODS, period
from stepfold.gateway.dashboard.tables import exported, table

TIMES_MAX = 1_000


async def look(visit: Visit) -> Response:
    over = period(visit.asked("period"), "week")
    since = over.since(visit.now)
    times = {"since": since, "unit": over.unit, "all": False}
    failed: dict[str, object] = {"since": since, "unknown_since": since}
    tables: dict[str, dict[str, object]] = {
        "turn_times": times,
        "model_times": {"since": since},
        "failures": failed,
    }
    if found := await exported(visit, tables):
        return found
    turns, models, failures, whole, lag = await asyncio.gather(
        table(visit, "turn_times", **times, rows=TIMES_MAX),
        table(visit, "model_times", since=since),
        table(visit, "failures", **failed),
        visit.rows("turn_times", **times | {"all": True}),
        lagging(visit),
    )
    return visit.page(
        "performance.html",
        over=over,
        all_periods=PERIODS.values(),
        turns=turns,
        models=models,
        failures=failures,
        whole=whole[0] if whole else None,
        lag=lag,
    )

"""Tools and what became of their calls, those whose outcome nobody knows first."""

from __future__ import annotations

import asyncio

from starlette.responses import Response

from stepfold.gateway.dashboard.page import Visit
from stepfold.gateway.dashboard.periods import PERIODS, period
from stepfold.gateway.dashboard.tables import exported, table

STATUS = ("unknown", "failed", "refused", "running", "requested", "returned")
SHOWN = 50


async def look(visit: Visit) -> Response:
    over = period(visit.asked("period"), "week")
    status = visit.asked("status")
    since = over.since(visit.now)
    narrowed = {
        "since": since,
        "tool": visit.asked("tool") or None,
        "status": status if status in STATUS else None,
    }
    if found := await exported(visit, {"tools": {"since": since}, "tool_calls": narrowed}):
        return found
    tools, calls = await asyncio.gather(
        table(visit, "tools", since=since), table(visit, "tool_calls", **narrowed, rows=SHOWN)
    )
    return visit.page(
        "tools.html",
        over=over,
        all_periods=PERIODS.values(),
        tools=tools,
        calls=calls,
        statuses=STATUS,
        unknown=sum(row["unknown"] for row in tools.rows),
        shown=SHOWN,
    )

"""What people asked and the knowledge could not answer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from starlette.responses import Response

from stepfold.gateway.dashboard.conversations import NAMES_MAX
from stepfold.gateway.dashboard.page import Visit
from stepfold.gateway.dashboard.tables import exported, table

ANSWERS = 2_000
"""So many of the latest answers are looked through."""
SHOWN = 50
OUTCOMES: Mapping[str, str] = {
    "refusal": "refused", "hand_off": "passed on", "answer": "no citation",
}  # fmt: skip


async def look(visit: Visit) -> Response:
    outcome, agent = visit.asked("outcome"), visit.asked("agent") or None
    asked = {"answers": ANSWERS, "agent": agent}
    narrowed = asked | {"outcome": outcome if outcome in OUTCOMES else None}
    if found := await exported(visit, {"unanswered": narrowed}):
        return found
    lacking, (whole,), names = await asyncio.gather(
        table(visit, "unanswered", **narrowed, rows=SHOWN),
        visit.rows("answers", **asked),
        visit.rows("names", rows=NAMES_MAX),
    )
    return visit.page(
        "unanswered.html",
        lacking=lacking,
        whole=whole,
        most=ANSWERS,
        shown=SHOWN,
        outcomes=OUTCOMES,
        agents=[row["name"] for row in names if row["what"] == "agent"],
        customers=[row["name"] for row in names if row["what"] == "customer"],
    )

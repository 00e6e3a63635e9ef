"""What people asked and the knowledge could not answer."""

from __future__ import annotations

import asyncio

from starlette.responses import Response

from stepfold.gateway.dashboard.page import Visit
from stepfold.gateway.dashboard.tables import exported, table

ANSWERS = 2_000
"""So many of the latest answers are looked through."""
SHOWN = 50


async def look(visit: Visit) -> Response:
    asked = {"answers": ANSWERS}
    if found := await exported(visit, {"unanswered": asked}):
        return found
    lacking, (whole,) = await asyncio.gather(
        table(visit, "unanswered", **asked, rows=SHOWN), visit.rows("answers", **asked)
    )
    return visit.page("unanswered.html", lacking=lacking, whole=whole, most=ANSWERS, shown=SHOWN)

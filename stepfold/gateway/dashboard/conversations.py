"""The list of conversations, kept up to date while it is looked at."""

from __future__ import annotations

import asyncio

from starlette.responses import Response

from stepfold.gateway.asking import Row
from stepfold.gateway.dashboard.page import Visit
from stepfold.gateway.dashboard.periods import PERIODS, Period, period
from stepfold.gateway.dashboard.queries import EXPORTED_MAX, SEARCHED_STEPS
from stepfold.gateway.dashboard.tables import INERT, file, form_of

PAGE = 50
END = 2**62
STATUS = (
    "running", "waiting", "failed", "rated bad", "unpriced", "stopped", "unreadable", "at rest",
)  # fmt: skip
KEPT = ("version", "model", "task")
"""Conditions that links bring, and no field of the form."""
TEXT_CHARS_MAX = 200
NAMES_MAX = 200


async def look(visit: Visit) -> Response:
    if visit.asked("export"):
        return await _export(visit)
    if visit.part == "list":
        return visit.page("conversations_list.html", **await _list(visit))
    seen = await visit.seen()
    names, told = await asyncio.gather(visit.rows("names", rows=NAMES_MAX), _list(visit))
    return visit.page(
        "conversations.html",
        agents=[row["name"] for row in names if row["what"] == "agent"],
        customers=[row["name"] for row in names if row["what"] == "customer"],
        statuses=STATUS,
        kept=[(name, visit.asked(name)) for name in KEPT if visit.asked(name)],
        over=_over(visit),
        all_periods=PERIODS.values(),
        seen=seen,
        **told,
    )


async def _list(visit: Visit) -> dict[str, object]:
    rows = await listed(visit, rows=PAGE + 1)
    more = rows[PAGE - 1]["position"] if len(rows) > PAGE else None
    return {"rows": rows[:PAGE], "more": more, "searched": SEARCHED_STEPS}


async def listed(visit: Visit, *, rows: int) -> list[Row]:
    """What is asked for in the address: first which ones, then what is shown of them."""
    page = await visit.rows("conversations_page", **await _conditions(visit), rows=rows)
    if not page:
        return []
    return await visit.rows("conversations", **named(page))


def named(page: list[Row]) -> dict[str, object]:
    return {
        "names": tuple(sorted({row["conversation"] for row in page})),
        "positions": tuple(row["position"] for row in page),
    }


async def _conditions(visit: Visit) -> dict[str, object]:
    status, before = visit.asked("status"), visit.asked("before")
    text = visit.asked("q")[:TEXT_CHARS_MAX].lower()
    digest, over = visit.asked("version"), _over(visit)
    searched = 0
    if text or digest:
        searched = max(await visit.seen() - SEARCHED_STEPS, 0)
    return {
        "status": status if status in STATUS else None,
        "agent": visit.asked("agent") or None,
        "model": visit.asked("model") or None,
        "task": visit.asked("task") or None,
        "since": None if over.days is None else over.since(visit.now),
        "digest": digest or None,
        "text": text or None,
        "searched": searched,
        "before": int(before) if before.isdecimal() and len(before) < 19 else END,  # noqa: PLR2004
    }


def _over(visit: Visit) -> Period:
    return period(visit.asked("period"), "all")


async def _export(visit: Visit) -> Response:
    form = form_of(visit)
    conditions = await _conditions(visit)
    page = await visit.rows("conversations_page", **conditions, rows=EXPORTED_MAX)
    told = visit.parameters(**named(page) if page else {"names": ("",), "positions": (0,)})
    body = await visit.questions.exported("conversations", told, INERT.get(form, form))
    return file("conversations", form, body)

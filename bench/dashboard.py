"""Each query of the dashboard over a log of a million steps, and of one customer of seven.

    python -m bench.dashboard [--steps N] [--rounds N] [--quick] [--json] [--views FILE]

`--views` keeps the views in FILE, so that another run need not make them again.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

from stepfold.gateway.dashboard.overview import LATEST
from stepfold.gateway.dashboard.periods import PERIODS
from stepfold.gateway.dashboard.queries import QUERIES, SEARCHED_STEPS, sql_of
from stepfold.projections.views import Views
from tests.projections.made import BEGIN, DIGEST, log

STEPS_PER_CONVERSATION = 10
AT_ONCE = 500
BATCH = 20_000
LIMIT_MS = 300.0
PAGE = 50
CUSTOMER = "customer-3"
AGO = timedelta(days=30)
OVERVIEW = (
    "now",
    "approvals_waiting",
    "failures",
    "cost_by_day",
    "turn_times",
    "conversations_page",
    "conversations",
    "details",
    "position",
)

Row = dict[str, object]

ASKED: Mapping[str, tuple[str, Mapping[str, object]]] = {
    **{name: (name, {}) for name in QUERIES},
    "turn_times, all together": ("turn_times", {"all": True}),
    **{
        f"conversations_page, {told}": ("conversations_page", narrowed)
        for told, narrowed in {
            "running": {"status": "running"},
            "waiting": {"status": "waiting"},
            "failed": {"status": "failed"},
            "unpriced": {"status": "unpriced"},
            "rated bad": {"status": "rated bad"},
            "of a model": {"model": "m-1"},
            "of a task": {"task": "converse"},
            "of an agent": {"agent": "help-desk"},
            "of a version": {"digest": DIGEST},
            "with a text": {"text": "refund fee café"},
            "with no such text": {"text": "zzz"},
        }.items()
    },
}


def made(path: Path, steps: int) -> Views:
    views = Views.open(path)
    if views.position == 0:
        stored = log(1, steps // STEPS_PER_CONVERSATION, at_once=AT_ONCE)
        for start in range(0, len(stored), BATCH):
            views.fold(stored[start : start + BATCH])
    return views


def parameters(views: Views, customer: str | None, rows: int = PAGE) -> dict[str, object]:
    """As the pages ask at the end of the log, for as long a time as they can."""
    ((now,),) = _values(views, "SELECT max(recorded_at) FROM steps")
    page = _values(views, f"SELECT * FROM _log.tails ORDER BY position DESC LIMIT {rows}")
    return {
        "customer": customer,
        "names": None,
        "positions": (views.position,),
        "now": now,
        "since": BEGIN - AGO,
        "unknown_since": BEGIN - AGO,
        "until": now,
        "before": views.position + 1,
        "searched": max(0, views.position - SEARCHED_STEPS),
        "agent": None,
        "digest": None,
        "text": None,
        "status": None,
        "model": None,
        "task": None,
        "outcome": None,
        "tool": None,
        "unit": "hour",
        "all": False,
        "rows": 100,
        "answers": 2_000,
        "page": page,
    }


def glance(views: Views, customer: str | None) -> dict[str, object]:
    """As the overview asks: of the last day, what it cost in the last seven, the latest few."""
    told = parameters(views, customer, LATEST)
    now = told["now"]
    assert isinstance(now, datetime)
    week = PERIODS["week"].since(now.replace(tzinfo=UTC))
    day = {"since": PERIODS["day"].since(now.replace(tzinfo=UTC)), "unknown_since": week}
    return told | day | {"week": week, "rows": LATEST, "all": True}


def _named(page: object) -> dict[str, object]:
    assert isinstance(page, list)
    names = tuple(sorted({str(row[1]) for row in page}))
    return {"names": names, "positions": tuple(int(row[2]) for row in page)}


def _values(views: Views, sql: str) -> list[tuple[object, ...]]:
    return [tuple(row.values()) for row in views.query(sql).table.to_pylist()]


def run(views: Views, rounds: int) -> Iterable[Row]:
    for name, (query, narrowed) in ASKED.items():
        row: Row = {"query": name}
        for whose, customer in (("all", None), ("one", CUSTOMER)):
            told = parameters(views, customer) | dict(narrowed)
            page = told.pop("page")
            if query == "conversations":
                told |= _named(page)
            sql = sql_of(query, told)
            took = [views.query(sql).elapsed_ms for _ in range(rounds)]
            row[f"{whose}_ms"] = round(statistics.median(took), 1)
            row[f"{whose}_max_ms"] = round(max(took), 1)
        yield row


def first_page(views: Views, rounds: int) -> Row:
    """The questions of the overview, all at once as the page asks them."""
    row: Row = {"query": "the overview, all at once"}
    for whose, customer in (("all", None), ("one", CUSTOMER)):
        took = []
        told = glance(views, customer)
        more = {"conversations": _named(told.pop("page")), "cost_by_day": {"since": told["week"]}}
        asked = [sql_of(name, told | more.get(name, {})) for name in OVERVIEW]
        for _ in range(rounds):
            begin = time.perf_counter()
            with ThreadPoolExecutor(len(OVERVIEW)) as threads:
                list(threads.map(views.query, asked))
            took.append((time.perf_counter() - begin) * 1e3)
        row[f"{whose}_ms"] = round(statistics.median(took), 1)
        row[f"{whose}_max_ms"] = round(max(took), 1)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.dashboard", description=__doc__)
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--views", type=Path, default=None)
    parser.add_argument("--quick", action="store_true", help="a tenth of the steps")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    steps = asked.steps // (10 if asked.quick else 1)
    with (
        tempfile.TemporaryDirectory(prefix="stepfold-bench-") as folder,
        made(asked.views or Path(folder) / "views.duckdb", steps) as views,
    ):
        rows = list(run(views, asked.rounds))
        page = first_page(views, asked.rounds)
        size = views.position
    slow = [row["query"] for row in (page, *rows) if float(str(row["all_ms"])) > LIMIT_MS]
    rows.append({"steps": size, "limit_ms": LIMIT_MS, "slower": slow})
    for row in (page, *rows):
        print(json.dumps(row) if asked.json else _told(row))


def _told(row: Row) -> str:
    if "query" not in row:
        return "  ".join(f"{name} {value}" for name, value in row.items())
    times = f"{row['all_ms']:>8} {row['all_max_ms']:>8} {row['one_ms']:>8} {row['one_max_ms']:>8}"
    return f"{row['query']:<34}{times}"


if __name__ == "__main__":
    main()

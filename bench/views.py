"""The views: steps folded a second, from memory and from a file, and how fast SQL answers.

    python -m bench.views [--events N] [--batch N] [--quick] [--json]

`python_us_per_step` is the GIL's share of a fold: the time in which a reader on the same event loop
cannot read. While a fold runs, the queries are asked again from another thread.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from stepfold.events.steps import Steps
from stepfold.projections.views import Views, rebuilding
from stepfold.projections.views.batch import columns
from tests.projections.made import Stored, archive, log

STEPS_PER_CONVERSATION = 10
AT_ONCE = 500
ROUNDS = 5
QUERIES = {
    "cost_by_model": "FROM cost_by_model",
    "cost_by_customer": "FROM cost_by_customer",
    "cost_by_day": "FROM cost_by_day",
    "one_conversation": "FROM steps WHERE customer = 'customer-3' AND conversation = 'v777'",
    "one_conversations_messages": (
        "FROM messages WHERE customer = 'customer-3' AND conversation = 'v777'"
    ),
    "turns_by_outcome": "SELECT outcome, count(*), median(elapsed_ms) FROM turns GROUP BY ALL",
    "tools_by_status": "SELECT name, status, count(*) FROM tool_calls GROUP BY ALL",
    "conversations_by_state": "SELECT state, count(*) FROM conversations GROUP BY ALL",
}

Row = dict[str, object]


def fold(views: Views, steps: Sequence[Stored], size: int) -> float:
    """Steps a second."""
    begin = time.perf_counter()
    for start in range(0, len(steps), size):
        views.fold(steps[start : start + size])
    return len(steps) / (time.perf_counter() - begin)


def python_us(steps: Sequence[Stored], size: int) -> float:
    begin = time.perf_counter()
    for start in range(0, len(steps), size):
        columns(Steps.of(steps[start : start + size]))
    return (time.perf_counter() - begin) / len(steps) * 1e6


def asked(views: Views, *, as_of: int | None = None) -> dict[str, list[float]]:
    return {
        name: [views.query(sql, as_of=as_of).elapsed_ms for _ in range(ROUNDS)]
        for name, sql in QUERIES.items()
    }


def asked_while_folding(views: Views, steps: Sequence[Stored], size: int) -> dict[str, list[float]]:
    folding = threading.Thread(target=fold, args=(views, steps, size))
    seen: dict[str, list[float]] = {name: [] for name in QUERIES}
    folding.start()
    while folding.is_alive():
        for name, sql in QUERIES.items():
            seen[name].append(views.query(sql).elapsed_ms)
    return seen


def from_file(folder: Path, steps: Sequence[Stored]) -> tuple[float, float, str]:
    """Steps a second, bytes a step in the file, hash."""
    file, path = folder / "steps.jsonl", folder / "from_file.duckdb"
    file.write_bytes(archive(steps))
    with rebuilding(path) as views:
        begin = time.perf_counter()
        views.load_archive(file)
        rate = len(steps) / (time.perf_counter() - begin)
        told = views.hash()
    return rate, path.stat().st_size / len(steps), told


def run(events: int, size: int) -> list[Row]:
    steps = log(1, events // STEPS_PER_CONVERSATION, at_once=AT_ONCE)
    more = [
        (n + len(steps), s.replace(".v", ".w"), p, at) for n, s, p, at in steps[: len(steps) // 4]
    ]
    with tempfile.TemporaryDirectory(prefix="stepfold-bench-") as name:
        folder = Path(name)
        file_rate, stored_bytes, file_hash = from_file(folder, steps)
        with Views.open(folder / "views.duckdb") as views:
            rate = fold(views, steps, size)
            equal = views.hash() == file_hash
            still, then = asked(views), asked(views, as_of=len(steps) // 2)
            busy = asked_while_folding(views, _refenced(more, len(steps)), size)
    rows: list[Row] = [
        {"steps": len(steps), "payload_bytes": round(_mean(len(p) for _, _, p, _ in steps))},
        {"fold_steps_per_s": round(rate), "batch": size},
        {"python_us_per_step": round(python_us(steps, size), 2)},
        {"file_steps_per_s": round(file_rate), "bytes_per_step": round(stored_bytes)},
        {"file_equals_fold": equal},
    ]
    for query in QUERIES:
        rows.append(
            {
                f"{query}_ms": round(statistics.median(still[query]), 1),
                f"{query}_as_of_half_ms": round(statistics.median(then[query]), 1),
                f"{query}_while_folding_ms": round(statistics.median(busy[query]), 1),
                f"{query}_while_folding_max_ms": round(max(busy[query]), 1),
            }
        )
    return rows


def _refenced(steps: Sequence[Stored], by: int) -> list[Stored]:
    """The same conversations once more, under other names and later positions."""
    moved = []
    for position, subject, payload, at in steps:
        form = json.loads(payload)
        form["after"] += by if form["after"] else 0
        moved.append((position, subject, json.dumps(form).encode(), at))
    return moved


def _mean(values: Iterable[int]) -> float:
    return statistics.fmean(values)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.views", description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--batch", type=int, default=20_000)
    parser.add_argument("--quick", action="store_true", help="a tenth of the steps")
    parser.add_argument("--json", action="store_true")
    asked_for = parser.parse_args()
    rows = run(asked_for.events // (10 if asked_for.quick else 1), asked_for.batch)
    if asked_for.json:
        print(json.dumps(rows))
        return
    for row in rows:
        print("  ".join(f"{name} {value}" for name, value in row.items()))


if __name__ == "__main__":
    main()

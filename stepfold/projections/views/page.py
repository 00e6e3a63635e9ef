"""The page docs/views.md, from the comments that stand beside each view in `sql/public/`.

python -m stepfold.projections.views.page > docs/views.md
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb

from stepfold.projections.views import store

ORDER = (
    "conversations",
    "turns",
    "messages",
    "model_calls",
    "tool_calls",
    "approvals",
    "retrievals",
    "citations",
    "spend",
    "cost_by_model",
    "cost_by_customer",
    "cost_by_conversation",
    "cost_by_task",
    "cost_by_route",
    "cost_by_agent",
    "cost_by_day",
    "steps",
)

_HEAD = """\
# Views

Generated from the SQL (`python -m stepfold.projections.views.page > docs/views.md`); do not edit.

What `stepfold query` can ask: views in DuckDB, over every step of the log. `DESCRIBE turns` shows
the same in place.

- `customer`, `conversation` and `turn`, or `customer`, `conversation` and `call`, join them.
- `position` is a step's place in the log; all times are UTC.
- Money is exact (`DECIMAL(38, 18)`). A price that is not known is null, never zero, and each sum
  has `unpriced` beside it: how many calls it lacks.
- A step that cannot be read is a row of `steps` with an `error`, and in no other view; its
  conversation is `unreadable`.
- Every view can be read as of a position or a time: `stepfold query --as-of 1200`, `--at
  2026-03-01T12:00:00+00:00`. It then shows what it showed when the log ended there.
- `at`, `by`, `end` and `start` are keywords or close to it, hence `recorded_at`, `author`,
  `span_start` and `span_end`.

A query is one statement that reads: SELECT, FROM, WITH, VALUES, DESCRIBE, SHOW, SUMMARIZE or
EXPLAIN. It cannot write, reach files or the network, or run longer than its limit.
"""


def page() -> str:
    with TemporaryDirectory(prefix="stepfold-") as folder:
        connection = store.connect(Path(folder) / "views.duckdb")
        try:
            return _HEAD + "".join(_section(connection, view) for view in ORDER)
        finally:
            connection.close()


def _section(connection: duckdb.DuckDBPyConnection, view: str) -> str:
    ((comment,),) = connection.execute(
        "SELECT comment FROM duckdb_views() WHERE view_name = ? AND schema_name = 'main'", [view]
    ).fetchall()
    columns = connection.execute(
        "SELECT column_name, data_type, comment FROM duckdb_columns()"
        " WHERE table_name = ? AND schema_name = 'main' ORDER BY column_index",
        [view],
    ).fetchall()
    rows = "".join(f"| `{name}` | {kind} | {meaning} |\n" for name, kind, meaning in columns)
    return f"\n## {view}\n\n{comment}\n\n| column | type | meaning |\n|---|---|---|\n{rows}"


if __name__ == "__main__":
    sys.stdout.write(page())

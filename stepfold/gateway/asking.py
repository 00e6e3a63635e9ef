"""A question to the process that owns the views, with parameters.

The gateway never opens the file of the views itself: any number of gateways may run, and one
process has the file (cli/viewing.py). Parameters become literals here: the SQL is ours, the values
are strangers'.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import msgspec
from msgspec import Struct

from stepfold.app import Opened
from stepfold.streams import ask

QUERIES = "views.query"
TIMEOUT_S, ROWS_MAX = 10.0, 10_000
AWAY_S = 5.0
Row = dict[str, Any]
_NAME = re.compile(r"\$([a-z][a-z0-9_]*)")


class Question(Struct, frozen=True):
    """As cli/viewing.py answers it."""

    sql: str
    form: str = "json"
    as_of: int | None = None
    rows_max: int = ROWS_MAX
    timeout_s: float = TIMEOUT_S
    last: int = 0


async def ask_views(
    found: Opened,
    sql: str,
    parameters: Mapping[str, object],
    *,
    form: str = "json",
    rows_max: int = ROWS_MAX,
) -> list[Row]:
    """Rows, in the order of the query; AskError."""
    body = await ask_raw(found, sql, parameters, form=form, rows_max=rows_max)
    return msgspec.json.decode(body, type=list[Row])


async def ask_raw(
    found: Opened,
    sql: str,
    parameters: Mapping[str, object],
    *,
    form: str,
    rows_max: int = ROWS_MAX,
) -> bytes:
    """The answer in one of the forms table, json, csv, sheet, parquet; AskError."""
    question = Question(bind(sql, parameters), form, rows_max=rows_max, last=await found.log.last())
    raw = await ask.ask(
        found.client, QUERIES, msgspec.json.encode(question), timeout_s=TIMEOUT_S + AWAY_S
    )
    return raw.partition(b"\n")[2]


def bind(sql: str, parameters: Mapping[str, object]) -> str:
    """`sql` with each `$name` replaced; KeyError for one that has no value."""
    if not parameters:
        return sql
    return _NAME.sub(lambda found: literal(parameters[found[1]]), sql)


def literal(value: object) -> str:
    """As DuckDB reads it back; TypeError for what has no spelling here."""
    match value:
        case None:
            return "NULL"
        case bool():
            return "TRUE" if value else "FALSE"
        case int() | Decimal():
            return f"{value:f}" if isinstance(value, Decimal) else f"{value:d}"
        case float():
            return f"'{value!r}'::DOUBLE"
        case str():
            return "'" + value.replace("\0", "").replace("'", "''") + "'"
        case datetime():
            return f"TIMESTAMP '{value.astimezone(UTC).replace(tzinfo=None).isoformat()}'"
        case date():
            return f"DATE '{value.isoformat()}'"
        case tuple() | list():
            return "(" + ", ".join(map(literal, value)) + ")" if value else "(NULL)"
        case _:
            raise TypeError(f"{type(value).__name__} has no spelling in SQL")

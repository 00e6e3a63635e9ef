"""Any question in SQL, kept under a name, as a table, a picture or a file.

The views hold all customers, so it is for operators only.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from starlette.responses import Response

from stepfold.gateway.asking import Row
from stepfold.gateway.dashboard.page import Visit
from stepfold.gateway.dashboard.saved import Saved, all_saved, keep
from stepfold.gateway.dashboard.tables import INERT, file, form_of
from stepfold.gateway.refusals import FrontRefused, refusing

ROWS_SHOWN = 500
SQL_CHARS_MAX = 8_000
NAME_CHARS_MAX = 80
SAMPLES = (
    Saved(
        "What turns cost, by outcome",
        "SELECT outcome, count(*) AS turns, avg(cost_usd) AS cost_usd,\n"
        "    median(elapsed_ms) AS median_ms\nFROM turns\nGROUP BY outcome\nORDER BY turns DESC",
    ),
    Saved(
        "Conversations a day",
        "SELECT started_at::DATE AS day, count(*) AS conversations\n"
        "FROM conversations\nGROUP BY day\nORDER BY day",
    ),
    Saved(
        "Documents that are cited most",
        "SELECT document, count(*) AS quotes\nFROM citations\nWHERE accepted\n"
        "GROUP BY document\nORDER BY quotes DESC\nLIMIT 20",
    ),
    Saved(
        "What there is to ask",
        "SELECT view_name, comment\nFROM duckdb_views()\n"
        "WHERE NOT internal AND schema_name = 'main'\nORDER BY view_name",
    ),
)


async def look(visit: Visit) -> Response:
    sql = visit.asked("sql")[:SQL_CHARS_MAX]
    if visit.asked("export"):
        return await _file(visit, sql)
    rows: list[Row] | None = None
    wrong: FrontRefused | None = None
    if sql:
        try:
            body = await visit.questions.raw(sql, "json", rows_max=ROWS_SHOWN + 1)
            rows = msgspec.json.decode(body, type=list[Row])
        except FrontRefused as error:
            wrong = error
    with refusing():
        saved = await all_saved(visit.front.found.client)
    return visit.page(
        "sql.html",
        wrong.status if wrong else 200,
        sql=sql,
        rows=rows[:ROWS_SHOWN] if rows else rows,
        truncated=bool(rows and len(rows) > ROWS_SHOWN),
        shown=ROWS_SHOWN,
        wrong=wrong,
        picture=picture(rows or []),
        saved=saved,
        samples=SAMPLES,
        name=visit.asked("name"),
    )


async def _file(visit: Visit, sql: str) -> Response:
    form = form_of(visit)
    if not sql:
        raise FrontRefused(404, "No such file", "there is no question: ask with sql=")
    return file("query", form, await visit.questions.raw(sql, INERT.get(form, form)))


def picture(rows: Sequence[Row]) -> tuple[str, tuple[str, ...]] | None:
    """The column along the bottom and the columns of numbers above it; None when there is none."""
    if len(rows) < 2:  # noqa: PLR2004
        return None
    along, *others = rows[0]
    numbers = tuple(name for name in others if all(_is_number(row[name]) for row in rows))
    return (along, numbers) if numbers else None


def _is_number(value: object) -> bool:
    """Decimals come as text."""
    if isinstance(value, bool):
        return False
    if isinstance(value, int | float):
        return True
    try:
        float(str(value))
    except ValueError:
        return False
    return True


async def save(visit: Visit, form: dict[str, str]) -> Response:
    """Keep a question under a name, replace the one that has it, or forget it for everybody.
    FrontRefused (409) where another question has the name and is not to be replaced.
    """
    name = " ".join(form.get("name", "").split())
    sql = form.get("sql", "").strip()
    if not name or len(name) > NAME_CHARS_MAX or len(sql) > SQL_CHARS_MAX:
        most = f"at most {NAME_CHARS_MAX} and {SQL_CHARS_MAX} characters"
        raise FrontRefused(422, "Wrong form", f"a saved view has a name and SQL of {most}")
    forget = form.get("decision") == "forget"
    client = visit.front.found.client
    with refusing():
        taken = next((each for each in await all_saved(client) if each.name == name), None)
        if taken and form.get("decision") == "keep" and taken.sql != sql:
            raise FrontRefused(409, "Name taken", _taken(taken))
        await keep(client, Saved(name, "" if forget else sql, visit.session.person))
    return visit.to("sql", name="" if forget else name, sql="" if forget else sql)


def _taken(saved: Saved) -> str:
    return (
        f"{saved.person or 'somebody'} keeps another question as {saved.name!r}: choose another"
        " name, or open that one and replace it"
    )

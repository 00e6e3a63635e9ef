"""A table that is looked at, or taken home as a file: the same question either way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct
from starlette.responses import Response

from stepfold.gateway.asking import Row
from stepfold.gateway.dashboard.page import HEADERS, Visit
from stepfold.gateway.dashboard.queries import EXPORTED_MAX
from stepfold.gateway.refusals import FrontRefused

Form = Literal["csv", "json", "parquet"]
MEDIA: Mapping[str, str] = {
    "csv": "text/csv; charset=utf-8",
    "json": "application/json",
    "parquet": "application/vnd.apache.parquet",
}


INERT: Mapping[str, str] = {"csv": "sheet"}
"""In which form a file is asked for, where that is another: CSV without formulas."""


class Table(Struct, frozen=True):
    """`name` is the query's, and that of its files."""

    name: str
    rows: list[Row]
    parameters: Mapping[str, object]

    def file(self, visit: Visit, form: str) -> str:
        """Where it is to be had as a file."""
        return visit.here(export=self.name, form=form)


async def table(visit: Visit, name: str, **parameters: object) -> Table:
    return Table(name, await visit.rows(name, **parameters), parameters)


async def exported(visit: Visit, tables: Mapping[str, Mapping[str, object]]) -> Response | None:
    """The file that is asked for, of one of the `tables` with these parameters; None when none is.
    FrontRefused (404) for another.
    """
    name = visit.asked("export")
    if not name:
        return None
    form = form_of(visit)
    if name not in tables:
        why = f"there is no file of {name!r} here (tables: {', '.join(tables)})"
        raise FrontRefused(404, "No such file", why)
    told = visit.parameters(**tables[name]) | {"rows": EXPORTED_MAX}
    return file(name, form, await visit.questions.exported(name, told, INERT.get(form, form)))


def form_of(visit: Visit) -> str:
    """csv, json or parquet; FrontRefused (404)."""
    form = visit.asked("form") or "csv"
    if form not in MEDIA:
        why = f"there is no {form} file (files: {', '.join(MEDIA)})"
        raise FrontRefused(404, "No such file", why)
    return form


def file(name: str, form: str, body: bytes) -> Response:
    headers = {**HEADERS, "Content-Disposition": f'attachment; filename="{name}.{form}"'}
    return Response(body, headers=headers, media_type=MEDIA[form])

"""What a table holds: the model sees its beginning, and figures that are counted here."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from typing import Any, ClassVar

from msgspec import Struct

from stepfold.routing import Need
from stepfold.tasks.brief import MATERIAL, Brief, Json, TaskRefused, array, described, obj

ROWS_SHOWN_MAX = 20
CELL_CHARS_MAX = 200
COLUMNS_MAX = 100
VALUES_SHOWN_MAX = 5
SNIFFED_CHARS = 10_000
NUMBER_MAX = 1e15
"""Longer numbers are names: a float does not tell them apart, and nobody adds them up."""

Cells = list[str]


class DescribeTable(Struct, frozen=True, forbid_unknown_fields=True):
    """To know a file before it is used: what a row is, what each column means, what looks wrong.
    `table` is CSV with a head, or rows as JSON objects. Any number of rows: how many there are, and
    how each column is filled, is counted here and not by the model.
    """

    table: str | list[dict[str, Any]]
    question: str = ""

    name: ClassVar[str] = "describe_table"
    instructions: ClassVar[str] = (
        "Describe a table for somebody who must decide whether to use it. You are shown its first"
        " rows and exact figures of all of it. Take numbers from the figures, reckon none yourself."
        " Answer the question about it, if there is one. " + MATERIAL
    )
    needs: ClassVar[frozenset[Need]] = frozenset()
    plain: ClassVar[str] = "table"
    file: ClassVar[str] = ""

    def brief(self) -> Brief:
        names, *found = _read(self.table)
        rows = [_squared(row, len(names)) for row in found]
        figures = [_figures(name, [row[i] for row in rows]) for i, name in enumerate(names)]
        shown = [[cell[:CELL_CHARS_MAX] for cell in row] for row in rows[:ROWS_SHOWN_MAX]]
        form = {"rows": len(rows), "columns": figures, "first_rows": [names, *shown]}
        if ragged := sum(len(row) != len(names) for row in found):
            form["rows_of_another_length"] = ragged
        if self.question:
            form["question"] = self.question
        return Brief(self.name, form, _schema(names), self.instructions)


def _read(table: str | list[dict[str, Any]]) -> list[Cells]:
    """The names of the columns, then the rows."""
    found = _parsed(table) if isinstance(table, str) else _listed(table)
    if len(found) <= 1 or not found[0]:
        raise TaskRefused("task describe_table: the table is empty: give a head and at least a row")
    if len(found[0]) > COLUMNS_MAX:
        raise TaskRefused(
            f"task describe_table: {len(found[0])} columns, at most {COLUMNS_MAX}: leave some out"
        )
    return found


def _squared(row: Cells, width: int) -> Cells:
    """With a cell for every column, and no more."""
    return (row + [""] * width)[:width]


def _parsed(text: str) -> list[Cells]:
    try:
        dialect: Any = csv.Sniffer().sniff(text[:SNIFFED_CHARS], ",;\t|")
    except csv.Error:  # one column has no delimiter to be found
        dialect = csv.excel
    try:
        return [row for row in csv.reader(io.StringIO(text, newline=""), dialect) if any(row)]
    except csv.Error as error:
        raise TaskRefused(f"task describe_table: the table is no CSV: {error}") from error


def _listed(rows: Sequence[dict[str, Any]]) -> list[Cells]:
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [["" if row.get(name) is None else str(row[name]) for name in names] for row in rows]
    return [names, *cells]


def _figures(name: str, cells: Cells) -> Json:
    filled = [cell for cell in cells if cell.strip()]
    numbers = [number for cell in filled if (number := _number(cell)) is not None]
    values = list(dict.fromkeys(filled))
    found: Json = {
        "name": name,
        "empty": len(cells) - len(filled),
        "distinct": len(values),
        "values": [value[:CELL_CHARS_MAX] for value in values[:VALUES_SHOWN_MAX]],
    }
    if filled and len(numbers) == len(filled):
        found |= {"least": min(numbers), "most": max(numbers), "sum": math.fsum(numbers)}
    return found


def _number(cell: str) -> float | None:
    try:
        number = float(cell)
    except ValueError:
        return None
    return number if abs(number) <= NUMBER_MAX and "_" not in cell else None


def _schema(names: Cells) -> Json:
    column = obj(
        name={"type": "string", "enum": list(dict.fromkeys(names))},
        meaning=described("string", "what it holds, and in which unit"),
        doubts=described(["string", "null"], "what looks wrong in it, null when nothing does"),
    )
    return obj(
        summary=described("string", "what the table is, in two or three sentences"),
        row=described("string", "what one row is, such as: one order"),
        columns=array(column, "each column once, in their order"),
        answer=described(["string", "null"], "to the question, null when there is none"),
    )

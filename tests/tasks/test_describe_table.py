"""Describe a table: what is counted is counted here; the model sees a beginning of it."""

from __future__ import annotations

from typing import Any

import pytest

from stepfold.events.event import Generated
from stepfold.tasks import DescribeTable, TaskRefused
from stepfold.tasks.describe_table import CELL_CHARS_MAX, COLUMNS_MAX, ROWS_SHOWN_MAX
from tests.tasks.asked import ask, fits

ORDERS = "order,amount,city\n1,2.50,Bonn\n2,10,\n3,-1.5,Bonn\n"


def figures(table: Any, column: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = DescribeTable(table).brief().input["columns"][column]
    return found


def test_each_column_is_counted() -> None:
    form = DescribeTable(ORDERS).brief().input

    assert form["rows"] == 3
    assert form["columns"] == [
        {
            "name": "order",
            "empty": 0,
            "distinct": 3,
            "values": ["1", "2", "3"],
            "least": 1.0,
            "most": 3.0,
            "sum": 6.0,
        },
        {
            "name": "amount",
            "empty": 0,
            "distinct": 3,
            "values": ["2.50", "10", "-1.5"],
            "least": -1.5,
            "most": 10.0,
            "sum": 11.0,
        },
        {"name": "city", "empty": 1, "distinct": 1, "values": ["Bonn"]},
    ]


def test_all_rows_are_counted_and_the_first_are_shown() -> None:
    lines = "\n".join(str(n) for n in range(1000))

    form = DescribeTable(f"n\n{lines}\n").brief().input

    assert form["columns"][0]["sum"] == sum(range(1000))
    assert form["first_rows"] == [["n"], *([str(n)] for n in range(ROWS_SHOWN_MAX))]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found(delimiter: str) -> None:
    table = ORDERS.replace(",", delimiter)

    assert [column["name"] for column in DescribeTable(table).brief().input["columns"]] == [
        "order",
        "amount",
        "city",
    ]


def test_rows_of_objects_have_all_columns_that_any_row_has() -> None:
    form = DescribeTable([{"a": 1}, {"b": None, "a": True}]).brief().input

    assert form["first_rows"] == [["a", "b"], ["1", ""], ["True", ""]]


def test_a_quoted_cell_may_hold_what_parts_cells_and_lines() -> None:
    form = DescribeTable('name,note\nAda,"one, two\nthree"\nBo,x\n').brief().input

    assert form["first_rows"][1] == ["Ada", "one, two\nthree"]


def test_rows_of_another_length_are_counted() -> None:
    form = DescribeTable("a,b\n1,2\n3\n4,5,6\n").brief().input

    assert form["rows_of_another_length"] == 2
    assert form["first_rows"][1:] == [["1", "2"], ["3", ""], ["4", "5"]]


@pytest.mark.parametrize("cell", ["nan", "inf", "1_000", "9" * 20, "1e308", "12 kg"])
def test_what_only_looks_like_a_number_is_not_added_up(cell: str) -> None:
    assert "sum" not in figures([{"n": cell}, {"n": cell}])


def test_a_long_cell_is_cut() -> None:
    form = DescribeTable([{"n": "x" * 10_000}]).brief().input

    assert form["first_rows"][1] == ["x" * CELL_CHARS_MAX]
    assert form["columns"][0]["values"] == ["x" * CELL_CHARS_MAX]


@pytest.mark.parametrize("table", ["", "a,b\n", "\n\n", [], [{}]])
def test_a_table_without_rows_is_refused(table: Any) -> None:
    with pytest.raises(TaskRefused, match="the table is empty: give a head and at least a row"):
        DescribeTable(table).brief()


def test_too_many_columns_are_refused() -> None:
    row = {f"c{n}": n for n in range(COLUMNS_MAX + 1)}

    with pytest.raises(TaskRefused, match="101 columns, at most 100: leave some out"):
        DescribeTable([row]).brief()


def test_what_is_no_csv_is_refused() -> None:
    with pytest.raises(TaskRefused, match="the table is no CSV: field larger than"):
        DescribeTable('a,b\n1,"' + "x" * 200_000).brief()


async def test_a_column_that_the_table_lacks_is_sent_back() -> None:
    brief = DescribeTable("a\n1\n", question="What is a?").brief()
    output = {
        "summary": "Numbers.",
        "row": "one number",
        "columns": [{"name": "a", "meaning": "a number", "doubts": None}],
        "answer": "A number.",
    }

    steps, (prompt,) = await ask(brief, output)

    assert isinstance(steps[-1], Generated)
    assert '"question":"What is a?"' in prompt.question
    assert not fits(brief, {**output, "columns": [{**output["columns"][0], "name": "b"}]})  # type: ignore[dict-item]

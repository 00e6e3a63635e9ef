"""An answer as bytes, in each format."""

from __future__ import annotations

import io
import json

import pyarrow.parquet

from stepfold.projections.views import FORMATS, Views, render

SQL = (
    "SELECT 1 AS n, 0.1000::DECIMAL(38, 12) AS cost, 'a, \"b\"' AS words, NULL AS nothing,"
    " TIMESTAMP '2026-03-01 09:00:00.5' AS moment, [1, 2] AS list, {'a': 1.50::DECIMAL(4, 2)} AS s,"
    " 'x'::BLOB AS raw, DATE '2026-03-01' AS day, true AS yes"
)


def test_json_is_a_list_of_rows_with_exact_decimals(views: Views) -> None:
    told = json.loads(render(views.query(SQL), "json"))

    assert told == [
        {
            "n": 1,
            "cost": "0.1",
            "words": 'a, "b"',
            "nothing": None,
            "moment": "2026-03-01T09:00:00.500000",
            "list": [1, 2],
            "s": {"a": "1.5"},
            "raw": "eA==",
            "day": "2026-03-01",
            "yes": True,
        }
    ]


def test_columns_of_one_name_both_keep_their_values(views: Views) -> None:
    answer = views.query("SELECT 1 AS a, 2 AS a, 3 AS a_1")

    assert json.loads(render(answer, "json")) == [{"a": 1, "a_1": 2, "a_1_1": 3}]


def test_csv_has_a_header_and_quotes_where_it_must(views: Views) -> None:
    told = render(views.query("SELECT 1 AS n, 'a, \"b\"' AS words, NULL AS nothing"), "csv")

    assert told.decode() == '"n","words","nothing"\n"1","a, ""b""",""\n'


def test_in_a_sheet_no_text_is_a_formula_and_numbers_stay_numbers(views: Views) -> None:
    sql = "SELECT -1 AS n, '=cmd|calc!A1' AS a, '+1' AS b, '@x' AS c, '\t=1' AS d, 'a=1' AS e, ''"

    told = render(views.query(sql), "sheet").decode().splitlines()[1]

    assert told == '"-1","\'=cmd|calc!A1","\'+1","\'@x","\'\t=1","a=1",""'


def test_parquet_is_a_file_with_the_very_types(views: Views) -> None:
    told = render(views.query("SELECT 0.1::DECIMAL(38, 12) AS cost, 1 AS n"), "parquet")

    table = pyarrow.parquet.read_table(io.BytesIO(told))
    assert str(table.schema.field("cost").type) == "decimal128(38, 12)"
    assert table["n"].to_pylist() == [1]


def test_a_table_is_aligned_and_cuts_what_is_long(views: Views) -> None:
    told = render(views.query("SELECT 1 AS n, repeat('x', 99) AS words"), "table").decode()

    header, rule, row = told.splitlines()
    assert header.split() == ["n", "words"]
    assert set(rule) == {"-", " "}
    assert row.endswith("x…")


def test_an_answer_without_rows_has_a_form_in_every_format(views: Views) -> None:
    empty = views.query("FROM turns")

    assert all(isinstance(render(empty, form), bytes) for form in FORMATS)
    assert render(empty, "json") == b"[]"

"""An answer as bytes. Decimals stay exact: JSON has them as strings, CSV as digits."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal, get_args

import msgspec
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from stepfold.projections.views.query import Answer

Format = Literal["table", "json", "csv", "sheet", "parquet"]
FORMATS: tuple[Format, ...] = get_args(Format)

CELL_CHARS_MAX = 60
"""What a table shows of one value; the other formats show all of it."""
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What makes a spreadsheet compute a text, or call out, when it opens the file."""


def render(answer: Answer, form: Format) -> bytes:
    """`json` is a list of objects, one a row; `parquet` a whole file; `sheet` is CSV in which no
    text is a formula: what strangers wrote may be opened in a spreadsheet.
    """
    return _FORMS[form](answer.table)


def _plain(value: object) -> object:
    """As JSON has it: times in ISO 8601, decimals and what JSON has no form for as text."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case Decimal():
            return _digits(value)
        case datetime() | date():
            return value.isoformat()
        case bytes():
            return base64.b64encode(value).decode()
        case Mapping():
            return {str(key): _plain(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_plain(inner) for inner in value]
        case _:
            return str(value)


def _digits(value: Decimal) -> str:
    text = format(value, "f")  # `normalize` would round to 28 digits, and DECIMAL has 38
    return text.rstrip("0").rstrip(".") if "." in text else text


def _rows(table: pa.Table) -> tuple[Sequence[str], Sequence[tuple[object, ...]]]:
    columns = [column.to_pylist() for column in table.columns]
    return _unlike(table.column_names), list(zip(*columns, strict=True))


def _unlike(names: Sequence[str]) -> list[str]:
    """`a, a` as `a, a_1`: no row may lose a value because two have one name."""
    seen: list[str] = []
    for name in names:
        number, unlike = 0, name
        while unlike in seen:
            number += 1
            unlike = f"{name}_{number}"
        seen.append(unlike)
    return seen


def _json(table: pa.Table) -> bytes:
    names, rows = _rows(table)
    return msgspec.json.encode([dict(zip(names, map(_plain, row), strict=True)) for row in rows])


def _csv(table: pa.Table) -> bytes:
    return _written(*_rows(table))


def _sheet(table: pa.Table) -> bytes:
    names, rows = _rows(table)
    return _written(list(map(_inert, names)), [tuple(map(_inert, row)) for row in rows])


def _inert(value: Any) -> Any:
    """Numbers stay numbers, whatever their sign."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def _written(names: Sequence[str], rows: Sequence[tuple[object, ...]]) -> bytes:
    columns = [
        pa.array([_cell(row[index], "") for row in rows], pa.string())
        for index in range(len(names))
    ]
    out = io.BytesIO()
    pyarrow.csv.write_csv(pa.Table.from_arrays(columns, names=list(names)), out)
    return out.getvalue()


def _parquet(table: pa.Table) -> bytes:
    out = io.BytesIO()
    pyarrow.parquet.write_table(
        table.rename_columns(_unlike(table.column_names)), out, compression="zstd"
    )
    return out.getvalue()


def _table(table: pa.Table) -> bytes:
    names, rows = _rows(table)
    cells = [[_short(_cell(value, "-")) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(names, *cells, strict=True)]
    rule = ["-" * width for width in widths]
    lines = ("  ".join(map(str.ljust, line, widths)).rstrip() for line in (names, rule, *cells))
    return ("\n".join(lines) + "\n").encode()


def _cell(value: object, nothing: str) -> str:
    match _plain(value):
        case None:
            return nothing
        case str(text):
            return text
        case other:
            return msgspec.json.encode(other).decode()


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= CELL_CHARS_MAX else line[: CELL_CHARS_MAX - 1] + "…"


_FORMS: Mapping[Format, Callable[[pa.Table], bytes]] = {
    "table": _table,
    "json": _json,
    "csv": _csv,
    "sheet": _sheet,
    "parquet": _parquet,
}

"""What reaches the terminal: JSON, one object a line, or text that fits 60 columns.

Colour only on a terminal. What came from outside never carries a control code to the screen.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from decimal import Decimal
from io import StringIO

import msgspec
import typer
from rich import box
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.table import Table
from rich.text import Text

from stepfold.cli.plain import one_line, plain

WIDTH_MIN, WIDTH_MAX, WIDTH_PIPED, WIDTH_TABLE = 40, 120, 100, 10_000

SECOND_MS = 1000


def say(text: str = "", *, bold: bool = False, dim: bool = False) -> None:
    typer.echo(styled(text, bold=bold, dim=dim), color=colour())


def say_json(value: object) -> None:
    """Decimals are texts of all their digits, without an exponent."""
    told = msgspec.to_builtins(value, builtin_types=(Decimal,))
    typer.echo(msgspec.json.encode(_positional(told)).decode())


def _positional(told: object) -> object:
    match told:
        case Decimal():
            return f"{told:f}"
        case dict():
            return {key: _positional(value) for key, value in told.items()}
        case list() | tuple():
            return [_positional(each) for each in told]
        case _:
            return told


def warn(text: str) -> None:
    typer.echo(f"stepfold: {plain(text)}", err=True)


def styled(text: str, *, bold: bool = False, dim: bool = False) -> str:
    return typer.style(text, bold=bold or None, dim=dim or None) if bold or dim else text


def colour() -> bool | None:
    """False = never; None = when stdout is a terminal."""
    return False if "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb" else None


def width() -> int:
    """Columns to fill: what COLUMNS says, else the terminal's, else what reads well in a file."""
    columns = shutil.get_terminal_size((WIDTH_PIPED, 24)).columns
    return max(WIDTH_MIN, min(columns, WIDTH_MAX))


def is_interactive() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


# -- text ---------------------------------------------------------------------------------------


def cut(text: str, room: int) -> str:
    """`text` in one line of at most `room` columns."""
    return cut_whole(one_line(text), max(room, 1))


def pad(text: str, room: int) -> str:
    """`text` in exactly `room` columns."""
    return set_cell_size(cut(text, room), room)


def paragraph(text: str, *, first: str = "", rest: str = "") -> str:
    """`text` folded to the width, its own lines kept; `first` and `rest` begin the lines."""
    console = Console(width=WIDTH_MIN)
    room = width() - 1 - cell_len(rest)
    lines = [
        part.plain.rstrip()
        for line in plain(text).splitlines()
        for part in Text(line).wrap(console, room)
    ]
    heads = [first, *[rest] * len(lines)]
    return "\n".join(
        (head + line).rstrip() for head, line in zip(heads, lines or [""], strict=False)
    )


def table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Iterable[int] = ()
) -> str:
    """Cells are folded to fit a terminal and whole in a file; columns in `numbers` stand right. The
    first one is what other commands are given: it is never shortened.
    """
    right = frozenset(numbers)
    cells = [[Text(one_line(cell)) for cell in row] for row in rows]
    widest = max((row[0].cell_len for row in cells if row), default=0)
    room = _width_of_table()
    whole = widest <= room // 2
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for index, name in enumerate(columns):
        to_right = index in right
        grid.add_column(
            Text(one_line(name)),
            justify="right" if to_right else "left",
            no_wrap=to_right or (index == 0 and whole),
            overflow="fold" if index == 0 else "ellipsis",
            min_width=widest if index == 0 and whole else None,
        )
    for row in cells:
        grid.add_row(*row)
    drawn = StringIO()
    Console(file=drawn, width=room, color_system=None).print(grid)
    return "\n".join(line.rstrip() for line in drawn.getvalue().splitlines())


def cut_edge(line: str) -> str:
    """A line of a table ends at the edge of a terminal; in a file it is whole."""
    return cut_whole(line, _width_of_table()) if sys.stdout.isatty() else line


def cut_whole(line: str, room: int) -> str:
    """`line` in at most `room` columns, its spaces kept."""
    return line if cell_len(line) <= room else set_cell_size(line, room - 1).rstrip() + "…"


def _width_of_table() -> int:
    return shutil.get_terminal_size((WIDTH_TABLE, 24)).columns


# -- values -------------------------------------------------------------------------------------


def price(cost: Decimal | None) -> str:
    """US dollars in full; `$?` when the price is not known, which is not zero."""
    if cost is None:
        return "$?"
    digits = f"{cost:f}"
    return "$" + (digits.rstrip("0").rstrip(".") if "." in digits else digits) if cost else "$0"


def lapse(ms: float) -> str:
    """A length of time in at most seven characters."""
    if ms < SECOND_MS - 0.5:
        return f"{ms:.0f} ms"
    for limit_s, size_s, unit in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if ms / 1000 < limit_s:
            return f"{ms / 1000 / size_s:.3g} {unit}"
    return f"{ms / 86_400_000:.0f} d"


def count(number: int, noun: str, plural: str = "") -> str:
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"

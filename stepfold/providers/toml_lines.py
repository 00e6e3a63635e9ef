"""Where in a TOML file a key stands, for errors that name the line.

A file is cut into its statements, each as many lines as it takes until TOML itself can read it. So
a key is found in whatever form people write it.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

Place = tuple[str | int, ...]


class Lines:
    """The lines of a valid file's keys, from 1. An entry of an array has its number, from 0."""

    def __init__(self, text: str) -> None:
        self._lines: dict[Place, int] = {}
        self._implied: dict[Place, int] = {}
        self._entries: Counter[Place] = Counter()
        table: Place = ()
        for line, statement in _statements(text.splitlines()):
            told = tomllib.loads(statement)
            if statement.lstrip().startswith("["):
                table = self._open(told, line)
            else:
                self._note(table, told, _Cursor(line, statement))

    def of(self, place: Place) -> int:
        """The line of `place`; where that is not found, of the nearest key around it, else 1. A
        table that only the heads of others name, as `a.b` in `[a.b.c]`, is where the first does.
        """
        while place:
            line = self._lines.get(place) or self._implied.get(place)
            if line is not None:
                return line
            place = place[:-1]
        return 1

    def _open(self, told: Any, line: int) -> Place:
        """The place of a table's head: `a.b` is of the last `[[a]]`, which has a number."""
        place: Place = ()
        while told:
            ((name, told),) = told.items()
            place = (*place, name)
            if isinstance(told, list):
                self._entries[place] += 1
                (told,) = told
            if self._entries[place]:
                self._lines.setdefault(place, line)
                place = (*place, self._entries[place] - 1)
            self._implied.setdefault(place, line)
        self._lines.setdefault(place, line)
        return place

    def _note(self, at: Place, told: Any, cursor: _Cursor) -> None:
        """Note the lines of all keys and entries in `told`, in the order in which they stand."""
        if isinstance(told, dict):
            for name, value in told.items():
                self._lines.setdefault((*at, name), cursor.after(name))
                self._note((*at, name), value, cursor)
        elif isinstance(told, list):
            for number, value in enumerate(told):
                self._lines.setdefault((*at, number), cursor.before(_first(value)))
                self._note((*at, number), value, cursor)
        else:
            cursor.after(told)


class _Cursor:
    """Goes through a statement from word to word. A word that is not found as it is read, such as
    `true`, leaves it where it is.
    """

    def __init__(self, line: int, text: str) -> None:
        self._line = line
        self._text = text
        self._place = 0

    def before(self, word: object) -> int:
        """The line of the next `word`."""
        found = self._text.find(str(word), self._place)
        return self._line + self._text.count("\n", 0, max(found, self._place))

    def after(self, word: object) -> int:
        """The line of the next `word`, which the cursor passes."""
        line = self.before(word)
        found = self._text.find(str(word), self._place)
        self._place = found + len(str(word)) if found >= 0 else self._place
        return line


def _first(value: Any) -> object:
    """The first word of a value."""
    while isinstance(value, dict | list) and value:
        value = next(iter(value))
    return value


def _statements(text: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Each with its line, from 1; blank lines and comments are none."""
    begin = 0
    while begin < len(text):
        end = begin + 1
        while end < len(text) and not _whole(text[begin:end]):
            end += 1
        statement = "\n".join(text[begin:end])
        if tomllib.loads(statement):
            yield begin + 1, statement
        begin = end


def _whole(lines: Sequence[str]) -> bool:
    try:
        tomllib.loads("\n".join(lines))
    except tomllib.TOMLDecodeError:
        return False
    return True

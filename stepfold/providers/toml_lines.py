"""Where in a TOML file a key stands, for errors that name the line.

Tables and keys that begin a line are found, which is how people write them; what stands inside an
inline table or a string of several lines has the line of the nearest key around it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

Place = tuple[str | int, ...]

_NAME = r"""(?:"[^"]*"|'[^']*'|[\w-]+)"""
_NAMES = rf"({_NAME}(?:\s*\.\s*{_NAME})*)"
_TABLE = re.compile(rf"\s*(\[\[?)\s*{_NAMES}\s*\]")
_KEY = re.compile(rf"\s*{_NAMES}\s*=")


class Lines:
    """The lines of a file's keys, from 1. An entry of an array of tables has its number, from 0."""

    def __init__(self, text: str) -> None:
        self._lines = _found(text)

    def of(self, place: Place) -> int:
        """The line of `place`; where that is not found, of the nearest key around it, else 1."""
        while place and place not in self._lines:
            place = place[:-1]
        return self._lines.get(place, 1)


def _found(text: str) -> Mapping[Place, int]:
    lines: dict[Place, int] = {}
    entries: Counter[Place] = Counter()
    table: Place = ()
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _TABLE.match(line):
            table = _within(_names(header[2]), entries)
            if header[1] == "[[":
                entries[table] += 1
                table = (*table, entries[table] - 1)
            lines.setdefault(table, number)
        elif key := _KEY.match(line):
            lines.setdefault((*table, *_names(key[1])), number)
    return lines


def _within(names: Place, entries: Counter[Place]) -> Place:
    """`price.each` is of the last `[[price]]`, which has a number."""
    place: Place = ()
    for name in names[:-1]:
        place = (*place, name)
        if entries[place]:
            place = (*place, entries[place] - 1)
    return (*place, names[-1])


def _names(dotted: str) -> Place:
    return tuple(name.strip("\"'") for name in re.findall(_NAME, dotted))

"""The text of a TOML file that people write, from its place or from stdin.

TextUnread    it cannot be had, or it is no text: one line, with the file's name and the way out
"""

from __future__ import annotations

import sys
from pathlib import Path

STDIN = Path("-")


class TextUnread(Exception):
    """There is no text to read."""


def name_of(path: Path) -> str:
    return "stdin" if path == STDIN else str(path)


def text_of(path: Path) -> str:
    """What stands in it, `-` is stdin; TextUnread. A byte order mark is none of the text."""
    try:
        if path == STDIN:
            return sys.stdin.buffer.read().decode("utf-8-sig")
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise TextUnread(f"{name_of(path)}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise TextUnread(f"{name_of(path)}: it is not UTF-8: save it as UTF-8") from error


def no_toml(name: str, error: ValueError) -> str:
    """Why `name` is no TOML, with the line. tomllib says `... (at line 3, column 7)`."""
    told, _, place = str(error).rpartition(" (at ")
    line = place.partition(",")[0].removeprefix("line ")
    return f"{name}:{line}: {told}" if line.isdigit() else f"{name}: {error}"

"""What a function's docstring says: its first paragraph, and a text for each parameter.

Three styles are read: a section `Args:` (Google), `Parameters` over a line (numpy), and fields
`:param name:` (Sphinx). What is written in none of them describes nothing.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Sequence

from msgspec import Struct

_SECTION = re.compile(r"(args|arguments|parameters|params|keyword args|keyword arguments):", re.I)
_OTHER_SECTION = re.compile(
    r"(attributes|examples?|notes?|raises|references|returns?|see also|todo|warnings?|yields?"
    r"|args|arguments|parameters|params|keyword args|keyword arguments):",
    re.I,
)
_GOOGLE = re.compile(r"\*{0,2}(\w+)\s*(?:\([^()]*(?:\([^()]*\)[^()]*)*\))?\s*:\s*(.*)")
_NUMPY = re.compile(r"\*{0,2}(\w+(?:\s*,\s*\w+)*)\s*(?::.*)?")
_SPHINX = re.compile(r":(?:param|parameter|arg|argument)\s+(?:[^:]*\s)?\*{0,2}(\w+)\s*:\s*(.*)")
_FIELD = re.compile(r":\w+[^:]*:")
_UNDERLINE = re.compile(r"-{3,}")


class Said(Struct, frozen=True):
    """`parameters` has only those that are described."""

    description: str = ""
    parameters: dict[str, str] = {}


def said(docstring: str | None) -> Said:
    lines = inspect.cleandoc(docstring or "").splitlines()
    texts = dict((*_google(lines), *_numpy(lines), *_sphinx(lines)))
    return Said(_first_paragraph(lines), {name: text for name, text in texts.items() if text})


def _first_paragraph(lines: Sequence[str]) -> str:
    told: list[str] = []
    for number, line in enumerate(lines):
        underlined = (
            _UNDERLINE.fullmatch(lines[number + 1].strip()) if lines[number + 1 :] else None
        )
        if not line.strip() or _OTHER_SECTION.fullmatch(line) or _FIELD.match(line) or underlined:
            break
        told.append(line.strip())
    return " ".join(told)


def _google(lines: Sequence[str]) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(lines):
        if _SECTION.fullmatch(line.strip()):
            margin = _margin(line)
            block = _block(lines[number + 1 :], margin)
            for head, rest in _entries(block):
                if found := _GOOGLE.fullmatch(head):
                    yield found[1], _joined((found[2], *rest))


def _numpy(lines: Sequence[str]) -> Iterator[tuple[str, str]]:
    for number in range(len(lines) - 1):
        if lines[number].strip().lower() not in ("parameters", "other parameters"):
            continue
        if not _UNDERLINE.fullmatch(lines[number + 1].strip()):
            continue
        for head, rest in _entries(_until_underline(lines[number + 2 :])):
            if found := _NUMPY.fullmatch(head):
                yield from ((name.strip(), _joined(rest)) for name in found[1].split(","))


def _sphinx(lines: Sequence[str]) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(lines):
        if found := _SPHINX.fullmatch(line.strip()):
            yield found[1], _joined((found[2], *_block(lines[number + 1 :], _margin(line))))


def _block(lines: Sequence[str], margin: int) -> list[str]:
    """The lines that stand further in than `margin`."""
    told = []
    for line in lines:
        if line.strip() and _margin(line) <= margin:
            break
        told.append(line)
    return told


def _until_underline(lines: Sequence[str]) -> Sequence[str]:
    """The lines before the heading of the next section."""
    for number, line in enumerate(lines):
        if _UNDERLINE.fullmatch(line.strip()):
            return lines[: number - 1]
    return lines


def _entries(lines: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Each line at the margin with those that stand further in below it."""
    margin = min((_margin(line) for line in lines if line.strip()), default=0)
    told: list[tuple[str, list[str]]] = []
    for line in lines:
        if line.strip() and _margin(line) == margin:
            told.append((line.strip(), []))
        elif told:
            told[-1][1].append(line)
    return told


def _joined(lines: Sequence[str]) -> str:
    return " ".join(" ".join(lines).split())


def _margin(line: str) -> int:
    return len(line) - len(line.lstrip())

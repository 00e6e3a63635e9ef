"""The text of an agent's file, TOML or YAML: what stands in it, and in which line.

TextRefused    it is neither, or says something twice; `line` from 1, 0 = the whole file
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from msgspec import Struct

from stepfold.providers.toml_lines import Lines, Place

YAML = (".yaml", ".yml")
TEXT = "tag:yaml.org,2002:str"


class TextRefused(Exception):
    """A text that cannot be read. Each of `problems` is a line and what is wrong there."""

    def __init__(self, *problems: tuple[int, str]) -> None:
        super().__init__("\n".join(why for _, why in problems))
        self.problems = problems


class Written(Struct, frozen=True):
    """What a file says. `told` is as TOML or YAML read it; `lines` are those of a YAML file."""

    told: Mapping[str, Any]
    text: str = ""
    lines: Mapping[Place, int] | None = None

    def line_of(self) -> Callable[[Place], int]:
        """Tells the line of a key or an entry, from 1; of one that is not there, the line of what
        it belongs to. Slow for long texts: ask for it only when something is wrong.
        """
        return Lines(self.text).of if self.lines is None else self._line_of

    def _line_of(self, place: Place) -> int:
        lines = self.lines or {}
        while place and place not in lines:
            place = place[:-1]
        return lines.get(place, 1)


def read_text(text: str, suffix: str) -> Written:
    """TextRefused. `suffix` says which of the two it is: `.yaml` and `.yml`, else TOML."""
    return _yaml(text) if suffix.lower() in YAML else _toml(text)


def _toml(text: str) -> Written:
    try:
        return Written(tomllib.loads(text), text)
    except tomllib.TOMLDecodeError as error:
        told, _, place = str(error).rpartition(" (at ")
        line = place.partition(",")[0].removeprefix("line ")
        if not line.isdigit():
            told, line = str(error), str(text.count("\n") + 1)
        raise TextRefused((int(line), f"this agent file is no TOML: {told}")) from error
    except ValueError as error:  # such as a number of 5,000 digits
        raise TextRefused((0, f"this agent file has a value that is none: {error}")) from error


def _yaml(text: str) -> Written:
    import yaml  # noqa: PLC0415  (most agents are TOML)

    try:
        for event in yaml.parse(text, yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                why = f"*{event.anchor} repeats what stands elsewhere; write it out"
                raise TextRefused((_line(event.start_mark), why))
        root = yaml.compose(text, yaml.SafeLoader)
        told = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        why = ": ".join(part for part in (error.context, error.problem) if part)
        raise TextRefused(
            (_line(error.problem_mark), f"this agent file is no YAML: {why}")
        ) from error
    except yaml.YAMLError as error:
        why = " ".join(str(error).split())
        raise TextRefused((0, f"this agent file is no YAML: {why}")) from error
    except ValueError as error:  # such as the 31st of February
        raise TextRefused((0, f"this agent file has a value that is none: {error}")) from error
    if told is None:
        return Written({}, text, {})
    if not isinstance(told, dict):
        raise TextRefused((1, "this agent file is no table of keys; begin with `name: help-desk`"))
    lines: dict[Place, int] = {}
    if wrong := tuple(_note(root, (), lines)):
        raise TextRefused(*wrong)
    return Written(told, text, lines)


def _line(mark: Any) -> int:
    return int(mark.line) + 1 if mark else 0


def _note(node: Any, at: Place, lines: dict[Place, int]) -> Iterator[tuple[int, str]]:
    """Note the line of every key and entry; what is wrong with a key is told."""
    if node.id == "sequence":
        for number, entry in enumerate(node.value):
            lines[(*at, number)] = _line(entry.start_mark)
            yield from _note(entry, (*at, number), lines)
    elif node.id == "mapping":
        for key, value in node.value:
            line = _line(key.start_mark)
            place = (*at, str(key.value))
            if key.tag != TEXT:
                name = key.value if isinstance(key.value, str) else "…"
                yield line, f"the key `{name}` is no text in YAML; put it in quotes"
            elif place in lines:
                yield line, f"`{key.value}` stands in line {lines[place]} already; leave one out"
            else:
                lines[place] = line
                yield from _note(value, place, lines)

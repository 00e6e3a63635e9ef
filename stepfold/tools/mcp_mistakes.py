"""What is wrong in a file of MCP servers, in words of ours, with its line."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from stepfold.providers.toml_lines import Lines, Place

ONE_WAY = "give `command` (and `args`), or `url`: one of the two"
_TABLE = "it is a table: write [{place}] and its keys below"
_WORDS: Mapping[str, str] = {
    "missing": "there is none: describe a server below [servers.NAME]",
    "dict_type": _TABLE,
    "model_type": _TABLE,
    "tuple_type": 'it is a list: write ["…", "…"]',
    "string_type": "it is a text: put it in quotes",
    "string_too_short": "it is empty: write a name or a pattern",
    "bool_type": "it is true or false",
    "bool_parsing": "it is true or false",
    "float_type": "it is a number",
    "float_parsing": "it is a number",
    "int_type": "it is a whole number",
    "int_parsing": "it is a whole number",
    "int_from_float": "it is a whole number",
    "greater_than": "it must be more than {gt:,g}",
    "greater_than_equal": "it must be at least {ge:,g}",
    "less_than_equal": "it must be at most {le:,g}",
    "literal_error": "it is one of {expected}",
}
"""By pydantic's names of errors; the gaps are its own context, and the place."""

Known = Callable[[tuple[Any, ...]], str]
"""The keys that may stand where an unknown one does."""


def mistakes(
    error: ValidationError, told: Mapping[str, Any], lines: Lines, known: Known
) -> list[str]:
    """Every mistake as `line: key: what is wrong`."""
    found: list[tuple[Place, str]] = []
    for each in error.errors(include_url=False, include_input=False):
        place = tuple(part for part in each["loc"] if part != "[key]")
        if each["type"] == "extra_forbidden":
            why = f"unknown key (known: {known(place)})"
        elif "[key]" in each["loc"]:
            why = "a server's name has 1 to 32 of A-Z, a-z, 0-9, _ and -"
        else:
            why = _why(each["type"], each["msg"], {**each.get("ctx", {}), "place": _dotted(place)})
        found.append((place, why))
    found += [(place, ONE_WAY) for place in _without_way(told) if (place, ONE_WAY) not in found]
    placed = sorted(
        (lines.of(place), f"{_dotted(place) or 'servers'}: {why}") for place, why in found
    )
    return [f"{line}: {what}" for line, what in placed]


def _why(kind: str, message: str, context: Mapping[str, Any]) -> str:
    words = _WORDS.get(kind)
    return words.format(**context) if words else message.removeprefix("Value error, ")


def _without_way(told: Mapping[str, Any]) -> Iterator[Place]:
    """Servers of which it is not said how they are reached: other mistakes in them hide that."""
    servers = told.get("servers")
    for name, server in servers.items() if isinstance(servers, dict) else ():
        if isinstance(server, dict) and not server.keys() & {"command", "url"}:
            yield ("servers", name)


def _dotted(place: Place) -> str:
    return ".".join(map(str, place))

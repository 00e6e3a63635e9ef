"""What is wrong with an agent's file, in words: where, why, and the way out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Any

import msgspec
from pydantic_core import ErrorDetails

from stepfold.providers.toml_lines import Place
from stepfold.settings.agent_form import AS_LIST, AS_TABLE, YES_OR_NO, keys

SHOWN_CHARS_MAX = 60


def place_of(loc: Iterable[str | int]) -> Place:
    """Where an error is: pydantic's own words between the keys are left out."""
    return tuple(word for word in loc if word not in (AS_LIST, AS_TABLE, YES_OR_NO, "[key]"))


def key_of(at: Place) -> str:
    """`models 2`, `tools.refund.approval`: entries are counted from 1, as people do."""
    path = ""
    for word in at:
        if isinstance(word, int):
            path += f" {word + 1}"
        else:
            name = word if word and all(c.isalnum() or c in "_-$" for c in word) else f'"{word}"'
            path += f".{name}" if path else name
    return path


_WRITE: Mapping[str, str] = {
    "list_type": 'is no list; write ["…"]',
    "string_type": "is no text; put it in quotes",
    "bool_type": "is neither true nor false",
    "int_type": "is no whole number; write one such as 12",
    "int_from_float": "is no whole number; write one such as 12",
    "float_type": "is no number; write one such as 2.5",
    "finite_number": "is no finite number; write one such as 60",
    "string_too_short": "is empty; write it, or leave it out",
}
_BOUNDS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "greater_than": lambda ctx: f"is too small; write a number above {ctx['gt']:g}",
    "greater_than_equal": lambda ctx: f"is too small; write {ctx['ge']:g} or more",
    "less_than_equal": lambda ctx: f"is too large; write {ctx['le']:.0f} or less",
}
_INSTEAD: Mapping[Place, str] = {
    ("grants",): "what the agent may do with a tool stands in a table of its own: [tools.NAME]",
    ("languages",): "it stands in a table of its own: [answers]",
}


def told(at: Place, error: ErrorDetails) -> str:
    """What is wrong with a value or a key, and the way out."""
    if error["type"] == "extra_forbidden":
        return f"unknown key; {_INSTEAD.get(at) or near(str(at[-1]), keys(at[:-1]))}"
    if error["type"] == "missing":
        return 'is missing; write such as name = "help-desk"'
    return f"{shown(error['input'])} {_why_value(at, error)}"


def _why_value(at: Place, error: ErrorDetails) -> str:
    kind, ctx = error["type"], error.get("ctx", {})
    if kind == "literal_error":
        words = [word.strip(" '") for word in ctx["expected"].replace(" or ", ",").split(",")]
        return f"is unknown; {near(str(error['input']), filter(None, words))}"
    if kind in ("dict_type", "model_type"):
        return f"is no table; write [{key_of(at)}], and its keys below it"
    if kind in _BOUNDS:
        return _BOUNDS[kind](ctx)
    return _WRITE.get(kind) or error["msg"]


def near(word: str, names: Iterable[str]) -> str:
    """What could have been meant, for a word that is none of the names."""
    words = list(names)
    found = get_close_matches(word, words, n=1)
    listed = f"known: {', '.join(words) or 'none'}"
    return f"did you mean `{found[0]}`? {listed}" if found else listed


def shown(value: Any) -> str:
    """A value as a file has it, cut to a few words."""
    text = str(value)
    if not isinstance(value, float | int) or isinstance(value, bool):
        text = msgspec.json.encode(value, enc_hook=str).decode()
    return text if len(text) <= SHOWN_CHARS_MAX else text[: SHOWN_CHARS_MAX - 1] + "…"

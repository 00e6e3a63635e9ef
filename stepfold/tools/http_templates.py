"""Texts with gaps in the file of an HTTP tool. Pure.

`{order}` stands for an argument, `{customer}`, `{contact}`, `{conversation}` and `{call}` for whom
and for which call it runs, told by the log and never by the model; `${env:NAME}` for a variable of
the environment; `{{` and `}}` for a brace. A value can fill its gap and nothing around it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, unquote

import msgspec
from msgspec import Struct

from stepfold.tools.tool import ToolError

OURS = ("customer", "contact", "conversation", "call")
DECODINGS = 3
"""So many times a server may decode a path before it looks for `..` in it."""

_TOKEN = re.compile(r"\$\{env:([A-Za-z_]\w*)\}|\{([A-Za-z_]\w*)\}|(\{\{|\}\})|([{}])", re.ASCII)
_DOTS = frozenset({".", ".."})
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")

_SURROGATE = re.compile("[\\ud800-\\udfff]")

Values = Mapping[str, Any]
"""Arguments, and what stands for OURS."""


class Variable(Struct, frozen=True):
    name: str


class Gap(Struct, frozen=True):
    name: str


class Template(Struct, frozen=True):
    parts: tuple[str | Variable | Gap, ...]

    @property
    def gaps(self) -> tuple[str, ...]:
        return tuple(each.name for each in self.parts if isinstance(each, Gap))

    @property
    def variables(self) -> tuple[str, ...]:
        return tuple(each.name for each in self.parts if isinstance(each, Variable))

    @property
    def only(self) -> str:
        """The gap that is all there is; empty where there is more, or none."""
        (first, *rest) = self.parts or ("",)
        return first.name if isinstance(first, Gap) and not rest else ""


class BadTemplate(ValueError):
    """A brace that means nothing."""


def template(text: str) -> Template:
    parts: list[str | Variable | Gap] = []
    end = 0
    for found in _TOKEN.finditer(text):
        parts.append(text[end : found.start()])
        end = found.end()
        variable, gap, brace, lone = found.groups()
        if lone:
            way_out = f"write {{name}} or ${{env:NAME}}, or {lone * 2} for a brace itself"
            raise BadTemplate(f"{lone!r} alone means nothing: {way_out}")
        parts.append(Variable(variable) if variable else Gap(gap) if gap else brace[0])
    parts.append(text[end:])
    return Template(tuple(each for each in parts if each != ""))


def filled(told: Template, values: Values, environment: Mapping[str, str]) -> str:
    """For a header, or a text in a body."""
    return "".join(_pieces(told, values, environment))


def header(name: str, told: Template, values: Values, environment: Mapping[str, str]) -> str:
    text = filled(told, values, environment)
    if not text.isascii() or _CONTROL.search(text):
        raise ToolError(f"the header {name} takes no line break and nothing beyond ASCII")
    return text.strip()


def url(told: Template, values: Values, environment: Mapping[str, str]) -> str:
    """The arguments percent-encoded: none of them ends the part of the path or query it is in."""
    text = ""
    for each in told.parts:
        if isinstance(each, Gap):
            value = plain(each.name, values)
            text += quote(value, safe="") if "?" in text else _segment(each.name, value)
        else:
            text += each if isinstance(each, str) else variable(each.name, environment)
    path = text.partition("?")[0]
    if told.gaps and any(_DOTS & {_decoded(part)} for part in path.split("/")):
        raise ToolError("an argument would lead out of the path")
    return text


def beginning(told: Template, environment: Mapping[str, str]) -> str:
    """What stands before the first gap."""
    text = ""
    for each in told.parts:
        if isinstance(each, Gap):
            return text
        text += each if isinstance(each, str) else variable(each.name, environment)
    return text


def variable(name: str, environment: Mapping[str, str]) -> str:
    if not environment.get(name):
        raise ToolError(f"the variable {name} is not set where the tool runs; nothing was sent")
    return environment[name]


def plain(name: str, values: Values) -> str:
    """A value as text. ToolError where it has none, or is no single value."""
    value = values.get(name)
    if value is None or (name in OURS and value == ""):
        raise ToolError(f"{name} is not known in this call" if name in OURS else f"{name} is empty")
    if isinstance(value, dict | list):
        raise ToolError(f"{name} must be a single value")
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    if _SURROGATE.search(text):
        raise ToolError(f"{name} is not text")
    return text


def body(told: Any, values: Values, environment: Mapping[str, str]) -> Any:
    """JSON with its gaps filled: a text that is nothing but a gap becomes the value itself, and
    what has no value is left out.
    """
    if isinstance(told, Template):
        return values.get(told.only) if told.only else filled(told, values, environment)
    if isinstance(told, list):
        return [body(each, values, environment) for each in told]
    if isinstance(told, dict):
        pairs = ((key, body(each, values, environment)) for key, each in told.items())
        return {key: each for key, each in pairs if each is not None}
    return told


def templates(told: Any) -> Iterator[Template]:
    """All of them in a body."""
    if isinstance(told, Template):
        yield told
    elif isinstance(told, dict | list):
        for each in told.values() if isinstance(told, dict) else told:
            yield from templates(each)


def _pieces(told: Template, values: Values, environment: Mapping[str, str]) -> Iterator[str]:
    for each in told.parts:
        if isinstance(each, Gap):
            yield plain(each.name, values)
        else:
            yield each if isinstance(each, str) else variable(each.name, environment)


def _segment(name: str, value: str) -> str:
    """For a path. Empty, it would be another path; so would one with `..` in it."""
    if not value.strip():
        raise ToolError(f"{name} is empty")
    decoded = value
    for _ in range(DECODINGS):
        if _CONTROL.search(decoded) or _DOTS & set(re.split(r"[/\\]", decoded)):
            raise ToolError(f"{name} would lead out of its place in the path: {value[:80]!r}")
        decoded = unquote(decoded)
    return quote(value, safe="")


def _decoded(part: str) -> str:
    for _ in range(DECODINGS):
        part = unquote(part)
    return part

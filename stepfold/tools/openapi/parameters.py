"""The parameters of an operation: which arguments a model gives, and how each is sent.

A value that cannot be sent as the description says is sent in the default way of its place, and
found.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast, get_args

from msgspec import Struct

from stepfold.tools.openapi.brief import brief
from stepfold.tools.openapi.findings import Findings, within
from stepfold.tools.openapi.names import ARGUMENT_CHARS_MAX, clean, shortened
from stepfold.tools.openapi.operation import BODY, Argument, Where
from stepfold.tools.openapi.reading import Json
from stepfold.tools.openapi.references import LostReference, References
from stepfold.tools.openapi.trimming import DESCRIPTION_CHARS_MAX, Trimming

STYLES: Mapping[str, tuple[str, ...]] = {
    "path": ("simple", "label", "matrix"),
    "query": ("form", "spaceDelimited", "pipeDelimited", "deepObject"),
    "header": ("simple",),
    "cookie": ("form",),
}
"""The ways to send a parameter, the default first."""
OURS = frozenset(
    {
        *("accept", "authorization", "connection", "content-length", "content-type", "cookie"),
        *("expect", "host", "proxy-authorization", "te", "trailer", "transfer-encoding", "upgrade"),
    }
)
"""Headers that OpenAPI itself takes out of the parameters, and those of the connection."""
_IDEMPOTENCY = re.compile(r"(x-)?idempotency-key")
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


class Parameters(Struct, frozen=True):
    """`properties` and `required` are those of the schema of all arguments."""

    arguments: tuple[Argument, ...]
    properties: Json
    required: tuple[str, ...]
    key_header: str = ""
    cut: str = ""


class Unsendable(Exception):
    """The operation cannot be called; the text says why."""


class ReadParameters:
    """`shown` are the parameters by which a caller shows who it is, by place and name: the
    connection gives them, never the model.
    """

    def __init__(
        self,
        references: References,
        trimming: Trimming,
        findings: Findings,
        shown: frozenset[tuple[str, str]] = frozenset(),
    ) -> None:
        self._references = references
        self._trimming = trimming
        self._findings = findings
        self._shown = shown

    def read(self, path: str, told: Sequence[tuple[Any, str]]) -> Parameters:
        """`told` are the operation's own parameters and then its path's, each with its place."""
        found: dict[tuple[str, str], tuple[Json, str]] = {}
        owners: dict[tuple[str, str], str] = {}
        for value, place in told:
            owner = place.rsplit("/", 1)[0]
            for parameter, at in self._parameter(value, place):
                key = (parameter["name"], parameter["in"])
                if owners.get(key) == owner:
                    broken = f"{key[1]} parameter {key[0]!r} stands twice"
                    self._findings.note(place, broken, "the first one counts")
                owners.setdefault(key, owner)
                found.setdefault(key, (parameter, at))
        self._complete(path, found)
        return self._all(found)

    def _parameter(self, value: Any, place: str) -> Iterator[tuple[Json, str]]:
        try:
            parameter, at = self._references.follow(value, place)
        except LostReference as error:
            self._findings.note(place, str(error), "the parameter is left out")
            return
        name = parameter.get("name") if isinstance(parameter, dict) else None
        where = parameter.get("in") if isinstance(parameter, dict) else None
        if not isinstance(name, str) or not name or where not in get_args(Where):
            known = ", ".join(get_args(Where))
            broken = f"a parameter needs a name and an `in` (known: {known})"
            self._findings.note(at, broken, "the parameter is left out")
            return
        if (where == "header" and name.lower() in OURS) or (where, name.lower()) in self._shown:
            return
        yield parameter, at

    def _complete(self, path: str, found: dict[tuple[str, str], tuple[Json, str]]) -> None:
        """Each placeholder of the path has a parameter, and each path parameter a placeholder."""
        names = _PLACEHOLDER.findall(path)
        if {"{", "}"} & set(_PLACEHOLDER.sub("", path)):
            raise Unsendable(f"the braces in its path {path} do not match")
        if "" in names:
            raise Unsendable(f"a placeholder in its path {path} has no name")
        at = within("#/paths", path)
        for name in names:
            if (name, "path") not in found:
                self._findings.note(at, f"{{{name}}} is not described", "taken as a text")
                found[name, "path"] = (
                    {"name": name, "in": "path", "required": True, "schema": _TEXT},
                    at,
                )
        for name, where in [key for key in found if key[1] == "path"]:
            if name not in names:
                self._findings.note(
                    found[name, where][1], f"path parameter {name!r} is not in {path}", "left out"
                )
                del found[name, where]

    def _all(self, found: Mapping[tuple[str, str], tuple[Json, str]]) -> Parameters:
        arguments: list[Argument] = []
        properties: Json = {}
        required: list[str] = []
        key_header, cuts = "", []
        for (told, where), (parameter, place) in found.items():
            if where == "header" and _IDEMPOTENCY.fullmatch(told.lower()):
                key_header = told
                continue
            name = _argument(told, where, properties)
            argument, schema, cut = self._argument(name, parameter, place)
            arguments.append(argument)
            properties[name] = schema
            cuts.append(cut)
            if where == "path" and parameter.get("required") is not True:
                self._findings.note(place, f"path parameter {told!r} is not required", "it is")
            if where == "path" or parameter.get("required") is True:
                required.append(name)
        cut = next((cut for cut in cuts if cut), "")
        return Parameters(tuple(arguments), properties, tuple(required), key_header, cut)

    def _argument(self, name: str, parameter: Json, place: str) -> tuple[Argument, Json, str]:
        told, at, json = parameter.get("schema"), within(place, "schema"), False
        content = parameter.get("content")
        if told is None and isinstance(content, dict) and content:
            media = next(iter(content))
            json = True
            told = content[media].get("schema") if isinstance(content[media], dict) else None
            at = within(place, "content", media, "schema")
        elif told is None:
            self._findings.note(place, f"parameter {name!r} has no schema", "taken as a text")
            told = _TEXT
        trimmed = self._trimming.trim(told, at)
        schema = {key: value for key, value in trimmed.schema.items() if key != "description"}
        words = brief(parameter.get("description"), DESCRIPTION_CHARS_MAX)
        if words or "description" in trimmed.schema:
            schema["description"] = words or trimmed.schema["description"]
        return self._sent(name, parameter, place, json=json), schema, trimmed.cut

    def _sent(self, name: str, parameter: Json, place: str, *, json: bool) -> Argument:
        where = cast(Where, parameter["in"])
        styles = STYLES[where]
        style = parameter.get("style", styles[0])
        if style not in styles:
            broken = f"style {style!r} is none of a {where} parameter (known: {', '.join(styles)})"
            self._findings.note(place, broken, f"sent in the style {styles[0]}")
            style = styles[0]
        told = parameter.get("explode")
        explode = told if isinstance(told, bool) else style in ("form", "deepObject")
        return Argument(name, parameter["name"], where, style, explode, json)


_TEXT = {"type": "string"}


def _argument(told: str, where: str, taken: Json) -> str:
    """The name a model says: one that all providers take, and no other argument has."""
    name = shortened(clean(told) or where, ARGUMENT_CHARS_MAX)
    number = 2
    free = name if name not in taken and name != BODY else f"{where}_{name}"
    while free in taken:
        free = f"{where}_{name[: ARGUMENT_CHARS_MAX - 12]}_{number}"
        number += 1
    return free

"""The parameters of an HTTP tool: a JSON Schema as it is, or a line for each.

order = "string: The number on the invoice."      must be given
note = "string?"                                  may be left out
tags = "string[]"                                 a list
size = { enum = ["small", "large"] }              a JSON Schema of this one
"""

from __future__ import annotations

import re
from typing import Any

from msgspec import Struct

from stepfold.policy.schema import broken
from stepfold.tools.http_templates import OURS

Json = dict[str, Any]
Problem = tuple[tuple[str | int, ...], str]

_SHORT = re.compile(
    r"(?P<type>string|integer|number|boolean)(?P<list>\[\])?(?P<optional>\?)?(?::\s*(?P<told>.+))?",
    re.DOTALL,
)
_WAY_OUT = 'write string, integer, number or boolean, such as "string: What it is."; `?` = optional'


class Parameters(Struct, frozen=True):
    """`schema` allows only what it names."""

    schema: Json
    problems: tuple[Problem, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.schema.get("properties", {}))

    @property
    def optional(self) -> frozenset[str]:
        return frozenset(self.names) - frozenset(self.schema.get("required", ()))


def parameters(told: Json) -> Parameters:
    """What is wrong has its place below `parameters`."""
    whole = isinstance(told.get("properties"), dict) or told.get("type") == "object"
    found = _whole(told) if whole else _short(told)
    taken = [name for name in found.names if name in OURS]
    wrong = (((*(("properties",) if whole else ()), name), f"{name} {_TAKEN}") for name in taken)
    return Parameters(found.schema, (*found.problems, *wrong))


_TAKEN = "is told by the log and never by a model: take another name, or leave it out"


def _whole(told: Json) -> Parameters:
    why = broken(told)
    if why is None and told.get("type") != "object":
        why = 'the arguments are an object: add type = "object"'
    if why is not None:
        return Parameters({}, (((), why),))
    return Parameters({"additionalProperties": False, **told})


def _short(told: Json) -> Parameters:
    properties: Json = {}
    required: list[str] = []
    problems: list[Problem] = []
    for name, each in told.items():
        schema, optional, why = _one(each)
        properties[name] = schema
        if why:
            problems.append(((name,), why))
        if not optional:
            required.append(name)
    schema = {"type": "object", "properties": properties, "additionalProperties": False}
    if required:
        schema["required"] = required
    return Parameters(schema, tuple(problems))


def _one(told: Any) -> tuple[Json, bool, str | None]:
    """The schema of one, whether it may be left out, and what is wrong."""
    if isinstance(told, dict):
        schema = {key: value for key, value in told.items() if key != "optional"}
        return schema, told.get("optional") is True, broken(schema)
    found = _SHORT.fullmatch(told) if isinstance(told, str) else None
    if found is None:
        return {}, False, _WAY_OUT
    schema = {"type": found["type"]}
    if found["list"]:
        schema = {"type": "array", "items": schema}
    if found["told"]:
        schema["description"] = found["told"].strip()
    return schema, bool(found["optional"]), None

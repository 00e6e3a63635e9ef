"""Single keywords of a schema, from OpenAPI 3.0 or 3.1 to JSON Schema 2020-12.

What means nothing is left out, and found: a schema asks less then, never more. What several parts
of an `allOf` say of one keyword becomes what satisfies them all.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

from stepfold.tools.openapi.brief import compact
from stepfold.tools.openapi.findings import Findings, within
from stepfold.tools.openapi.reading import Json

ENUM_MAX = 40
ENUM_TOLD = 8
PATTERN_CHARS_MAX = 200
TYPES = ("string", "number", "integer", "boolean", "array", "object", "null")
FORMATS = frozenset({"date", "date-time", "email", "time", "uri", "uuid"})
LEFT_OUT = "left out"

_MOST = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_LEAST = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_COUNTS = frozenset({*_MOST, *_LEAST} - {"minimum", "maximum"}) - {
    "exclusiveMinimum",
    "exclusiveMaximum",
}


class Part(dict[str, Any]):
    """One part of a schema, and where it stands."""

    def __init__(self, keywords: Json, place: str) -> None:
        super().__init__(keywords)
        self.place = place


def plain(parts: Sequence[Part], findings: Findings) -> Json:
    """The keywords of all parts that concern no inner schema."""
    told: Json = {}
    types = _types(parts, findings)
    if types:
        told["type"] = types[0] if len(types) == 1 else list(types)
    told |= _bounds(parts, findings)
    told |= _texts(parts, findings)
    values = _values(parts, types, findings)
    if values is not None:
        told["enum"] = values
    default = next((part["default"] for part in parts if "default" in part), None)
    if isinstance(default, str | int | float | bool) and _short(default):
        told["default"] = default
    return told


def _short(value: Any) -> bool:
    return len(compact(value)) <= PATTERN_CHARS_MAX and _finite(value)


def _finite(value: Any) -> bool:
    return not isinstance(value, float) or math.isfinite(value)


def _types(parts: Sequence[Part], findings: Findings) -> Sequence[str]:
    found: list[str] | None = None
    for part in parts:
        told = part.get("type")
        if told is None:
            continue
        named = [each for each in (told if isinstance(told, list) else [told]) if each in TYPES]
        if not named or len(named) < (len(told) if isinstance(told, list) else 1):
            findings.note(within(part.place, "type"), f"{told!r} is no type", LEFT_OUT)
        if not named:
            continue
        both = named if found is None else _common(found, named)
        if not both:
            why = f"no value is {' or '.join(found or ())} and {' or '.join(named)} at once"
            findings.note(within(part.place, "type"), why, "any type is taken")
            return ()
        found = both
    if found and any(part.get("nullable") is True for part in parts):
        found.append("null")
    return tuple(dict.fromkeys(found or ()))


def _common(some: Sequence[str], others: Sequence[str]) -> list[str]:
    """An integer is a number."""
    told = [each for each in some if each in others]
    if "integer" not in told and {"integer", "number"} <= {*some, *others}:
        told += ["integer"] if "integer" not in some or "integer" not in others else []
    return told


def _bounds(parts: Sequence[Part], findings: Findings) -> Json:
    told: Json = {}
    for names, tighter in ((_MOST, max), (_LEAST, min)):
        for name in names:
            values = list(_numbers(name, parts, findings))
            if values:
                told[name] = tighter(values)
    for part in parts:
        step = part.get("multipleOf")
        if isinstance(step, int | float) and not isinstance(step, bool) and step > 0:
            told.setdefault("multipleOf", step)
    if any(part.get("uniqueItems") is True for part in parts):
        told["uniqueItems"] = True
    return told


def _numbers(name: str, parts: Sequence[Part], findings: Findings) -> Iterable[float]:
    for part in parts:
        value = part.get(name)
        if isinstance(value, bool) and name.startswith("exclusive"):
            value = part.get(f"m{name.removeprefix('exclusiveM')}") if value else None  # 3.0
        if value is None:
            continue
        fits = isinstance(value, int if name in _COUNTS else int | float)
        if not fits or isinstance(value, bool) or (name in _COUNTS and value < 0):
            findings.note(within(part.place, name), f"{compact(value)} is no number", LEFT_OUT)
        elif _finite(value):
            yield value


def _texts(parts: Sequence[Part], findings: Findings) -> Json:
    told: Json = {}
    for part in parts:
        form, pattern = part.get("format"), part.get("pattern")
        if isinstance(form, str) and form in FORMATS:
            told.setdefault("format", form)
        if pattern is not None and _pattern_holds(part, pattern, findings):
            told.setdefault("pattern", pattern)
    return told


def _pattern_holds(part: Part, pattern: Any, findings: Findings) -> bool:
    try:
        if not isinstance(pattern, str):
            raise re.error("no text")
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        why = f"the pattern cannot be held against a text here: {error}"
        findings.note(within(part.place, "pattern"), why, LEFT_OUT)
        return False
    return len(pattern) <= PATTERN_CHARS_MAX


def _values(
    parts: Sequence[Part], types: Sequence[str], findings: Findings
) -> Sequence[Any] | None:
    """The values that all parts allow; None when any is allowed."""
    found: dict[str, Any] | None = None
    for part in parts:
        told = [part["const"]] if "const" in part else part.get("enum")
        if told is None:
            continue
        if not isinstance(told, list) or not told:
            findings.note(within(part.place, "enum"), "no list of values", LEFT_OUT)
            continue
        values = {compact(each): each for each in _typed(part, told, types, findings)}
        both = values if found is None else {k: v for k, v in found.items() if k in values}
        if not both:
            findings.note(within(part.place, "enum"), "no value is allowed by all parts", LEFT_OUT)
            return None
        found = both
    if found and any(part.get("nullable") is True for part in parts):
        found["null"] = None
    return None if found is None else list(found.values())


def _typed(part: Part, told: Sequence[Any], types: Sequence[str], findings: Findings) -> list[Any]:
    """A text that YAML took for a number is a text again."""
    texts = "string" in types and not {"number", "integer", "boolean"} & set(types)
    wrong = [each for each in told if isinstance(each, int | float)] if texts else []
    if wrong:
        why = f"{compact(wrong[0])} among texts"
        findings.note(within(part.place, "enum"), why, "written as a text")
    return [compact(each) if each in wrong and each is not None else each for each in told]


def cut_enum(schema: Json) -> tuple[Json, str]:
    """A long list of values becomes a few of them and a note."""
    values = schema.get("enum", ())
    if len(values) <= ENUM_MAX:
        return schema, ""
    some = ", ".join(str(value) for value in values[:ENUM_TOLD])
    rest = {key: value for key, value in schema.items() if key != "enum"}
    return rest, f"one of {len(values)} values, such as {some}"

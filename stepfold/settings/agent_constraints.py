"""What an agent's file says of single arguments: JSON Schemas, checked so that each one constrains.

JSON Schema itself passes over what it does not know, and over what is of another type than a
keyword is about: `maximun = 50` permits everything, `maximum = 50` permits "9999". Here the first
is a mistake, and the second says that the argument is a number.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from stepfold.policy.gate import Who
from stepfold.policy.schema import broken
from stepfold.providers.toml_lines import Place

Wrong = Callable[[Place, str], None]
"""Takes note of a mistake: where, and what is wrong, with the way out."""

EQUALS = "equals"
INTEGER_MAX = 2**63 - 1
"""What a step on the log can hold."""
FLOAT_MAX = 2**53
"""Up to here each whole number is one of its own as a float too."""
TEMPLATES = Who.__struct_fields__
_TEMPLATE = re.compile(r"\{([A-Za-z_]\w*)\}")

_ABOUT: Mapping[str, frozenset[str]] = {
    "number": frozenset(
        {"exclusiveMaximum", "exclusiveMinimum", "maximum", "minimum", "multipleOf"}
    ),
    "string": frozenset({"maxLength", "minLength", "pattern"}),
    "array": frozenset(
        {"contains", "items", "maxContains", "maxItems", "minContains", "minItems", "prefixItems"}
        | {"unevaluatedItems", "uniqueItems"}
    ),
    "object": frozenset(
        {"additionalProperties", "dependentRequired", "dependentSchemas", "maxProperties"}
        | {"minProperties", "patternProperties", "properties", "propertyNames", "required"}
        | {"unevaluatedProperties"}
    ),
}
"""The keywords that say something about values of one type alone."""
_SAID = frozenset({"const", "enum", "type"})
_ONE = frozenset(
    {"additionalProperties", "contains", "else", "if", "items", "not", "propertyNames", "then"}
    | {"unevaluatedItems", "unevaluatedProperties"}
)
_DENIED = frozenset({"if", "not"})
_MANY = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_NAMED = frozenset({"dependentSchemas", "patternProperties", "properties"})
_NOTES = frozenset({"$comment", "default", "deprecated", "description", "examples", "title"})
KEYWORDS = _SAID | _ONE | _MANY | _NAMED | _NOTES | frozenset().union(*_ABOUT.values())
_REFUSED: Mapping[str, str] = {
    "format": "is only a note in JSON Schema and constrains nothing; write a `pattern`",
    **dict.fromkeys(
        ("$ref", "$dynamicRef", "$defs", "$id", "$schema", "$anchor", "$dynamicAnchor"),
        "is not read here; write out what the argument must be",
    ),
}


def constraint(at: Place, told: Mapping[str, Any], wrong: Wrong) -> dict[str, Any]:
    """The JSON Schema of one argument: without short forms, and saying its type."""
    mistakes: list[Place] = []

    def noted(where: Place, why: str) -> None:
        mistakes.append(where)
        wrong(where, why)

    schema = dict(told)
    if EQUALS in schema:
        if "const" in schema:
            noted((*at, EQUALS), "says the same as `const`; leave one of them out")
        schema["const"] = schema.pop(EQUALS)
    _check(at, schema, noted)
    if not mistakes and (why := broken(schema)):
        noted(at, f"is no JSON Schema: {why}")
    typed = _plain(schema if mistakes else _typed(schema))
    assert isinstance(typed, dict)
    return typed


def _typed(schema: Any) -> Any:
    """The schema, saying the types that its keywords are about, except where it is denied."""
    if not isinstance(schema, dict):
        return schema
    typed = {word: _typed_part(word, value) for word, value in schema.items()}
    types = _types(schema)
    return typed if not types or _SAID & schema.keys() else {**typed, "type": types}


def _typed_part(word: str, value: Any) -> Any:
    if word in _DENIED:
        return value
    if word in _ONE:
        return _typed(value)
    if word in _MANY:
        return [_typed(part) for part in value]
    if word in _NAMED:
        return {name: _typed(part) for name, part in value.items()}
    return value


def _types(schema: Mapping[str, Any]) -> str | list[str]:
    """The types that the keywords are about; empty when they are about any."""
    types = [name for name, words in sorted(_ABOUT.items()) if words & schema.keys()]
    return types[0] if len(types) == 1 else types


def _check(at: Place, schema: Any, wrong: Wrong) -> None:
    if not isinstance(schema, dict):
        return
    for word, value in schema.items():
        place = (*at, word)
        if word in _REFUSED:
            wrong(place, _REFUSED[word])
        elif word not in KEYWORDS:
            near = get_close_matches(word, (*KEYWORDS, EQUALS), n=1)
            hint = f"did you mean `{near[0]}`?" if near else "write one of JSON Schema"
            wrong(place, f"is no keyword that constrains anything; {hint}")
        elif word == "pattern":
            _check_pattern(place, value, wrong)
        elif word not in _ONE | _MANY | _NAMED:
            _check_value(place, value, wrong, templates=word not in _NOTES)
    _check_types(at, schema, wrong)
    for place, part in _parts(at, schema):
        _check(place, part, wrong)


def _check_types(at: Place, schema: Mapping[str, Any], wrong: Wrong) -> None:
    told = schema.get("type")
    listed = told if isinstance(told, list) else [told]
    types = {"number" if name == "integer" else name for name in listed if isinstance(name, str)}
    for name, words in _ABOUT.items():
        for word in sorted(words & schema.keys()) if types and name not in types else ():
            wrong((*at, word), f"says nothing about the type {told}; leave it out, or the type")


def _parts(at: Place, schema: Mapping[str, Any]) -> Iterator[tuple[Place, Any]]:
    """The schemas in a schema."""
    for word, value in schema.items():
        place = (*at, word)
        if word in _ONE:
            yield place, value
        elif word in _MANY and isinstance(value, list):
            yield from (((*place, number), part) for number, part in enumerate(value))
        elif word in _NAMED and isinstance(value, dict):
            yield from (((*place, name), part) for name, part in value.items())


def _check_pattern(at: Place, pattern: Any, wrong: Wrong) -> None:
    """What a contact is called would be read as a part of the pattern."""
    for name in TEMPLATES:
        if isinstance(pattern, str) and f"{{{name}}}" in pattern:
            wrong(at, f"{{{name}}} cannot stand in a pattern; use `equals`")


def _check_value(at: Place, value: Any, wrong: Wrong, *, templates: bool) -> None:
    """Is it a value that JSON has, and do its templates stand for something?"""
    for each in _leaves(value):
        if isinstance(each, float) and not math.isfinite(each):
            wrong(at, f"{each} is no number of JSON; write a finite one")
        elif isinstance(each, int) and abs(each) > INTEGER_MAX:
            wrong(at, f"a whole number is at most {INTEGER_MAX}; write it as a text")
        elif not isinstance(each, str | int | float | None):
            wrong(at, f"{each} is no value of JSON; put it in quotes")
        for name in _TEMPLATE.findall(each) if templates and isinstance(each, str) else ():
            if name not in TEMPLATES:
                known = ", ".join(f"{{{word}}}" for word in TEMPLATES)
                wrong(at, f"{{{name}}} stands for nothing; known: {known}")


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for part in value.values():
            yield from _leaves(part)
    elif isinstance(value, list):
        for part in value:
            yield from _leaves(part)
    else:
        yield value


def _plain(value: Any) -> Any:
    """50.0 is 50: the same number is the same version."""
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    whole = isinstance(value, float) and value.is_integer() and abs(value) <= FLOAT_MAX
    return int(value) if whole else value

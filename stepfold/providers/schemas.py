"""JSON Schemas in the forms that providers take. Pure; the one place that rewrites them.

No form is trusted: whoever gets an answer holds it against the ORIGINAL schema. Therefore a keyword
that a provider does not know may be dropped (its description then says so to the model), and a
schema whose shape it does not know has no strict form at all.

    inlined(schema)          every reference replaced by what it names
    strict(schema)           OpenAI's strict subset, None when there is none
    unnull(value, schema)    an answer without the nulls that stand for "left out" in a strict form
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from stepfold.providers.references import Inlining, joined
from stepfold.providers.shapes import TYPES, fits, takes_null
from stepfold.providers.wire import Json

DEPTH_MAX, PROPERTIES_MAX, ENUM_MAX, NAMES_CHARS_MAX = 10, 5_000, 1_000, 120_000
"""OpenAI's limits of a strict schema: levels (what stands in the innermost object counts as one),
properties and enum values in all, and the characters of property names and enum values.
"""
LONG_ENUM, LONG_ENUM_CHARS_MAX = 250, 15_000
"""One enum of more values than the first may have so many characters."""

_KEPT = frozenset(
    {
        "exclusiveMaximum",
        "exclusiveMinimum",
        "maxItems",
        "maximum",
        "minItems",
        "minimum",
        "multipleOf",
        "pattern",
        "format",
    }
)
_TOLD = (
    "contains",
    "contentEncoding",
    "contentMediaType",
    "default",
    "format",
    "maxContains",
    "maxLength",
    "maxProperties",
    "minContains",
    "minLength",
    "minProperties",
    "pattern",
    "propertyNames",
    "uniqueItems",
)
"""Dropped, and told in the description: the caller's validation still holds them."""
_IMPOSSIBLE = frozenset(
    {
        "$dynamicRef",
        "$recursiveRef",
        "$ref",
        "additionalItems",
        "allOf",
        "dependencies",
        "dependentRequired",
        "dependentSchemas",
        "else",
        "if",
        "not",
        "oneOf",
        "patternProperties",
        "prefixItems",
        "then",
    }
)
_FORMATS = frozenset(
    {"date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "time", "uuid"}
)
_LOOKS_AROUND = re.compile(r"\(\?(?!:)|\\[1-9]")
"""What OpenAI's regular expressions lack: looking around, flags, names and back references."""


def inlined(schema: Json) -> Json:
    """Without references and definitions. Where a schema contains itself, names what is not there,
    or grows over the limits, the inner one is cut to its type: it asks less, never more.
    """
    told = Inlining(schema).schema(schema)
    return told if isinstance(told, dict) else {}


class _NotStrict(Exception):
    """This schema has no strict form."""


def strict(schema: Json) -> Json | None:
    """OpenAI's strict form: closed objects, every property required, what was optional may be null.

    None where the API would refuse it: no object at the root, a schema that contains itself, maps,
    free-form objects and values, `oneOf`, conditions, or more than its limits; and where it is no
    schema at all.
    """
    inlining = Inlining(schema)
    plain = inlining.schema(schema)
    if inlining.cut:
        return None
    told = _form(plain)
    return told if told and told.get("type") == "object" and _small(told) else None


def _form(schema: Any) -> Json | None:
    """The strict form of any part of a schema; None too where a keyword's value is of no use."""
    try:
        return _strict(schema)
    except (_NotStrict, AttributeError, TypeError):
        return None


def _strict(schema: Any) -> Json:
    if not isinstance(schema, dict):
        raise _NotStrict
    if isinstance(schema.get("allOf"), list) and len(schema["allOf"]) == 1:
        own = {key: value for key, value in schema.items() if key != "allOf"}
        schema = joined(schema["allOf"][0], own)
    if not isinstance(schema, dict) or schema.keys() & _IMPOSSIBLE:
        raise _NotStrict
    described = _described(schema)
    if "anyOf" in schema:
        if schema.keys() & (_KEPT | {"type", "enum", "const", "properties", "items"}):
            raise _NotStrict
        return {**described, "anyOf": _branches(schema["anyOf"])}
    types = _types(schema)
    told: Json = {"type": types[0] if len(types) == 1 else list(types)}
    if "enum" in schema or "const" in schema:
        told["enum"] = _values(schema)
    told |= {key: schema[key] for key in schema if _keeps(key, schema[key])}
    if "array" in types:
        told["items"] = _strict(schema.get("items"))
    if "object" in types:
        told |= _closed(schema)
    return {**described, **told}


def _branches(schemas: Sequence[Any]) -> list[Json]:
    """The API refuses objects that begin with the same property, unless its constants differ."""
    told = [_strict(each) for each in schemas]
    if not told:
        raise _NotStrict
    begins = [next(iter(each["properties"].items())) for each in told if each.get("properties")]
    for place, (name, begin) in enumerate(begins):
        for other_name, other in begins[:place]:
            constants = begin.get("enum"), other.get("enum")
            apart = all(constants) and not set(constants[0]) & set(constants[1])
            if name == other_name and not apart:
                raise _NotStrict
    return told


def _types(schema: Json) -> Sequence[str]:
    told = schema.get("type")
    named = tuple(told) if isinstance(told, list) else (told,)
    if told and not set(named) <= set(TYPES.values()):
        raise _NotStrict
    if told:
        return named
    if "enum" in schema or "const" in schema:
        return tuple(dict.fromkeys(TYPES[type(value)] for value in _values(schema)))
    if "properties" in schema:
        return ("object",)
    if "items" in schema:
        return ("array",)
    raise _NotStrict


def _values(schema: Json) -> list[Any]:
    told = [schema["const"]] if "const" in schema else schema["enum"]
    if not told or any(isinstance(value, dict | list) for value in told):
        raise _NotStrict
    return list(told)


def _keeps(key: str, value: Any) -> bool:
    if key == "format":
        return value in _FORMATS
    if key == "pattern":
        return isinstance(value, str) and not _LOOKS_AROUND.search(value)
    return key in _KEPT


def _described(schema: Json) -> Json:
    """Its title and its description, with what the strict form cannot say."""
    lost = {key: schema[key] for key in _TOLD if key in schema and not _keeps(key, schema[key])}
    told: Json = {key: schema[key] for key in ("title", "description") if key in schema}
    if lost.get("default", ...) is None:
        del lost["default"]
    if lost:
        words = ", ".join(f"{key}: {_json(value)}" for key, value in lost.items())
        told["description"] = f"{told.get('description', '')} ({words})".strip()
    return told


def _closed(schema: Json) -> Json:
    open_ended = (schema.get("additionalProperties"), schema.get("unevaluatedProperties"))
    if any(each not in (None, False) for each in open_ended):
        raise _NotStrict
    if "properties" not in schema and False not in open_ended:
        raise _NotStrict
    required = schema.get("required", ())
    properties = {
        name: _strict(each) if name in required else _or_null(_strict(each))
        for name, each in schema.get("properties", {}).items()
    }
    if not properties.keys() >= set(required):
        raise _NotStrict
    return {
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _or_null(schema: Json) -> Json:
    if takes_null(schema):
        return schema
    if "anyOf" in schema:
        return {**schema, "anyOf": [*schema["anyOf"], {"type": "null"}]}
    types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if "object" in types or "array" in types:
        return {"anyOf": [schema, {"type": "null"}]}
    told = {**schema, "type": [*types, "null"]}
    return {**told, "enum": [*schema["enum"], None]} if "enum" in schema else told


def _small(schema: Json) -> bool:
    """Within OpenAI's limits."""
    nodes = list(_nodes(schema, 1))
    names = [name for node, _ in nodes for name in node.get("properties", ())]
    enums = [node["enum"] for node, _ in nodes if "enum" in node]
    values = [value for enum in enums for value in enum]
    long = [enum for enum in enums if len(enum) > LONG_ENUM]
    return (
        max(depth for _, depth in nodes) <= DEPTH_MAX
        and len(names) <= PROPERTIES_MAX
        and len(values) <= ENUM_MAX
        and _characters((*names, *values)) <= NAMES_CHARS_MAX
        and all(_characters(enum) <= LONG_ENUM_CHARS_MAX for enum in long)
    )


def _characters(words: Iterable[object]) -> int:
    return sum(len(str(word)) for word in words)


def _nodes(schema: Json, depth: int) -> Iterator[tuple[Json, int]]:
    yield schema, depth
    for inner in schema.get("anyOf", ()):
        yield from _nodes(inner, depth)
    if "items" in schema:
        yield from _nodes(schema["items"], depth)
    for inner in schema.get("properties", {}).values():
        yield from _nodes(inner, depth + 1)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def unnull(value: Any, schema: Json) -> Any:
    """Without the nulls of properties that the original schema neither requires nor lets be null.
    An answer to a schema that was not strict is left as it is, but for such nulls.
    """
    try:
        return _unnull(value, inlined(schema))
    except (AttributeError, TypeError):  # no schema at all: its validation says so
        return value


def _unnull(value: Any, schema: Any) -> Any:
    if not isinstance(schema, dict) or not isinstance(value, dict | list):
        return value
    for branches in (schema.get("anyOf"), schema.get("oneOf")):
        value = _as_branch(value, branches or ())
    for each in schema.get("allOf", ()):
        value = _unnull(value, each)
    if isinstance(value, list):
        return [_unnull(each, schema.get("items")) for each in value]
    properties, required = schema.get("properties", {}), schema.get("required", ())
    return {
        name: _unnull(each, properties.get(name))
        for name, each in value.items()
        if each is not None
        or name in required
        or name not in properties
        or takes_null(properties[name])
    }


def _as_branch(value: Any, branches: Iterable[Any]) -> Any:
    """As the branch that was answered: one whose strict form it has, else the first that it fits
    once its nulls are out.
    """
    for branch in sorted(branches, key=lambda each: not _answers(value, each)):
        told = _unnull(value, branch)
        if fits(told, branch):
            return told
    return value


def _answers(value: Any, schema: Any) -> bool:
    form = _form(schema)
    return form is not None and fits(value, form)

"""OpenAI's rules of a strict schema, written down once more, and schemas and answers by chance."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

from stepfold.providers.wire import Json

KEYWORDS = {
    "additionalProperties",
    "anyOf",
    "description",
    "enum",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "items",
    "maxItems",
    "maximum",
    "minItems",
    "minimum",
    "multipleOf",
    "pattern",
    "properties",
    "required",
    "title",
    "type",
}
TYPES = {"array", "boolean", "integer", "null", "number", "object", "string"}


def broken_rules(schema: Json, *, root: bool = True) -> Iterator[str]:
    """What the API would refuse this schema for."""
    if root and schema.get("type") != "object":
        yield "no object at the root"
    if unknown := schema.keys() - KEYWORDS:
        yield f"keywords {sorted(unknown)}"
    if ("anyOf" in schema) == ("type" in schema):
        yield "a type or anyOf"
    types = schema["type"] if isinstance(schema.get("type"), list) else [schema.get("type", "null")]
    if not set(types) <= TYPES:
        yield f"types {types}"
    if "array" in types:
        yield from broken_rules(schema["items"], root=False)
    if "object" in types:
        if schema["additionalProperties"] is not False:
            yield "an open object"
        if schema["required"] != list(schema["properties"]):
            yield "an optional property"
    for inner in (*schema.get("anyOf", ()), *schema.get("properties", {}).values()):
        yield from broken_rules(inner, root=False)


# Schemas


NAMES = st.sampled_from(["a", "b", "c", "kind"])
LEAVES = st.sampled_from(
    [
        {"type": "string"},
        {"type": "integer", "minimum": 3, "maximum": 9},
        {"type": ["number", "null"]},
        {"type": "boolean"},
        {"type": "null"},
        {"enum": ["x", "y", None]},
        {"type": "string", "enum": ["left", "right"]},
        {"const": "fixed"},
        {"$ref": "#/$defs/named"},
        {"$ref": "#/$defs/named", "description": "told beside the reference"},
        {},
        True,
    ]
)


def _objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Json]:
    return st.builds(
        lambda properties, required, closed: {
            "type": "object",
            "properties": properties,
            "required": [name for name in properties if name in required],
            **({"additionalProperties": False} if closed else {}),
        },
        st.dictionaries(NAMES, inner, max_size=3),
        st.sets(NAMES),
        st.booleans(),
    )


def _wider(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    some = st.lists(inner, min_size=1, max_size=3)
    return st.one_of(
        _objects(inner),
        _objects(inner),
        some.map(lambda told: {"anyOf": told}),
        some.map(lambda told: {"oneOf": told}),
        some.map(lambda told: {"allOf": told}),
        inner.map(lambda told: {"type": "object", "additionalProperties": told}),
        st.builds(
            lambda items, least: {"type": "array", "items": items, "minItems": least},
            inner,
            st.integers(0, 2),
        ),
        inner.map(lambda told: {"type": ["array", "null"], "items": told}),
    )


INNER = st.recursive(LEAVES, _wider, max_leaves=8)
SCHEMAS: st.SearchStrategy[Json] = st.builds(
    lambda root, named: {**root, "$defs": {"named": named}}, _objects(INNER), INNER
)


# Answers


def answers(schema: Json) -> st.SearchStrategy[Any]:
    """What a model may say that is held to this strict schema."""
    if "anyOf" in schema:
        return st.one_of([answers(each) for each in schema["anyOf"]])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return st.one_of([_of_type(each, schema) for each in types])


def _of_type(name: str, schema: Json) -> st.SearchStrategy[Any]:
    match name:
        case "object":
            inside = schema["properties"].items()
            return st.fixed_dictionaries({name: answers(each) for name, each in inside})
        case "array":
            least = schema.get("minItems", 0)
            return st.lists(answers(schema["items"]), min_size=least, max_size=least + 2)
        case "integer" | "number":
            return st.integers(schema.get("minimum", -9), schema.get("maximum", 9))
        case "boolean":
            return st.booleans()
        case "null":
            return st.none()
        case _:
            return st.text(max_size=3)

"""Whatever a description holds, it loads or says what is wrong; what loads can be offered, called
and kept.
"""

from __future__ import annotations

import copy
import json
import random
import re
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from stepfold.tools.openapi import Catalogue, DescriptionRefused, catalogue, parse_description
from stepfold.tools.openapi.encoding import encode
from tests.connections.small import described

NAME = re.compile(r"[A-Za-z0-9_-]{1,48}")
ARGUMENT = re.compile(r"[A-Za-z0-9_.-]{1,64}")

KEYS = st.sampled_from(
    (
        *("$ref", "allOf", "oneOf", "anyOf", "not", "type", "properties", "required", "items"),
        *("enum", "const", "default", "nullable", "readOnly", "discriminator", "mapping"),
        *("propertyName", "additionalProperties", "format", "pattern", "minimum", "maxLength"),
        *("exclusiveMinimum", "description", "name", "in", "schema", "content", "style", "explode"),
        *("parameters", "requestBody", "responses", "operationId", "get", "post", "servers", "url"),
        *("variables", "security", "tags", "summary"),
    )
)
REFS = st.sampled_from(
    ("#", "#/paths", "#/components/schemas/A", "#/components/schemas/B", "#/x", "x.yaml", "#a")
)
WORDS = st.sampled_from(
    ("string", "object", "array", "integer", "null", "query", "path", "header", "id", "[", "")
)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.floats()
    | REFS
    | WORDS
    | st.text(max_size=5)
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)

SOUND: dict[str, Any] = described(
    {
        "/things/{id}": {
            "parameters": [
                {"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}}
            ],
            "put": {
                "operationId": "ChangeThing",
                "tags": ["Things"],
                "parameters": [
                    {
                        "name": "q",
                        "in": "query",
                        "style": "deepObject",
                        "schema": {"type": "object"},
                    },
                    {"$ref": "#/components/parameters/P"},
                ],
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/A"}}},
                },
                "responses": {"200": {"description": "ok"}},
            },
        }
    },
    components={
        "parameters": {"P": {"name": "X-P", "in": "header", "schema": {"type": "string"}}},
        "schemas": {
            "A": {
                "type": "object",
                "properties": {
                    "b": {"$ref": "#/components/schemas/B"},
                    "c": {"type": "array", "items": {"$ref": "#/components/schemas/A"}},
                },
                "required": ["b"],
            },
            "B": {"allOf": [{"type": "string", "nullable": True}, {"enum": ["x", "y"]}]},
        },
        "securitySchemes": {"k": {"type": "apiKey", "in": "header", "name": "X"}},
    },
)


def check(raw: bytes) -> None:
    try:
        description = parse_description(raw)
    except DescriptionRefused:
        return
    made = catalogue(description)
    assert msgspec.json.decode(msgspec.json.encode(made), type=Catalogue) == made
    assert all(each.broken and each.done for each in description.findings)
    assert len({name.lower() for name in made.names()}) == len(made.names())
    for operation in made.operations:
        assert NAME.fullmatch(operation.name)
        Draft202012Validator.check_schema(operation.parameters)
        assert "$ref" not in _keywords(operation.parameters)
        assert all(ARGUMENT.fullmatch(name) for name in operation.parameters["properties"])
        encode(operation, {argument.name: "x" for argument in operation.arguments})


def _keywords(schema: Any) -> set[str]:
    """Of a schema, without the names of properties."""
    if isinstance(schema, list):
        return {word for each in schema for word in _keywords(each)}
    if not isinstance(schema, dict):
        return set()
    inner = {word for name in ("items", "anyOf") for word in _keywords(schema.get(name))}
    for each in schema.get("properties", {}).values():
        inner |= _keywords(each)
    return {*schema, *inner}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(VALUES, VALUES, VALUES)
def test_anything_in_the_place_of_a_description(item: Any, schema: Any, parameter: Any) -> None:
    told = copy.deepcopy(SOUND)
    told["components"]["schemas"]["B"] = schema
    told["components"]["parameters"]["P"] = parameter
    told["paths"]["/x"] = item

    check(json.dumps(told, allow_nan=True).replace("Infinity", "9").replace("NaN", "9").encode())


@settings(max_examples=150, deadline=None)
@given(st.randoms(use_true_random=False), VALUES)
def test_a_sound_description_of_which_one_place_is_spoilt(
    chance: random.Random, value: Any
) -> None:
    told = copy.deepcopy(SOUND)
    _spoil(told, chance, value)

    check(json.dumps(told).replace("Infinity", "9").replace("NaN", "9").encode())


def _spoil(told: Any, chance: random.Random, value: Any) -> None:
    """Goes down by chance, and puts something else there."""
    while True:
        keys: Any = list(told) if isinstance(told, dict) else range(len(told))
        key = chance.choice(keys)
        inner = told[key]
        if not isinstance(inner, dict | list) or not inner or chance.random() < 0.15:
            told[key] = value
            return
        told = inner


@settings(max_examples=150, deadline=None)
@given(st.text(st.characters(codec="utf-8"), max_size=60) | st.binary(max_size=60))
def test_any_bytes(raw: str | bytes) -> None:
    check(raw if isinstance(raw, bytes) else raw.encode())

"""What a model is shown of a schema: all that it needs, whole in itself, small."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from stepfold.tools.openapi.trimming import CHARACTERS_MAX
from tests.connections.small import described, found, read, schema_of


def test_references_are_put_in_their_place() -> None:
    shown = schema_of({"$ref": "#/components/schemas/A"}, A={"type": "string", "maxLength": 9})

    assert shown == {"type": "string", "maxLength": 9}


def test_a_schema_that_contains_itself_is_cut_there_with_a_note() -> None:
    node = {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "children": {"type": "array", "items": {"$ref": "#/components/schemas/Node"}},
        },
    }

    shown = schema_of({"$ref": "#/components/schemas/Node"}, Node=node)

    assert shown["properties"]["children"] == {
        "type": "array",
        "items": {"type": "object", "description": "(a Node, left out here)"},
    }


def test_a_schema_that_is_only_itself_is_anything() -> None:
    assert "type" not in schema_of({"$ref": "#/components/schemas/A"}, A=REF_A)


REF_A = {"$ref": "#/components/schemas/A"}


def test_the_parts_of_all_of_become_one() -> None:
    parts = [
        {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
        {"properties": {"a": {"maxLength": 5}, "b": {"type": "integer", "minimum": 1}}},
        {"properties": {"b": {"minimum": 3}}, "required": ["b"]},
    ]

    assert schema_of({"allOf": parts}) == {
        "type": "object",
        "properties": {
            "a": {"type": "string", "maxLength": 5},
            "b": {"type": "integer", "minimum": 3},
        },
        "required": ["a", "b"],
    }


def test_parts_that_contradict_ask_nothing_and_are_found() -> None:
    schema = {"allOf": [{"type": "string"}, {"type": "integer"}]}
    body = {"content": {"application/json": {"schema": schema}}}
    paths = {"/a": {"post": {"operationId": "x", "requestBody": body}}}

    assert schema_of(schema) == {}
    assert ("no value is string and integer at once", "any type is taken") in found(
        described(paths)
    )


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ({"type": "string", "nullable": True}, {"type": ["string", "null"]}),
        (
            {"type": "string", "nullable": True, "enum": ["a"]},
            {"type": ["string", "null"], "enum": ["a", None]},
        ),
        (
            {"type": "integer", "minimum": 1, "exclusiveMinimum": True},
            {"type": "integer", "minimum": 1, "exclusiveMinimum": 1},
        ),
        ({"type": ["string", "null"]}, {"type": ["string", "null"]}),
        ({"type": "array"}, {"type": "array", "items": {}}),
        ({"type": "string", "example": "x", "x-more": 1, "title": "T"}, {"type": "string"}),
        ({"type": "string", "format": "password"}, {"type": "string"}),
        ({"type": "string", "format": "date"}, {"type": "string", "format": "date"}),
        ({"const": "a"}, {"enum": ["a"]}),
        (True, {}),
        (False, {"not": {}}),
    ],
)
def test_old_and_new_keywords_become_those_of_2020_12(told: Any, shown: Any) -> None:
    assert schema_of(told) == shown


@pytest.mark.parametrize(
    ("broken", "shown", "says"),
    [
        ({"type": "file"}, {}, "'file' is no type"),
        ({"type": "string", "pattern": "["}, {"type": "string"}, "the pattern cannot be held"),
        ({"type": "string", "maxLength": "9"}, {"type": "string"}, '"9" is no number'),
        ({"type": "integer", "enum": "abc"}, {"type": "integer"}, "no list of values"),
        ({"type": "object", "required": True}, {"type": "object"}, "true is no list of names"),
        ({"type": "object", "properties": []}, {"type": "object"}, "properties are no mapping"),
        ({"$ref": "#/components/schemas/Gone"}, {}, "#/components/schemas/Gone is not there"),
        ({"$ref": "#anchor"}, {}, "#anchor is an anchor"),
        ("words", {}, "a text is no schema"),
        ({"type": "string", "enum": [1, "a"]}, {"type": "string", "enum": ["1", "a"]}, "among"),
    ],
)
def test_a_keyword_that_means_nothing_is_left_out_and_found(
    broken: Any, shown: Any, says: str
) -> None:
    body = {"content": {"application/json": {"schema": broken}}}
    paths = {"/a": {"post": {"operationId": "x", "requestBody": body}}}

    assert schema_of(broken) == shown
    assert any(says in each for each, _ in found(described(paths)))


def test_what_only_the_server_fills_in_is_not_asked_for() -> None:
    schema = {
        "type": "object",
        "properties": {
            "id": {"type": "integer", "readOnly": True},
            "url": {"$ref": "#/components/schemas/Url"},
            "old": {"type": "string", "deprecated": True},
            "name": {"type": "string"},
        },
        "required": ["id", "name"],
    }

    shown = schema_of(schema, Url={"type": "string", "readOnly": True})

    assert shown == {
        "type": "object",
        "properties": {"name": {"type": "string"}},
        "required": ["name"],
    }


def test_a_closed_object_of_which_something_is_hidden_is_open() -> None:
    properties = {"id": {"readOnly": True}, "a": {}}

    shown = schema_of({"properties": properties, "additionalProperties": False})

    assert shown == {"properties": {"a": {}}}


def test_a_long_list_of_values_becomes_a_few_and_a_note() -> None:
    shown = schema_of({"type": "string", "enum": [f"v{n}" for n in range(200)]})

    assert shown["type"] == "string"
    assert "enum" not in shown
    assert "one of 200 values, such as v0, v1" in shown["description"]


def test_branches_of_a_discriminator_say_their_value() -> None:
    schemas = {
        "Pet": {
            "type": "object",
            "properties": {"kind": {"type": "string"}},
            "required": ["kind"],
            "discriminator": {"propertyName": "kind", "mapping": {"meow": CAT, "woof": DOG}},
        },
        "Cat": {"allOf": [PET, {"properties": {"lives": {"type": "integer"}}}]},
        "Dog": {"allOf": [PET, {"properties": {"tricks": {"type": "integer"}}}]},
    }

    shown = schema_of(PET, **schemas)

    assert [branch["properties"]["kind"]["enum"] for branch in shown["anyOf"]] == [
        ["meow"],
        ["woof"],
    ]
    assert "lives" in shown["anyOf"][0]["properties"]


PET = {"$ref": "#/components/schemas/Pet"}
CAT = "#/components/schemas/Cat"
DOG = "Dog"


def test_a_deep_and_wide_schema_is_cut_until_it_is_small() -> None:
    leaf: Any = {"type": "string", "description": "words " * 30}
    for _ in range(6):
        leaf = {"type": "object", "properties": {f"p{n}": leaf for n in range(5)}}

    shown = schema_of(leaf)

    assert len(json.dumps(shown)) < 2 * CHARACTERS_MAX
    assert "its details are left out here" in json.dumps(shown)
    Draft202012Validator.check_schema(shown)


def test_a_bomb_of_references_is_cut() -> None:
    schemas: dict[str, Any] = {"A0": {"type": "object", "properties": {"x": {"type": "string"}}}}
    for n in range(1, 40):
        inner = {"$ref": f"#/components/schemas/A{n - 1}"}
        schemas[f"A{n}"] = {"allOf": [inner, inner, {"properties": {"a": inner, "b": inner}}]}
    body = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/A39"}}}}

    made, _ = read(
        described(
            {"/a": {"post": {"operationId": "x", "requestBody": body}}},
            components={"schemas": schemas},
        )
    )

    assert made.operations[0].cut
    assert made.operations[0].tokens < CHARACTERS_MAX


def test_texts_are_cut_to_their_first_sentences_without_markup() -> None:
    words = "The **status** of it. See [the page](https://x.example). " + "More of it. " * 50

    shown = schema_of({"type": "string", "description": words})

    assert shown["description"].startswith("The status of it. See the page.")
    assert len(shown["description"]) <= 140


def test_what_builds_on_a_schema_is_found_without_a_mapping() -> None:
    schemas = {
        "Pet": {
            "type": "object",
            "properties": {"kind": {"type": "string"}},
            "discriminator": {"propertyName": "kind"},
        },
        "Cat": {"allOf": [PET, {"properties": {"lives": {"type": "integer"}}}]},
    }

    (branch,) = schema_of(PET, **schemas)["anyOf"]

    assert branch["properties"]["kind"]["enum"] == ["Cat"]
    assert branch["properties"]["lives"] == {"type": "integer"}


def test_one_of_several_is_any_of_them_each_with_its_value() -> None:
    schemas = {
        "Cat": {"type": "object", "properties": {"kind": {"type": "string"}}},
        "Dog": {"type": "object", "properties": {"kind": {"type": "string"}}},
    }
    told = {
        "oneOf": [{"$ref": f"#/components/schemas/{name}"} for name in schemas],
        "discriminator": {"propertyName": "kind"},
    }

    branches = schema_of(told, **schemas)["anyOf"]

    assert [each["properties"]["kind"]["enum"] for each in branches] == [["Cat"], ["Dog"]]
    assert [each["required"] for each in branches] == [["kind"], ["kind"]]


def test_of_many_forms_a_few_are_shown_and_all_are_taken() -> None:
    shown = schema_of({"oneOf": [{"type": "string", "maxLength": n} for n in range(20)]})

    assert len(shown["anyOf"]) == 9
    assert shown["anyOf"][-1] == {}
    assert shown["description"] == "(12 more forms are left out here)"


def test_an_integer_is_a_number() -> None:
    assert schema_of({"allOf": [{"type": "number"}, {"type": "integer"}]}) == {"type": "integer"}


def test_an_open_object_keeps_the_form_of_its_values() -> None:
    schema = {"type": "object", "additionalProperties": {"type": "integer"}}

    assert schema_of(schema) == schema


def test_values_that_no_part_allows_together_are_left_out() -> None:
    schema = {"allOf": [{"type": "string", "enum": ["a"]}, {"enum": ["b"]}]}

    assert schema_of(schema) == {"type": "string"}


def test_more_properties_than_anybody_reads_are_cut_and_the_required_ones_stay() -> None:
    properties = {f"p{n}": {"type": "integer"} for n in range(200)}

    shown = schema_of({"type": "object", "properties": properties, "required": ["p199"]})

    assert next(iter(shown["properties"])) == "p199"
    assert len(shown["properties"]) == 80
    assert "120 more properties are left out here" in shown["description"]

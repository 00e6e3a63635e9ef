"""JSON Schemas in the forms that providers take, and the way back of an answer."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from stepfold.policy.schema import mismatch
from stepfold.providers.plain_schema import plain
from stepfold.providers.schemas import inlined, strict, unnull
from stepfold.providers.wire import Json
from tests.providers.strict_rules import SCHEMAS, answers, broken_rules

STRING: Json = {"type": "string"}
CHANCE = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)


def of(required: tuple[str, ...] = (), /, **properties: Any) -> Json:
    return {"type": "object", "properties": properties, "required": list(required)}


def closed(required: tuple[str, ...] = (), /, **properties: Any) -> Json:
    return {**of(required, **properties), "additionalProperties": False}


def inner(schema: Any, **more: Any) -> Any:
    """The strict form of a schema that is a required property; None when there is none."""
    told = strict({**of(("x",), x=schema), **more})
    return None if told is None else told["properties"]["x"]


# By chance


@CHANCE
@given(SCHEMAS, st.data())
def test_an_answer_to_a_strict_form_fits_the_original_once_its_nulls_are_out(
    schema: Json, data: st.DataObject
) -> None:
    form = strict(schema)
    assume(form is not None)
    assert form is not None

    answer = data.draw(answers(form))

    assert list(broken_rules(form)) == []
    assert mismatch(answer, form) is None
    assert mismatch(unnull(answer, schema), schema) is None


@CHANCE
@given(SCHEMAS)
def test_a_strict_form_is_its_own_strict_form(schema: Json) -> None:
    form = strict(schema)

    assert form is None or strict(form) == form


@CHANCE
@given(SCHEMAS, st.data())
def test_an_answer_that_fits_is_left_as_it_is(schema: Json, data: st.DataObject) -> None:
    form = strict(schema)
    assume(form is not None)
    assert form is not None

    fitting = unnull(data.draw(answers(form)), schema)

    assert unnull(fitting, schema) == fitting


# What has a strict form


@pytest.mark.parametrize(
    ("schema", "form"),
    [
        (STRING, STRING),
        ({"type": ["string", "null"]}, {"type": ["string", "null"]}),
        ({"type": ["string"]}, STRING),
        ({"const": 7}, {"type": "integer", "enum": [7]}),
        ({"enum": ["a", 1, None]}, {"type": ["string", "integer", "null"], "enum": ["a", 1, None]}),
        ({"type": "integer", "minimum": 1, "multipleOf": 2},
         {"type": "integer", "minimum": 1, "multipleOf": 2}),
        ({"type": "array", "items": STRING, "maxItems": 3},
         {"type": "array", "items": STRING, "maxItems": 3}),
        ({"items": STRING}, {"type": "array", "items": STRING}),
        ({"anyOf": [STRING, {"type": "null"}], "title": "Name"},
         {"title": "Name", "anyOf": [STRING, {"type": "null"}]}),
        ({"allOf": [STRING], "description": "a name"}, {"type": "string", "description": "a name"}),
        (closed(), {**closed(), "properties": {}}),
        (closed(("a",), a=STRING), closed(("a",), a=STRING)),
        (of(("a",), a=STRING), closed(("a",), a=STRING)),
        ({"properties": {"a": STRING}, "required": ["a"]}, closed(("a",), a=STRING)),
        ({"type": "string", "format": "date-time", "pattern": "^2"},
         {"type": "string", "format": "date-time", "pattern": "^2"}),
    ],
)  # fmt: skip
def test_a_schema_that_openai_knows_has_a_strict_form(schema: Json, form: Json) -> None:
    assert inner(schema) == form


@pytest.mark.parametrize(
    ("schema", "form"),
    [
        (STRING, {"type": ["string", "null"]}),
        ({"type": ["string", "null"]}, {"type": ["string", "null"]}),
        ({"type": "null"}, {"type": "null"}),
        ({"enum": ["a"]}, {"type": ["string", "null"], "enum": ["a", None]}),
        ({"anyOf": [STRING, {"type": "integer"}]},
         {"anyOf": [STRING, {"type": "integer"}, {"type": "null"}]}),
        ({"anyOf": [STRING, {"type": "null"}]}, {"anyOf": [STRING, {"type": "null"}]}),
        ({"type": "array", "items": STRING},
         {"anyOf": [{"type": "array", "items": STRING}, {"type": "null"}]}),
        (closed(("a",), a=STRING), {"anyOf": [closed(("a",), a=STRING), {"type": "null"}]}),
    ],
)  # fmt: skip
def test_what_was_optional_is_required_and_may_be_null(schema: Json, form: Json) -> None:
    assert strict(of((), x=schema)) == closed(("x",), x=form)


@pytest.mark.parametrize(
    "schema",
    [
        True,
        {},
        {"description": "anything"},
        {"type": "object"},
        {"type": "object", "additionalProperties": True},
        {"type": "object", "additionalProperties": STRING},
        {"type": "object", "unevaluatedProperties": STRING, "properties": {}},
        {"type": "object", "patternProperties": {"^x": STRING}},
        {"type": "array"},
        {"type": "array", "prefixItems": [STRING]},
        {"oneOf": [STRING, {"type": "integer"}]},
        {"allOf": [of(("a",), a=STRING), of(("b",), b=STRING)]},
        {"allOf": [closed(("a",), a=STRING)], "properties": {"b": STRING}},
        {"not": STRING},
        {"type": "string", "if": {"minLength": 1}, "then": {"maxLength": 2}},
        {"anyOf": [of(("a",), a=STRING), of(("a",), a={"type": "integer"})]},
        {"anyOf": [STRING], "type": "string"},
        {"anyOf": []},
        {"enum": []},
        {"enum": [{"a": 1}]},
        {"const": [1]},
        {"type": "any"},
        {"type": ["string", "file"]},
        {"$ref": "https://example.com/schema.json"},
        {"$ref": "#/$defs/nobody"},
        {"$ref": "#anchor"},
        {"$dynamicRef": "#node"},
        of(("missing",)),
    ],
)  # fmt: skip
def test_a_schema_that_openai_would_refuse_has_none(schema: Any) -> None:
    assert inner(schema) is None


def test_objects_that_a_constant_tells_apart_may_begin_alike() -> None:
    cat = closed(("kind", "lives"), kind={"const": "cat"}, lives={"type": "integer"})
    dog = closed(("kind",), kind={"const": "dog"})

    form = inner({"anyOf": [cat, dog]})

    assert [each["properties"]["kind"]["enum"] for each in form["anyOf"]] == [["cat"], ["dog"]]


@pytest.mark.parametrize(
    "schema",
    [
        STRING,
        {"type": "array", "items": STRING},
        {"anyOf": [of(("a",), a=STRING), of(("b",), b=STRING)]},
        {"type": ["object", "null"], "properties": {}},
        {},
    ],
)
def test_only_an_object_may_stand_at_the_root(schema: Json) -> None:
    assert strict(schema) is None


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": ["a"]},
        {"type": "object", "properties": {"a": STRING}, "required": True},
        {"type": "object", "properties": {"a": {"enum": 7}}},
        {"type": "object", "properties": {"a": {"anyOf": 7}}},
        {"type": "object", "properties": {"a": {"type": [{}]}}},
    ],
)
def test_what_is_no_schema_has_no_strict_form_and_is_no_crash(schema: Json) -> None:
    assert strict(schema) is None
    assert unnull({"a": None}, schema) is not None


def test_what_a_strict_form_cannot_say_is_told_in_the_description() -> None:
    form = inner(
        {"type": "string", "description": "A code.", "minLength": 2, "pattern": "^(?=x)",
         "format": "iban", "default": "xy"}
    )  # fmt: skip

    assert form == {
        "type": "string",
        "description": 'A code. (default: "xy", format: "iban", minLength: 2, pattern: "^(?=x)")',
    }


def nested(levels: int) -> Json:
    schema = of(("x",), x=STRING)
    for _ in range(levels - 1):
        schema = of(("x",), x=schema)
    return schema


def wide(number: int) -> Json:
    return of((), **{f"p{place}": STRING for place in range(number)})


def listing(number: int, characters: int = 1) -> Json:
    return of(("x",), x={"enum": [f"{place:0{characters}}" for place in range(number)]})


@pytest.mark.parametrize(
    ("within", "beyond"),
    [
        (nested(9), nested(10)),
        (wide(5_000), wide(5_001)),
        (listing(1_000), listing(1_001)),
        (listing(250, 100), listing(251, 100)),
        (of(("x" * 119_999,), **{"x" * 119_999: STRING}), of((), **{"x" * 120_001: STRING})),
    ],
    ids=["levels", "properties", "values", "a long enum", "characters"],
)
def test_a_schema_beyond_the_limits_has_no_strict_form(within: Json, beyond: Json) -> None:
    assert strict(within) is not None
    assert strict(beyond) is None


# References


def test_references_are_replaced_by_what_they_name() -> None:
    schema = {
        **of((), a={"$ref": "#/$defs/a~1b"}, c={"$ref": "#/definitions/c%20d"}),
        "$defs": {"a/b": {"$ref": "#/properties/e"}},
        "definitions": {"c d": STRING},
    }
    schema["properties"]["e"] = {"type": "integer"}

    assert inlined(schema) == of((), a={"type": "integer"}, c=STRING, e={"type": "integer"})


def test_words_beside_a_reference_are_the_nearer_ones() -> None:
    named = {"named": {"type": "string", "title": "Named", "description": "far"}}

    form = inner({"$ref": "#/$defs/named", "description": "near"}, **{"$defs": named})

    assert form == {"type": "string", "title": "Named", "description": "near"}


@pytest.mark.parametrize(
    ("named", "beside"),
    [
        ({"type": "string"}, {"type": "integer"}),
        ({"additionalProperties": False}, {"properties": {"a": STRING}}),
        (of(("a",), a=STRING), {"required": ["b"]}),
        ({"if": STRING}, {"then": {"minLength": 1}}),
    ],
)
def test_what_holds_beside_a_reference_holds_as_well_as_what_it_names(
    named: Json, beside: Json
) -> None:
    schema = {**of((), x={"$ref": "#/$defs/n", **beside}), "$defs": {"n": named}}

    assert inlined(schema)["properties"]["x"] == {"allOf": [named], **beside}


def test_a_schema_that_contains_itself_is_cut_and_is_not_strict() -> None:
    tree = {
        **of(("name",), name=STRING, twigs={"type": "array", "items": {"$ref": "#"}}),
        "title": "Tree",
    }

    twig = inlined(tree)["properties"]["twigs"]["items"]

    assert twig["properties"]["twigs"]["items"] == {"type": "object", "title": "Tree"}
    assert strict(tree) is None


def test_references_that_double_with_every_step_come_to_an_end() -> None:
    next_twice = [{"$ref": f"#/$defs/d{place + 1}"} for place in range(40)]
    defs = {f"d{place}": of((), a=ref, b=ref) for place, ref in enumerate(next_twice)}
    schema = {**of((), x={"$ref": "#/$defs/d0"}), "$defs": {**defs, "d40": STRING}}

    assert strict(schema) is None


# The way back


@pytest.mark.parametrize(
    ("schema", "answer", "told"),
    [
        (of((), a=STRING), {"a": None}, {}),
        (of((), a=STRING), {"a": "", "b": None}, {"a": "", "b": None}),
        (of(("a",), a=STRING), {"a": None}, {"a": None}),
        (of((), a={"type": ["string", "null"]}), {"a": None}, {"a": None}),
        (of((), a={"enum": ["x", None]}), {"a": None}, {"a": None}),
        (of((), a=True), {"a": None}, {"a": None}),
        (of((), a={"$ref": "#/$defs/a"}), {"a": None}, {"a": None}),
        (of((), a=of((), b=STRING)), {"a": {"b": None}}, {"a": {}}),
        (of((), a={"type": "array", "items": of((), b=STRING)}), {"a": [{"b": None}]}, {"a": [{}]}),
        (of((), a={"allOf": [of((), b=STRING)]}), {"a": {"b": None}}, {"a": {}}),
        (of((), a={"anyOf": [of((), b=STRING), of((), c=of((), d=STRING))]}),
         {"a": {"c": {"d": None}}}, {"a": {"c": {}}}),
        (of((), a={"anyOf": [
            {"type": "array", "items": of((), b=STRING), "minItems": 2},
            {"type": "array", "items": of((), c=STRING)},
        ]}), {"a": [{"c": None}]}, {"a": [{}]}),
        (of((), a={"oneOf": [of(("k",), k={"const": 1}, b=STRING),
                             of(("k",), k={"const": 2}, b={"type": ["string", "null"]})]}),
         {"a": {"k": 2, "b": None}}, {"a": {"k": 2, "b": None}}),
        (of((), a=STRING), [None, {"a": None}], [None, {"a": None}]),
        (of((), a=STRING), "no object", "no object"),
        ({"type": "array", "items": of((), a=STRING)}, [{"a": None}], [{}]),
        ({}, {"a": None}, {"a": None}),
    ],
)  # fmt: skip
def test_nulls_that_stand_for_left_out_are_left_out(schema: Json, answer: Any, told: Any) -> None:
    assert unnull(answer, schema) == told


class Address(BaseModel):
    street: str
    city: str | None = None


class Order(BaseModel):
    number: int
    lines: list[str] = []
    to: Address
    note: str = "none"


def test_a_pydantic_model_reads_what_was_answered_to_its_strict_form() -> None:
    schema = Order.model_json_schema()
    form = strict(schema)
    answer = {"number": 7, "lines": None, "to": {"street": "High", "city": None}, "note": None}

    assert form is not None
    assert mismatch(answer, form) is None
    assert Order.model_validate(unnull(answer, schema)) == Order(
        number=7, to=Address(street="High")
    )


# The plain form


def test_the_plain_form_tells_its_bounds_in_words() -> None:
    number = {"type": "number", "multipleOf": 2, "description": "Even."}
    numbers = {"type": "array", "items": number, "maxItems": 3}

    told = plain(of((), x={"anyOf": [{"type": "integer", "minimum": 1}, numbers]}))

    assert told is not None
    assert told["properties"]["x"]["anyOf"] == [
        {"type": "integer", "description": "(minimum: 1)"},
        {
            "type": "array",
            "items": {"type": "number", "description": "Even. (multipleOf: 2)"},
            "description": "(maxItems: 3)",
        },
        {"type": "null"},
    ]


def test_the_plain_form_ends_where_unions_are_too_many() -> None:
    schema = of((), a=STRING, b=STRING, c={"anyOf": [STRING, {"type": "null"}]})

    assert plain(schema, unions_max=3) is not None
    assert plain(schema, unions_max=2) is None
    assert plain({"type": "object", "additionalProperties": STRING}) is None

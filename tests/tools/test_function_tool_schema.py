"""What a model is shown of a typed function."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from stepfold.policy.schema import broken, mismatch
from stepfold.tools.function import tool
from stepfold.tools.function_docstring import said


class Address(BaseModel):
    """Where it goes."""

    street: str
    title: str = ""
    default: dict[str, int] = {}


class Extra(BaseModel):
    model_config = ConfigDict(extra="allow")

    known: int


class Tree(BaseModel):
    value: int
    children: list[Tree] = []


@tool(effect="external", recovery="idempotent", trusted=True, timeout_s=5, name="ship-it")
def ship(
    order: str,
    to: Address,
    speed: Literal["slow", "fast"] = "slow",
    weight_kg: Annotated[float, Field(gt=0, description="With its box.")] = 1.0,
    note: str | None = None,
    extra: Extra | None = None,
) -> Address:
    """Sends an order
    by parcel.

    It takes a while.

    Args:
        order: Which one,
            as A-17.
        weight_kg: Overruled by the Field.
        note (str | None): For the driver: what to ring.
        ghost: Of no parameter.

    Returns:
        order: not of the parameter.
    """
    return to


def test_a_spec_says_what_the_decorator_said() -> None:
    spec = ship.spec

    assert (spec.name, spec.effect, spec.recovery) == ("ship-it", "external", "idempotent")
    assert (spec.trusted, spec.timeout_s, spec.lookup) == (True, 5, "")
    assert spec.description == "Sends an order by parcel."


def test_parameters_are_a_closed_schema_without_what_only_costs_tokens() -> None:
    address = {
        "type": "object",
        "description": "Where it goes.",
        "properties": {
            "street": {"type": "string"},
            "title": {"type": "string", "default": ""},
            "default": {
                "type": "object",
                "additionalProperties": {"type": "integer"},
                "default": {},
            },
        },
        "required": ["street"],
        "additionalProperties": False,
    }
    extra = {"type": "object", "properties": {"known": {"type": "integer"}}, "required": ["known"]}
    assert ship.spec.parameters == {
        "type": "object",
        "properties": {
            "order": {"type": "string", "description": "Which one, as A-17."},
            "to": {"$ref": "#/$defs/Address"},
            "speed": {"enum": ["slow", "fast"], "type": "string", "default": "slow"},
            "weight_kg": {
                "type": "number",
                "exclusiveMinimum": 0,
                "description": "With its box.",
                "default": 1.0,
            },
            "note": {
                "anyOf": [{"type": "string"}, {"type": "null"}],
                "description": "For the driver: what to ring.",
            },
            "extra": {"anyOf": [{"$ref": "#/$defs/Extra"}, {"type": "null"}]},
        },
        "required": ["order", "to"],
        "additionalProperties": False,
        "$defs": {"Address": address, "Extra": extra},
    }


def test_the_schemas_are_schemas_and_hold_what_fits() -> None:
    good = {"order": "A", "to": {"street": "Main"}, "extra": {"known": 1, "more": 2}}

    assert broken(ship.spec.parameters) is None
    assert broken(ship.spec.result) is None
    assert mismatch(good, ship.spec.parameters) is None
    assert mismatch({**good, "to": {"street": "Main", "stret": ""}}, ship.spec.parameters)
    assert mismatch({"street": "Main", "title": "", "default": {}}, ship.spec.result) is None


def test_a_type_that_holds_itself_has_a_schema() -> None:
    @tool(effect="read")
    def count(tree: Tree) -> int:
        """Counts."""
        return 1

    deep = {"tree": {"value": 1, "children": [{"value": 2}]}}
    assert mismatch(deep, count.spec.parameters) is None
    assert mismatch({"tree": {"value": 1, "children": [{}]}}, count.spec.parameters)


def test_no_parameters_are_an_object_of_none() -> None:
    @tool(effect="read")
    async def now() -> str:
        """Says the time."""
        return ""

    assert now.spec.parameters == {
        "type": "object",
        "properties": {},
        "additionalProperties": False,
    }
    assert now.spec.result == {"type": "string"}


def test_a_default_that_has_no_json_is_not_shown() -> None:
    @tool(effect="read")
    def find(query: str, filter: Any = object()) -> list[str]:  # noqa: B008
        """Finds."""
        return [query]

    assert find.spec.parameters["properties"]["filter"] == {}
    assert find.spec.parameters["required"] == ["query"]


# -- docstrings ---------------------------------------------------------------------------------

GOOGLE = """Finds a thing.

    More of it: not for the model.

    Args:
        query (str, optional): The words
            to find.

            In two paragraphs.
        *limit: At most so many.
        filter (dict[str, tuple(int)]): As a: b.

    Raises:
        query: never
    """
NUMPY = """
    Finds a thing.

    Parameters
    ----------
    query : str
        The words
        to find.

        In two paragraphs.
    limit
        At most so many.
    filter : dict of {str: int}, optional
        As a: b.

    Returns
    -------
    query : str
        Not of the parameter.
    """
SPHINX = """Finds a thing.
    :param str query: The words
        to find.

        In two paragraphs.
    :param limit: At most so many.
    :parameter dict[str, int] filter: As a: b.
    :returns: query
    :raises query: never
    """


@pytest.mark.parametrize("docstring", [GOOGLE, NUMPY, SPHINX])
def test_three_styles_of_docstring_describe_parameters(docstring: str) -> None:
    told = said(docstring)

    assert told.description == "Finds a thing."
    assert told.parameters == {
        "query": "The words to find. In two paragraphs.",
        "limit": "At most so many.",
        "filter": "As a: b.",
    }


@pytest.mark.parametrize(
    ("docstring", "description"),
    [
        (None, ""),
        ("", ""),
        ("One\n    line\n    or three.\n\n    More.", "One line or three."),
        ("Args:\n    x: one", ""),
        ("Finds.\nArgs:\n    x: one", "Finds."),
        ("Parameters\n----------\nx\n    one", ""),
        ("Note: this is a sentence.", "Note: this is a sentence."),
    ],
)
def test_the_first_paragraph_describes_the_tool(docstring: str | None, description: str) -> None:
    assert said(docstring).description == description


def test_two_parameters_may_share_a_text() -> None:
    told = said("It.\n\nParameters\n----------\nx, y : int\n    Where.\n")

    assert told.parameters == {"x": "Where.", "y": "Where."}

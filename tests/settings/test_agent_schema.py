"""The published JSON Schema of an agent's file: it follows from the form, and it is true."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from stepfold.settings import AgentRefused, parse_agent
from stepfold.settings.agent_form import json_schema

DOCS = Path(__file__).parents[2] / "docs"
PUBLISHED = DOCS / "agent.schema.json"
(EXAMPLE,) = re.findall(
    r"^```toml\n(.*?)^```$", (DOCS / "agents.md").read_text(), re.MULTILINE | re.DOTALL
)


def faults(told: Any) -> list[str]:
    return [error.message for error in Draft202012Validator(json_schema()).iter_errors(told)]


def test_what_is_published_is_what_the_form_says() -> None:
    assert json.loads(PUBLISHED.read_text()) == json_schema(), (
        "write it anew: stepfold agent schema > docs/agent.schema.json"
    )


def test_it_is_a_schema_and_the_example_fits_it() -> None:
    Draft202012Validator.check_schema(json_schema())

    assert faults(tomllib.loads(EXAMPLE)) == []


def test_every_field_has_a_description() -> None:
    schema = json_schema()
    tables = {"properties": schema["properties"], **schema["$defs"]}

    missing = [
        f"{name}.{key}"
        for name, form in tables.items()
        for key, field in form.get("properties", form).items()
        if not field.get("description") and "$ref" not in field
    ]

    assert missing == []


@pytest.mark.parametrize(
    "text",
    [
        'tools = ["a"]',
        "[tools.a]\napproval = true",
        "[tools.a.approval]\npeople = 2\nunless.x = { maximum = 3 }",
        "[tools.a.arguments]\nx = { equals = 1 }",
        'limits.cost_usd_max = "0.05"',
        "limits.turn_s = 3",
        'answers.languages = ["pt-BR"]',
        'sandbox = "process"',
    ],
)
def test_what_is_read_fits_the_schema(text: str) -> None:
    text = f'name = "x"\n{text}\n'

    assert parse_agent(text, Path("desk.toml")).name == "x"
    assert faults(tomllib.loads(text)) == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        'name = ""',
        'name = "x"\nnmae = "y"',
        'name = "x"\ntools = [1]',
        'name = "x"\ntools.a.approval = "yes"',
        'name = "x"\ntools.a.approval.people = 0',
        'name = "x"\ntools.a.arguments.x = { maximum = "3" }',
        'name = "x"\nlimits.turn_s = 0',
        'name = "x"\nlimits.cost_usd_max = -1',
        'name = "x"\nanswers.languages = ["german"]',
        'name = "x"\nsecond_message = "later"',
    ],
)
def test_what_does_not_fit_the_schema_is_not_read(text: str) -> None:
    assert faults(tomllib.loads(text)) != []
    with pytest.raises(AgentRefused):
        parse_agent(text, Path("desk.toml"))

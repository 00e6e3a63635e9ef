"""An agent's file: what it means, in TOML and YAML, and that the same is the same version."""

from __future__ import annotations

import re
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from stepfold.policy.agent import Agent, Answers, Limits, digest
from stepfold.policy.gate import Who, approval_for, why_not
from stepfold.policy.grant import Approval, Grant
from stepfold.settings import read_agent
from stepfold.settings.agent_form import ApprovalForm, ToolForm, keys

PAGE = Path(__file__).parents[2] / "docs" / "agents.md"
(EXAMPLE,) = re.findall(r"^```toml\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def read(folder: Path, text: str, name: str = "desk.toml") -> Agent:
    (folder / "desk.md").write_text("# The desk\n\nHelp with orders.\n\n")
    (folder / name).write_text(text)
    return read_agent(folder / name)


def turned(told: Any) -> Any:
    """The same with the keys of each table the other way round, but for the tools themselves."""
    if not isinstance(told, dict):
        return told
    return {
        key: {name: turned(tool) for name, tool in value.items()}
        if key == "tools"
        else turned(value)
        for key, value in reversed(told.items())
    }


# -- the page ----------------------------------------------------------------------------------


def test_the_example_of_the_page_means_what_the_page_says(tmp_path: Path) -> None:
    agent = read(tmp_path, EXAMPLE)

    assert agent.name == "orders-desk"
    assert agent.instructions == "# The desk\n\nHelp with orders."
    assert agent.tools == ("find_order", "refund_order", "send_mail", "add_note")
    assert agent.grants == {
        "find_order": Grant(arguments={"customer_id": {"const": "{customer}"}}),
        "refund_order": Grant(
            arguments={
                "customer_id": {"const": "{customer}"},
                "amount": {"minimum": 0.01, "maximum": 50, "type": "number"},
                "reason": {"enum": ["damaged", "late", "lost"]},
            },
            approval=Approval(2, 7200, {"amount": {"maximum": 20, "type": "number"}}),
        ),
        "send_mail": Grant(arguments={"to": {"const": "{contact}"}}, approval=Approval()),
        "add_note": Grant(safe=True),
    }
    assert (agent.collections, agent.trusted) == (("handbook", "forum"), ("handbook",))
    assert (agent.sandbox, agent.channels, agent.passages_max) == ("monty", ("web", "mail"), 4)
    assert agent.answers == Answers(
        cite=True,
        otherwise="hand_off",
        handoff="A colleague will write to you today.",
        characters_max=1200,
        languages=("en", "de", "pt-BR"),
    )
    assert agent.limits == Limits(8, 4, 2, Decimal("0.05"), 90, 30, 0.5, 20)


def test_the_example_holds_every_key_and_the_page_tells_each_of_them() -> None:
    told, text = tomllib.loads(EXAMPLE), PAGE.read_text()

    assert told.keys() | {"instructions"} == set(keys(()))
    assert told["limits"].keys() == set(keys(("limits",)))
    assert told["answers"].keys() == set(keys(("answers",)))
    every = {*keys(()), *keys(("answers",)), *ToolForm.model_fields, *ApprovalForm.model_fields}
    assert [key for key in every if f"`{key}`" not in text] == []


def test_what_the_example_constrains_is_refused_by_the_gate(tmp_path: Path) -> None:
    agent, ada = read(tmp_path, EXAMPLE), Who("acme", "ada@example.com", "c1")
    good = {"customer_id": "acme", "amount": 30, "reason": "late"}

    assert why_not(agent, "refund_order", good, ada) is None
    assert "9999" in str(why_not(agent, "refund_order", {**good, "amount": "9999"}, ada))
    assert "'acme' was" in str(why_not(agent, "refund_order", {**good, "customer_id": "b"}, ada))
    assert why_not(agent, "send_mail", {"to": "ada@example.com"}, ada) is None
    assert why_not(agent, "send_mail", {"to": "eve@example.com"}, ada) is not None


@pytest.mark.parametrize(("amount", "people"), [(20, None), (20.5, 2), ("5", 2)])
def test_an_approval_is_spared_only_by_what_fits(
    tmp_path: Path, amount: object, people: int | None
) -> None:
    agent = read(tmp_path, EXAMPLE)

    found = approval_for(agent, "refund_order", {"amount": amount}, Who("acme"), tainted=False)

    assert (found[0].people if found else None) == people


# -- the same is the same version --------------------------------------------------------------


@pytest.mark.parametrize("name", ["desk.yaml", "desk.yml", "desk.YAML"])
def test_toml_and_yaml_in_any_order_are_the_same_version(tmp_path: Path, name: str) -> None:
    told = turned(tomllib.loads(EXAMPLE))

    agent = read(tmp_path, yaml.safe_dump(told, sort_keys=False, allow_unicode=True), name)

    assert agent == read(tmp_path, EXAMPLE)
    assert digest(agent) == digest(read(tmp_path, EXAMPLE))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('tools = ["a", "b"]', "[tools.a]\n[tools.b]"),
        ("[tools.a]\napproval = true", "[tools.a.approval]\npeople = 1\nexpires_s = 3600"),
        ("[tools.a]\napproval = false\nsafe = false", 'tools = ["a"]'),
        ("[tools.a.arguments]\nx = { equals = 1.0 }", "[tools.a.arguments]\nx = { const = 1 }"),
        (
            "[tools.a.arguments]\nx = { maximum = 50.0 }",
            '[tools.a.arguments.x]\ntype = "number"\nmaximum = 50',
        ),
        ('instructions = "# The desk\\n\\nHelp with orders."', 'instructions_file = "desk.md"'),
        ("[answers]\ncite = false\nlanguages = []", ""),
        ('answers.languages = ["DE-ch", "ZH-hant"]', 'answers.languages = ["de-CH", "zh-Hant"]'),
        ('persona = ""\nsandbox = ""\nchannels = []\ntrusted = []\ntools = []', ""),
    ],
)
def test_what_means_the_same_is_the_same_version(tmp_path: Path, one: str, other: str) -> None:
    a, b = (read(tmp_path, f'name = "x"\n{text}\n') for text in (one, other))

    assert a == b
    assert digest(a) == digest(b)


OLD = {
    'name = "help-desk"': "1fb5f071eb8100db1f49f007e52eaeda7c34b6017498303b6915b80dbf9c04fb",
    """name = "help-desk"
instructions = "Answer from the knowledge, quote it, and say so when it holds no answer."
models = ["extractive"]
collections = ["default"]
second_message = "merge"

[limits]
steps_max = 6
turn_s = 60
""": "4b97573e50829481d40965c78a2c07929c5cea3c9d209abbef9065428ce87e6b",
    """name = "desk"
models = []
limits = { turn_s = 180, cost_usd_max = 2 }
""": "be70dacceb76a1ec0196957d1f4d1b69ce28cc5cb7e3509c048125d6441e3547",
    '''name = "Hilfe-Stelle"
instructions = """
Antworte aus dem Wissen.
Zitiere es."""
models = ["openai/gpt-5-mini", "extractive"]
tools = ["send_email", "create_ticket"]
collections = ["default", "handbook"]
passages_max = 3
second_message = "supersede"

[limits]
steps_max = 6
calls_max = 4
attempts_max = 2
cost_usd_max = 0.05
turn_s = 60
call_s = 12.5
backoff_s = 0.25
backoff_s_max = 10
''': "8000ec355318e844a60717e4ad0afb0ab35eab08efb1166d560a274d16a9f3b3",
    'name = "x"\nlimits = { cost_usd_max = "0.50" }\n': (
        "c934ede79ba1f897fda0c551aceb347604c32809d1365a8324c739ea857bff49"
    ),
    'name = "x"\nlimits = { backoff_s = 0 }\n': (
        "52fbd5edbf7541e5ddb180ef5fc4235d315b169cf52295e27a9e0b1c77f854b5"
    ),
}
"""Files from before there were grants, with the digests that they had then."""


@pytest.mark.parametrize("text", OLD)
def test_an_old_file_is_still_the_version_that_it_was(tmp_path: Path, text: str) -> None:
    assert digest(read(tmp_path, text)) == f"sha256:{OLD[text]}"


# -- constraints -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "meant"),
    [
        ("{ minimum = 1 }", {"minimum": 1, "type": "number"}),
        ("{ maxLength = 9 }", {"maxLength": 9, "type": "string"}),
        ("{ maximum = 9, maxLength = 9 }", {"maximum": 9, "maxLength": 9}),
        ('{ type = "integer", maximum = 9 }', {"type": "integer", "maximum": 9}),
        ("{ enum = [1, 2] }", {"enum": [1, 2]}),
        ("{}", {}),
        (
            "{ anyOf = [{ maximum = 9 }, { const = 99 }] }",
            {"anyOf": [{"maximum": 9, "type": "number"}, {"const": 99}]},
        ),
        (
            "{ properties.n.maximum = 9 }",
            {"properties": {"n": {"maximum": 9, "type": "number"}}, "type": "object"},
        ),
        ("{ not = { maximum = 9 } }", {"not": {"maximum": 9}}),
    ],
)
def test_a_constraint_says_the_type_that_it_is_about(
    tmp_path: Path, told: str, meant: dict[str, Any]
) -> None:
    agent = read(tmp_path, f'name = "x"\n[tools.a.arguments]\nx = {told}\n')

    found = dict(agent.grants["a"].arguments["x"])
    if "maxLength" in found and "maximum" in found:
        assert set(found.pop("type")) == {"number", "string"}
    assert found == meant

"""What is wrong with an agent's file: all of it at once, with the line, the key and the way out."""

from __future__ import annotations

from pathlib import Path

import pytest

from stepfold.settings import AgentRefused, SettingsError, parse_agent, read_agent

TOML, YAML = Path("desk.toml"), Path("desk.yaml")
NAMED = 'name = "x"\n'


def wrong(text: str, path: Path = TOML) -> list[str]:
    with pytest.raises(AgentRefused) as refused:
        parse_agent(text, path)
    return list(refused.value.problems)


def test_every_mistake_is_told_at_once_in_the_order_of_the_lines() -> None:
    text = """nmae = "x"
models = "gpt"
second_message = "marge"

[limits]
steps_max = 0

[tools.refund]
aproval = true
arguments.amount = { maximun = 50 }
"""

    found = wrong(text)

    assert [problem.partition(": ")[0] for problem in found] == [
        *("desk.toml:1", "desk.toml:1", "desk.toml:2", "desk.toml:3"),
        *("desk.toml:6", "desk.toml:9", "desk.toml:10"),
    ]
    assert found[0] == 'desk.toml:1: name: is missing; write such as name = "help-desk"'
    assert found[1].startswith("desk.toml:1: nmae: unknown key; did you mean `name`? known: ")
    assert found[-1] == (
        "desk.toml:10: tools.refund.arguments.amount.maximun: is no keyword that constrains"
        " anything; did you mean `maximum`?"
    )


def test_the_lines_of_yaml_are_told_too() -> None:
    text = """# a comment
name: x
tools:
  refund:
    arguments:
      amount: {maximun: 5}
    approval:
      people: two
answers:
  languages:
    - en
    - no
"""

    assert [problem.rpartition(";")[0] for problem in wrong(text, YAML)] == [
        "desk.yaml:6: tools.refund.arguments.amount.maximun: is no keyword that constrains"
        " anything",
        'desk.yaml:8: tools.refund.approval.people: "two" is no whole number',
        "desk.yaml:12: answers.languages 2: false is no BCP 47 tag",
    ]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("persona = 3", "persona: 3 is no text; put it in quotes"),
        ('sandbox = "mont"', 'sandbox: "mont" is unknown; did you mean `monty`?'),
        ("passages_max = 2.5", "passages_max: 2.5 is no whole number"),
        ("passages_max = true", "passages_max: true is no whole number"),
        ('models = ["a", 3]', "models 2: 3 is no text"),
        ('models = [""]', 'models 1: "" is empty'),
        ('tools = ["a", "b", "a"]', 'tools 3: "a" stands there twice; leave one out'),
        ('trusted = ["b"]', 'trusted 1: "b" is none of the `collections`; known: none'),
        ("limits = 3", "limits: 3 is no table; write [limits], and its keys below it"),
        ("limits.turn_s = -1", "limits.turn_s: -1 is too small; write a number above 0"),
        ("limits.turn_s = inf", "limits.turn_s: inf is no finite number"),
        ("limits.turn_s = 1e300", "limits.turn_s: 1e+300 is too large; write 31622400 or less"),
        (f"limits.turn_s = 1{'0' * 400}", "… is no number"),
        (f"passages_max = 1{'0' * 30}", "is too large; write 1000000000 or less"),
        ("limits.turn_s = 0", "limits.turn_s: 0 is too small"),
        ("limits.calls_max = 0", "limits.calls_max: 0 is too small; write 1 or more"),
        ("limits.cost_usd_max = 0", "limits.cost_usd_max: 0 is no amount above 0"),
        ("limits.cost_usd_max = true", "limits.cost_usd_max: true is no amount"),
        ('limits.cost_usd_max = "much"', 'limits.cost_usd_max: "much" is no amount above 0'),
        ("limits.cost_usd_max = nan", "limits.cost_usd_max: nan is no amount above 0"),
        ('answers.cite = "yes"', 'answers.cite: "yes" is neither true nor false'),
        ('answers.refusal = ""', 'answers.refusal: "" is empty'),
        ('answers.languages = ["german"]', 'answers.languages 1: "german" is no BCP 47 tag'),
        ('answers.otherwise = "handoff"', "did you mean `hand_off`?"),
        ("answers.characters_max = 0", "answers.characters_max: 0 is too small"),
        (
            'languages = ["de"]',
            "languages: unknown key; it stands in a table of",
        ),
        (
            "grants.a.safe = true",
            "grants: unknown key; what the agent may do with a tool",
        ),
        ("tools.a.effect = 1", "tools.a.effect: unknown key; known: arguments, approval, safe"),
        ("tools.a.approval = 1", "tools.a.approval: 1 is neither true nor false"),
        ("tools.a.approval.people = 0", "tools.a.approval.people: 0 is too small"),
        ("tools.a.approval.expires_s = 0", "tools.a.approval.expires_s: 0 is too small"),
        ("tools.a.arguments.x = 3", "tools.a.arguments.x: 3 is no table"),
    ],
)
def test_a_value_that_means_nothing_is_refused(line: str, why: str) -> None:
    (problem,) = wrong(NAMED + line + "\n")

    assert problem.startswith("desk.toml:2: ")
    assert why in problem


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ("{ maximum = '20' }", "is no JSON Schema: maximum: '20' is not of type 'number'"),
        ("{ pattern = '[' }", "is no JSON Schema: pattern"),
        ("{ format = 'email' }", "x.format: is only a note in JSON Schema and constrains nothing"),
        ("{ '$ref' = '#/x' }", "x.$ref: is not read here; write out what the argument must be"),
        ("{ const = '{costumer}' }", "x.const: {costumer} stands for nothing; known: {customer},"),
        ("{ enum = ['a', '{me}'] }", "x.enum: {me} stands for nothing"),
        ("{ pattern = '^{contact}$' }", "x.pattern: {contact} cannot stand in a pattern"),
        ("{ type = 'string', maximum = 3 }", "x.maximum: says nothing about the type string"),
        ("{ equals = 1, const = 2 }", "x.equals: says the same as `const`"),
        ("{ const = 2026-01-01 }", "x.const: 2026-01-01 is no value of JSON; put it in quotes"),
        ("{ maximum = inf }", "x.maximum: inf is no number of JSON"),
        (f"{{ const = 1{'0' * 30} }}", "x.const: a whole number is at most"),
        ("{ type = [['string']] }", "is no JSON Schema: type"),
        ("{ anyOf = [{ minimun = 1 }] }", "x.anyOf 1.minimun: is no keyword"),
        ("{ properties.n.minimun = 1 }", "x.properties.n.minimun: is no keyword"),
    ],
)
@pytest.mark.parametrize("where", ["arguments", "approval.unless"])
def test_a_constraint_that_would_constrain_nothing_is_refused(
    where: str, schema: str, why: str
) -> None:
    (problem,) = wrong(f"{NAMED}[tools.pay]\n{where}.x = {schema}\n")

    assert problem.startswith(f"desk.toml:3: tools.pay.{where}.x")
    assert why in problem


def test_braces_that_are_no_template_are_as_they_stand() -> None:
    text = NAMED + "[tools.pay.arguments]\nx = { pattern = '^[0-9]{4}$' }\ny = { const = '{}' }\n"

    grant = parse_agent(text, TOML).grants["pay"]

    assert grant.arguments["x"] == {"pattern": "^[0-9]{4}$", "type": "string"}
    assert grant.arguments["y"] == {"const": "{}"}


# -- the file itself ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "path", "why"),
    [
        ("name =", TOML, "desk.toml:1: this agent file is no TOML: Invalid value"),
        ('\nname = "x', TOML, "desk.toml:2: this agent file is no TOML: Unterminated string"),
        ("name: 'x\n", YAML, "desk.yaml:2: this agent file is no YAML: while scanning"),
        ("- a\n", YAML, "desk.yaml:1: this agent file is no table of keys"),
        ("", YAML, "desk.yaml:1: name: is missing"),
        ("name: x\n---\nname: y\n", YAML, "desk.yaml:2: this agent file is no YAML: expected a"),
        ("name: \x07\n", YAML, "desk.yaml: this agent file is no YAML: unacceptable character"),
        ("name: 2026-02-31\n", YAML, "desk.yaml: this agent file has a value that is none"),
        ("name: &a x\npersona: *a\n", YAML, "desk.yaml:2: *a repeats what stands elsewhere"),
        ("name: x\nname: y\n", YAML, "desk.yaml:2: `name` stands in line 1 already"),
        ("name: x\non: 3\n", YAML, "desk.yaml:2: the key `on` is no text in YAML"),
        ("name: !!python/object:os.system x\n", YAML, "desk.yaml:1: this agent file is no YAML"),
        ("name = " + "1" * 5000, TOML, "desk.toml: this agent file has a value that is none"),
        ("name = " + "[" * 3000, TOML, "desk.toml: it is nested too deeply"),
    ],
)
def test_what_cannot_be_read_says_where(text: str, path: Path, why: str) -> None:
    (problem,) = wrong(text, path)

    assert problem.startswith(why)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"agent file .*gone\.toml: No such file"):
        read_agent(tmp_path / "gone.toml")


def test_a_file_that_is_not_utf_8_is_told(tmp_path: Path) -> None:
    (tmp_path / "desk.toml").write_bytes(b'name = "\xe4"')

    with pytest.raises(AgentRefused, match="save it as UTF-8"):
        read_agent(tmp_path / "desk.toml")


@pytest.mark.parametrize(
    ("raw", "more", "why"),
    [
        (None, "", "No such file or directory; a path begins at this file's folder"),
        (b"\n \n", "", "is empty; write what the agent is told"),
        (b"\xe4", "", "is not UTF-8; save it as UTF-8"),
        (b"Hi.", 'instructions = "Hi."\n', "`instructions` are told as well"),
    ],
)
def test_instructions_in_a_file_of_their_own_must_be_there_and_say_something(
    tmp_path: Path, raw: bytes | None, more: str, why: str
) -> None:
    if raw is not None:
        (tmp_path / "desk.md").write_bytes(raw)

    (problem,) = wrong(NAMED + 'instructions_file = "desk.md"\n' + more, tmp_path / "desk.toml")

    assert problem.startswith(f"{tmp_path}/desk.toml:2: instructions_file: ")
    assert why in problem


def test_an_agent_that_no_message_holds_is_refused(tmp_path: Path) -> None:
    (tmp_path / "desk.md").write_text("long " * 200_000)

    (problem,) = wrong(NAMED + 'instructions_file = "desk.md"\n', tmp_path / "desk.toml")

    assert "bytes: an agent has at most 900,000 bytes; shorten the instructions" in problem

"""`stepfold agent`: files are checked, versions on the log are listed, shown and compared."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from stepfold import settings
from stepfold.app import opened
from stepfold.cli import exits
from stepfold.events.envelope import first
from stepfold.events.event import ConversationStarted
from stepfold.policy.agent import Agent, digest
from stepfold.policy.grant import Approval, Grant
from tests.cli.commands import records, run

OLD = Agent("desk", instructions="One.\nTwo.", tools=("find",))
NEW = replace(
    OLD,
    instructions="One.\nThree.",
    tools=("find", "refund"),
    grants={
        "find": Grant("read", trusted=True, arguments={"of": {"const": "{customer}"}}),
        "refund": Grant("write", approval=Approval(2, 7200, {"amount": {"maximum": 20}})),
    },
)
SALES = Agent("sales")
HOOKS = """
from stepfold.policy.toolspec import ToolSpec

class Find:
    spec = ToolSpec("find", "Find.", {"type": "object", "properties": {"of": {}}}, effect="read")
    async def run(self, arguments, *, call):
        return ""

TOOLS = [Find()]
"""


async def _keep(folder: Path, appointed: Sequence[Agent]) -> None:
    async with opened(settings.read(folder=folder)) as found:
        for agent in appointed:
            await found.agents.appoint(agent)
        for name in ("c1", "c2"):
            started = ConversationStarted(OLD.name, digest(OLD))
            await found.log.append([first("acme", name, started, by="test", key=name)], after=0)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log with three versions, of which OLD has two conversations."""
    folder = tmp_path_factory.mktemp("log")
    asyncio.run(_keep(folder, (OLD, NEW, SALES, NEW)))
    return folder


@pytest.fixture
def hooks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "agent_command_hooks.py").write_text(HOOKS)
    monkeypatch.syspath_prepend(tmp_path)
    return "agent_command_hooks"


def written(folder: Path, text: str, name: str = "desk.toml") -> Path:
    (folder / name).write_text(text)
    return folder / name


# -- check -------------------------------------------------------------------------------------


def test_all_mistakes_of_all_files_are_told_and_the_good_ones_are_named(tmp_path: Path) -> None:
    bad = written(tmp_path, 'nmae = "x"\n', "bad.toml")
    worse = written(tmp_path, "name: x\nlimits:\n  turn_s: 0\n", "worse.yaml")
    good = written(tmp_path, 'name = "x"\n')

    ended = run("agent", "check", bad, good, worse, data=tmp_path / "none")

    assert ended.exit_code == exits.REFUSED
    assert ended.stdout == f"{good}: x, 0 tools, no mistake\n"
    assert [line.split(": ")[1] for line in ended.stderr.splitlines()] == [
        *(f"{bad}:1", f"{bad}:1", f"{worse}:3"),
    ]


def test_a_check_in_json_has_a_line_for_each_file(tmp_path: Path) -> None:
    bad = written(tmp_path, "name = 3\n", "bad.toml")
    good = written(tmp_path, 'name = "x"\n')

    ended = run("agent", "check", bad, good, "--json", data=tmp_path / "none")

    first, second = (json.loads(line) for line in ended.stdout.splitlines())
    assert ended.exit_code == exits.REFUSED
    assert first["problems"] == [f"{bad}:1: name: 3 is no text; put it in quotes"]
    assert (second["agent"], second["problems"], second["warnings"]) == ("x", [], [])


def test_an_agent_that_nobody_could_ask_is_warned_of(here: Path, tmp_path: Path) -> None:
    file = written(tmp_path, 'name = "x"\nmodels = []\n')

    without = run("agent", "check", file, data=tmp_path / "none")
    on_log = run("agent", "check", file, data=here)

    assert (without.exit_code, on_log.exit_code) == (0, 0)
    assert "lists no models, and there is no log in" in without.stderr
    assert "there is no route for task 'converse'" in on_log.stderr


def test_an_agent_that_must_cite_and_can_search_nothing_is_warned_of(tmp_path: Path) -> None:
    file = written(tmp_path, 'name = "x"\nanswers.cite = true\n')

    ended = run("agent", "check", file, data=tmp_path / "none")

    assert ended.exit_code == 0
    assert "no answer would ever be given" in ended.stderr


def test_tools_and_arguments_that_nobody_has_are_warned_of(tmp_path: Path, hooks: str) -> None:
    text = 'name = "x"\n[tools.fnid]\n[tools.find.arguments]\nfo = { equals = 1 }\n'
    file = written(tmp_path, text)

    ended = run("agent", "check", file, "--hooks", hooks, data=tmp_path / "none")

    assert ended.exit_code == 0
    assert "nobody has the tool 'fnid' (did you mean 'find'? known: find)" in ended.stderr
    assert "the tool 'find' has no argument 'fo' (known: of): every call" in ended.stderr


# -- what lies in the data folder --------------------------------------------------------------

TOOL = """
from typing import Literal

from stepfold.tools.function import tool

print("loaded")


@tool(effect="write")
def refund(order: str, amount: int, why: Literal["late", "broken"]) -> str:
    \"\"\"Pays back.\"\"\"
    return order
"""
SHOP = {
    "openapi": "3.0.3",
    "info": {"title": "Shop", "version": "1"},
    "servers": [{"url": "https://shop.example"}],
    "paths": {"/things": {"get": {"operationId": "ListThings"}}},
}
MCP = '[servers.files]\ncommand = "no-such-program"\ntools = ["*"]\n'


@pytest.fixture
def lying(tmp_path: Path) -> Path:
    """A data folder with tools, a connection, an MCP server that cannot start, and a bad file."""
    data = tmp_path / "data"
    (data / "tools").mkdir(parents=True)
    (data / "tools" / "refund.py").write_text(TOOL)
    (data / "tools" / "bad.toml").write_text('nmae = "x"\n')
    (data / "mcp.toml").write_text(MCP)
    spec = written(tmp_path, json.dumps(SHOP), "shop.json")
    ended = run("connect", "shop", "--spec", spec, "--read", "*", data=data)
    assert ended.exit_code == 0, ended.output
    connection = data / "connections" / "shop.toml"
    oauth = '\n[auth]\nkind = "oauth2_client"\nclient_secret = "${env:NEVER_SET}"\n'
    connection.write_text(connection.read_text() + oauth)
    return data


def test_tools_of_the_data_folder_are_known_and_the_others_warned_of(
    lying: Path, tmp_path: Path
) -> None:
    tools = '["refund", "shop_ListThings", "files_read", "refnud"]'
    file = written(tmp_path, f'name = "x"\ntools = {tools}\n')

    ended = run("agent", "check", file, "--json", data=lying)

    (told,) = records(ended)
    (warned,) = told["warnings"]
    assert warned.startswith("nobody has the tool 'refnud' (did you mean 'refund'? known: refund,")
    assert f"left out: {lying / 'tools' / 'bad.toml'}:1: " in ended.stderr


@pytest.mark.parametrize(
    ("rules", "why"),
    [
        ("arguments.amuont = { maximum = 5 }", "has no argument 'amuont' (did you mean 'amount'?"),
        ('arguments.amount = { enum = ["5"] }', 'can never be one of "5" (it is an integer)'),
        (
            'arguments.amount = { equals = "{customer}" }',
            "can never be the conversation's customer",
        ),
        ("arguments.order = { maximum = 5 }", "is string, never number"),
        ('arguments.why = { equals = "lost" }', 'can never be "lost"'),
        ("approval.unless.amuont = { maximum = 5 }", "every call of it would wait for people"),
    ],
)
def test_a_rule_that_no_call_can_keep_is_warned_of(
    lying: Path, tmp_path: Path, rules: str, why: str
) -> None:
    file = written(tmp_path, f'name = "x"\n[tools.refund]\n{rules}\n')

    (told,) = records(run("agent", "check", file, "--json", data=lying))

    (warned,) = told["warnings"]
    assert why in warned


@pytest.mark.parametrize(
    "rules",
    [
        "arguments.amount = { maximum = 5 }",
        "arguments.amount = { enum = [5, 50] }",
        'arguments.order = { equals = "{customer}" }',
        'arguments.why = { enum = ["late"] }',
        "approval.unless.amount = { maximum = 5 }",
    ],
)
def test_a_rule_that_calls_can_keep_is_not(lying: Path, tmp_path: Path, rules: str) -> None:
    file = written(tmp_path, f'name = "x"\n[tools.refund]\n{rules}\n')

    (told,) = records(run("agent", "check", file, "--json", data=lying))

    assert told["warnings"] == []


def test_a_file_is_shown_with_what_the_data_folder_tells_of_its_tools(
    lying: Path, tmp_path: Path
) -> None:
    file = written(tmp_path, 'name = "x"\ntools = ["refund", "shop_ListThings", "files_read"]\n')

    said = run("agent", "show", file, data=lying).stdout

    assert "refund: writes, never run twice" in said
    assert "shop_ListThings: reads, may be repeated" in said
    assert "files_read: what it does, the MCP server files tells when it is started" in said
    assert "loaded" not in said


# -- list --------------------------------------------------------------------------------------


def test_the_versions_on_the_log_are_listed_with_the_one_that_is_appointed(here: Path) -> None:
    listed = records(run("agent", "list", "--json", data=here))

    assert [(each["agent"], each["digest"], each["conversations"]) for each in listed] == [
        ("desk", digest(OLD), 2),
        ("desk", digest(NEW), 0),
        ("sales", digest(SALES), 0),
    ]
    assert [bool(each["appointed"]) for each in listed] == [False, True, False]
    assert all(each["kept"] for each in listed)


def test_the_list_is_a_table(here: Path) -> None:
    head, _, *rows = run("agent", "list", data=here).stdout.splitlines()

    assert head.split() == ["agent", "version", "kept", "since", "appointed", "conversations"]
    assert rows[0].split()[:2] == ["desk", digest(OLD)[7:19]]
    assert rows[0].split()[-1] == "2"


def test_a_log_without_an_agent_says_how_to_appoint_one(tmp_path: Path) -> None:
    ended = run("agent", "list", data=tmp_path)

    assert ended.exit_code == 0
    assert "stepfold serve --agent FILE" in ended.stdout


# -- show --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["desk", digest(NEW), digest(NEW)[7:15], digest(NEW)[:15]])
def test_a_version_is_shown_by_its_name_or_digest_in_plain_words(here: Path, name: str) -> None:
    said = " ".join(run("agent", "show", name, data=here).stdout.split())

    assert f"desk {digest(NEW)[7:19]}" in said
    assert "find: reads, never run twice; of must be the conversation's customer" in said
    assert (
        "refund: writes, never run twice; 2 people must agree within 2 h, unless amount is at"
        " most 20; after a stranger's text somebody must agree"
    ) in said


def test_a_version_from_before_there_were_grants_says_so(here: Path) -> None:
    said = " ".join(run("agent", "show", digest(OLD), data=here).stdout.split())

    assert "find: from before there were rules for single tools: whatever it does, nobody" in said


def test_a_file_is_shown_with_what_is_known_of_its_tools(tmp_path: Path, hooks: str) -> None:
    file = written(tmp_path, 'name = "x"\ntools = ["find", "other"]\n')

    said = run("agent", "show", file, "--hooks", hooks, data=tmp_path).stdout

    assert "find: reads, never run twice\n" in said
    assert "other: what it does is not known here" in said


def test_a_version_in_json_has_all_its_fields(here: Path) -> None:
    (shown,) = records(run("agent", "show", "sales", "--json", data=here))

    assert (shown["agent"], shown["digest"], shown["fields"]) == (
        *("sales", digest(SALES)),
        {"name": "sales"},
    )


@pytest.mark.parametrize("name", ["desks", "0000000"])
def test_a_version_that_is_not_there_is_refused_with_those_that_are(here: Path, name: str) -> None:
    ended = run("agent", "show", name, data=here)

    assert ended.exit_code == exits.REFUSED
    assert f"agent '{name}' is not on this log (there: desk, sales)" in ended.stderr


@pytest.mark.parametrize("columns", [40, 60, 100])
def test_what_is_shown_fits_its_terminal(here: Path, columns: int) -> None:
    for words in (("show", "desk"), ("diff", digest(OLD), digest(NEW))):
        lines = run("agent", *words, data=here, columns=columns).stdout.splitlines()

        assert max(map(len, lines)) <= columns


# -- diff --------------------------------------------------------------------------------------


def test_versions_are_compared_key_by_key(here: Path) -> None:
    ended = run("agent", "diff", digest(OLD), "desk", data=here)

    assert ended.exit_code == exits.REFUSED
    assert ended.stdout.splitlines()[:5] == [
        "instructions:",
        "  @@ -1,2 +1,2 @@",
        "   One.",
        "  -Two.",
        "  +Three.",
    ]
    assert 'tools: ["find"] → ["find","refund"]' in ended.stdout
    assert 'tools.find.arguments.of: + {"const":"{customer}"}' in ended.stdout
    assert 'tools.find.effect: "external" → "read"' in ended.stdout


def test_of_a_file_what_its_tools_are_is_not_compared(here: Path, tmp_path: Path) -> None:
    file = written(
        tmp_path,
        """name = "desk"
instructions = "One.\\nThree."
[tools.find]
arguments.of = { equals = "{customer}" }
[tools.refund.approval]
people = 2
expires_s = 7200
unless.amount = { maximum = 30 }
""",
    )

    (found,) = (
        json.loads(line)
        for line in run("agent", "diff", "desk", file, "--json", data=here).stdout.splitlines()
    )

    assert found["key"] == "tools.refund.approval.unless.amount"
    assert (found["a"], found["b"]) == ({"maximum": 20}, {"maximum": 30, "type": "number"})


def test_two_files_are_compared_without_a_log(tmp_path: Path) -> None:
    one = written(tmp_path, 'name = "x"\nlimits.cost_usd_max = 0.05\n', "one.toml")
    other = written(tmp_path, "name: x\n", "other.yaml")

    same = run("agent", "diff", one, one, data=tmp_path / "none")
    differing = run("agent", "diff", one, other, data=tmp_path / "none")

    assert (same.exit_code, same.stdout) == (0, "no difference\n")
    assert (differing.exit_code, differing.stdout) == (1, "limits.cost_usd_max: - 0.05\n")


# -- schema ------------------------------------------------------------------------------------


def test_the_schema_that_is_printed_is_the_one_that_is_published() -> None:
    published = Path(__file__).parents[2] / "docs" / "agent.schema.json"

    assert run("agent", "schema").stdout == published.read_text()
    assert records(run("agent", "schema", "--json")) == [json.loads(published.read_text())]

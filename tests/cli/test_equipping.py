"""What lies in the data folder is there for agents that need it, and keeps no other away."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.commands import spawn

ORDERS = '''from stepfold.tools.function import tool


@tool(effect="read", trusted=True)
def order_status(order: str) -> str:
    """Where an order is."""
    return f"{order} was sent"
'''
CALL = {"calls": [{"name": "order_status", "arguments": {"order": "A-17"}}]}
CODE = {"calls": [{"name": "run_code", "arguments": {"code": "print(6 * 7)"}}]}
DESK = 'name = "desk"\nmodels = ["scripted"]\n'


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "data" / "tools").mkdir(parents=True)
    (tmp_path / "data" / "tools" / "orders.py").write_text(ORDERS)
    return tmp_path


def chat(here: Path, agent: str, *script: object, words: tuple[str, ...] = ()) -> tuple[str, str]:
    """(stdout, stderr) of one question."""
    (here / "desk.toml").write_text(DESK + agent)
    lines = (json.dumps(each) for each in (*script, {"text": "Here you are."}))
    (here / "script.jsonl").write_text("\n".join(lines))
    files = ("--agent", str(here / "desk.toml"), "--script", str(here / "script.jsonl"))
    done = spawn(
        *("chat", *files, *words),
        input="Where is A-17?\n",
        STEPFOLD_DATA_DIR=str(here / "data"),
    )
    return done.stdout, done.stderr


def steps(here: Path) -> str:
    sql = "SELECT name, status, result FROM tool_calls"
    return spawn("query", sql, "--json", STEPFOLD_DATA_DIR=str(here / "data")).stdout


def test_a_tool_of_the_folder_is_an_agents_by_its_name(here: Path) -> None:
    said, _ = chat(here, 'tools = ["order_status"]\n', CALL)

    assert "Here you are." in said
    assert "A-17 was sent" in steps(here)


def test_a_tool_that_is_named_is_one_too(here: Path) -> None:
    file = here / "data" / "tools" / "orders.py"
    file.rename(here / "orders.py")

    said, _ = chat(
        here, 'tools = ["order_status"]\n', CALL, words=("--tools", str(here / "orders.py"))
    )

    assert "Here you are." in said
    assert "A-17 was sent" in steps(here)


def test_two_of_one_name_are_refused_with_both_places(here: Path) -> None:
    (here / "orders.py").write_text(ORDERS)

    _, why = chat(here, "", words=("--tools", str(here / "orders.py")))

    assert "the tool 'order_status' is in" in why
    assert "rename one" in why


def test_what_cannot_be_loaded_is_told_and_keeps_nobody_away(here: Path) -> None:
    (here / "data" / "tools" / "broken.py").write_text("import nowhere_at_all\n")
    (here / "data" / "mcp.toml").write_text('[servers.dead]\ncommand = "false"\ntools = ["*"]\n')

    said, why = chat(here, 'tools = ["order_status"]\n', CALL)

    assert "Here you are." in said
    assert "left out: " in why
    assert "broken.py:1" in why
    assert "dead" in why


def test_an_agent_that_needs_what_was_left_out_does_not_start(here: Path) -> None:
    (here / "data" / "tools" / "orders.py").write_text("import nowhere_at_all\n")

    _, why = chat(here, 'tools = ["order_status"]\n', CALL)

    assert "unknown tool 'order_status' (known: none)" in why


def test_a_variable_that_is_not_set_is_missed_only_where_it_is_needed(here: Path) -> None:
    (here / "data" / "tools" / "order.toml").write_text(
        'name = "order"\ndescription = "An order."\nurl = "https://api.example.com/o/{order}"\n'
        '[headers]\nAuthorization = "Bearer ${env:NOT_SET_ANYWHERE}"\n'
        '[parameters]\norder = "string"\n'
    )
    asks = {"calls": [{"name": "order", "arguments": {"order": "A-17"}}]}

    said, why = chat(here, 'tools = ["order"]\n', asks)

    assert "Here you are." in said
    assert why == ""
    sql = "SELECT reason FROM tool_calls"
    failed = spawn("query", sql, "--json", STEPFOLD_DATA_DIR=str(here / "data")).stdout
    assert "NOT_SET_ANYWHERE is not set where the tool runs; nothing was sent" in failed


def test_code_runs_in_the_sandbox_that_the_agent_names(here: Path) -> None:
    said, _ = chat(here, 'sandbox = "monty"\n', CODE)

    assert "Here you are." in said
    assert '\\"output\\":\\"42' in steps(here)


def test_an_agent_may_answer_only_where_it_is_meant_to(here: Path) -> None:
    said, _ = chat(here, 'channels = ["web"]\n')
    assert "cli: not one of web" in said

    said, _ = chat(here, 'channels = ["web"]\n', words=("--channel", "web"))
    assert "Here you are." in said


def test_what_a_tool_prints_is_no_part_of_what_the_command_prints(here: Path) -> None:
    noisy = ORDERS.replace("    return f", "    print('noise')\n    return f")
    (here / "data" / "tools" / "orders.py").write_text("print('loud')\n" + noisy)

    said, why = chat(here, 'tools = ["order_status"]\n', CALL, words=("--json",))

    assert json.loads(said)["answer"] == "Here you are."
    assert "loud" in why
    assert "noise" in why

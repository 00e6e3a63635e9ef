"""`stepfold tool`: the tools in files, and one call by hand."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stepfold.cli import exits
from tests.cli.commands import records, run, spawn
from tests.connections.loopback import Answer, answering
from tests.mcp_servers.begun import SHOP as SERVER

ORDERS = '''\
from typing import Literal

from stepfold.tools.function import tool


@tool(effect="read")
def order_status(order: str, language: Literal["en", "de"] = "en") -> dict[str, str]:
    """Where an order is."""
    return {"order": order, "state": "sent" if language == "en" else "versandt"}
'''
MORE = '''\
import asyncio
from pathlib import Path

from stepfold.tools.function import Caller, ToolError, Unsure, tool

PAID = Path(__file__).with_name("paid.txt")


@tool(effect="external", trusted=True)
def pay(amount: int, call: str, who: Caller) -> str:
    """Pays."""
    with PAID.open("a") as paid:
        paid.write(f"{amount} {who.customer} {who.contact} {call}\\n")
    return f"paid {amount}"


@tool(effect="read", timeout_s=0.05)
async def hang() -> None:
    """Hangs."""
    await asyncio.Event().wait()


@tool(effect="write")
def fail(how: str) -> int:
    """Fails."""
    if how == "nothing":
        raise ToolError("no such order")
    if how == "unsure":
        raise Unsure("the line went dead")
    if how == "misfit":
        return "many"
    return {}[how]


@tool(effect="read")
def long(characters: int) -> list[str]:
    """Returns much."""
    return ["x" * characters]
'''
HTTP = """\
name = "find_order"
description = "Finds an order."
url = "https://orders.example/orders/{order}"
parameters = { order = "string" }
trusted = true
"""


LOUD = """\
import subprocess
import sys
import threading

from stepfold.tools.function import tool

print("loaded")


@tool(effect="read")
def loud() -> str:
    \"\"\"Prints in every way there is.\"\"\"
    print("in its thread")
    thread = threading.Thread(target=print, args=("in a thread of its own",))
    thread.start()
    thread.join()
    subprocess.run([sys.executable, "-c", "print('in a child')"], check=True)
    return "done"


@tool(effect="read")
async def loud_too() -> str:
    \"\"\"Prints in the loop.\"\"\"
    print("in the loop")
    return "done"
"""
SHOP = {
    "openapi": "3.0.3",
    "info": {"title": "Shop", "version": "1"},
    "paths": {"/things": {"get": {"operationId": "ListThings"}, "post": {"operationId": "Add"}}},
}


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    folder = tmp_path / "tools"
    folder.mkdir()
    (folder / "orders.py").write_text(ORDERS)
    (folder / "more.py").write_text(MORE)
    (folder / "find.toml").write_text(HTTP)
    return folder


def ran(tools: Path, name: str, arguments: dict[str, Any], *more: str) -> Any:
    return run("tool", "run", name, "--tools", tools, "--arguments", json.dumps(arguments), *more)


# -- list and show ------------------------------------------------------------------------------


def test_tools_are_listed_with_what_they_may_do(tools: Path) -> None:
    said = run("tool", "list", "--tools", tools).stdout.splitlines()

    rows = [" ".join(line.split()[:4]) for line in said[2:-1]]
    assert said[0].split() == ["tool", "effect", "recovery", "trusted", "tokens"]
    assert rows == [
        "fail write never_repeat no",
        "find_order read idempotent yes",
        "hang read never_repeat no",
        "long read never_repeat no",
        "order_status read never_repeat no",
        "pay external never_repeat yes",
    ]
    assert said[-1].startswith("6 tools, about ")


def test_a_list_in_json_is_a_tool_a_line(tools: Path) -> None:
    found = records(run("tool", "list", "--tools", tools / "orders.py", "--json"))

    (told,) = found
    assert (told["name"], told["description"]) == ("order_status", "Where an order is.")
    assert (told["effect"], told["trusted"], told["timeout_s"]) == ("read", False, 0)
    assert 30 < told["tokens"] < 100


def test_several_paths_give_the_tools_of_all(tools: Path) -> None:
    both = ("--tools", tools / "orders.py", "--tools", tools / "find.toml")

    assert [each["name"] for each in records(run("tool", "list", *both, "--json"))] == [
        "find_order",
        "order_status",
    ]


def test_without_a_path_it_is_the_data_folders_tools(tools: Path) -> None:
    assert len(records(run("tool", "list", "--json", data=tools.parent))) == 6


def test_a_tool_is_shown_as_a_model_sees_it(tools: Path) -> None:
    said = run("tool", "show", "order_status", "--tools", tools).stdout
    (told,) = records(run("tool", "show", "order_status", "--tools", tools, "--json"))

    assert said.startswith("order_status  ")
    assert "Where an order is." in said
    assert "read, never_repeat, the agent's own time limit; what it returns is a stranger's" in said
    assert told["parameters"]["required"] == ["order"]
    assert told["parameters"]["properties"]["language"]["enum"] == ["en", "de"]
    assert told["result"] == {"type": "object", "additionalProperties": {"type": "string"}}


@pytest.mark.parametrize("command", [["list"], ["show", "pay"], ["show", "find_order"]])
def test_for_people_it_is_text_that_fits(tools: Path, command: list[str]) -> None:
    said = run("tool", *command, "--tools", tools, columns=60).stdout

    assert max(map(len, said.splitlines())) <= 60


def test_files_that_give_no_tools_are_told_with_all_mistakes(tools: Path) -> None:
    (tools / "bad.py").write_text(ORDERS.replace("order: str", "order"))
    (tools / "worse.toml").write_text(HTTP.replace("url =", "ulr ="))
    (tools / "again.toml").write_text(HTTP)

    ended = run("tool", "list", "--tools", tools)

    assert ended.exit_code == exits.REFUSED
    assert "parameter 'order' has no type: write order: str" in ended.stderr
    assert f"{tools / 'worse.toml'}:" in ended.stderr
    assert "the tool 'find_order' stands in" in ended.stderr


@pytest.mark.parametrize("name", ["nowhere", "nowhere.py", "text.txt", "empty"])
def test_a_path_without_tools_says_so(tmp_path: Path, name: str) -> None:
    (tmp_path / "text.txt").write_text("no tool")
    (tmp_path / "empty").mkdir()

    ended = run("tool", "list", "--tools", tmp_path / name)

    assert ended.exit_code == exits.REFUSED
    assert ended.stderr.startswith(f"stepfold: {tmp_path / name}: ")
    assert "--tools PATH" in ended.stderr


def test_the_same_name_in_two_paths_is_refused(tools: Path, tmp_path: Path) -> None:
    (tmp_path / "copy.py").write_text(ORDERS)

    ended = run("tool", "list", "--tools", tools, "--tools", tmp_path / "copy.py")

    assert ended.exit_code == exits.REFUSED
    assert "the tool 'order_status' stands in" in ended.stderr


def test_a_tool_that_reconciles_must_have_its_lookup(tmp_path: Path) -> None:
    text = ORDERS.replace('effect="read"', 'effect="write", recovery="reconcile"')
    (tmp_path / "pay.py").write_text(text)

    ended = run("tool", "list", "--tools", tmp_path)

    assert ended.exit_code == exits.REFUSED
    assert "'order_status' reconciles and has no lookup: write one below" in ended.stderr


def test_a_name_that_nobody_has_comes_with_the_nearest(tools: Path) -> None:
    ended = run("tool", "show", "order_statsu", "--tools", tools)

    assert ended.exit_code == exits.REFUSED
    assert "no tool is called 'order_statsu' (did you mean 'order_status'? known: " in ended.stderr


# -- run ----------------------------------------------------------------------------------------


def test_a_tool_is_run_by_hand(tools: Path) -> None:
    ended = ran(tools, "order_status", {"order": "A-17", "language": "de"})

    assert ended.exit_code == 0
    assert json.loads(ended.stdout) == {"order": "A-17", "state": "versandt"}


def test_arguments_may_come_from_stdin_in_a_process_of_its_own(tools: Path) -> None:
    words = ("tool", "run", "order_status", "--tools", tools, "--arguments", "-", "--json")

    ended = spawn(*words, input='{"order": "A-17"}')

    told = json.loads(ended.stdout)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert told["outcome"] == "tool.returned"
    assert told["result"] == {"order": "A-17", "state": "sent"}
    assert told["elapsed_ms"] > 0


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ('{"order": 17}', "not run: order: 17 is not of type 'string'"),
        ("{}", "not run: 'order' is a required property"),
        ('{"order": "A", "by": 1}', "not run: Additional properties are not allowed ('by'"),
        ("{order: 1}", "--arguments is no JSON: "),
        ("[1]", "--arguments is JSON, but no object: write {} for none"),
    ],
)
def test_arguments_are_held_against_the_schema_as_by_a_worker(
    tools: Path, arguments: str, why: str
) -> None:
    ended = run("tool", "run", "order_status", "--tools", tools, "--arguments", arguments)

    assert (ended.exit_code, ended.stdout) == (exits.REFUSED, "")
    assert why in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_an_effect_needs_a_yes(tools: Path) -> None:
    ended = ran(tools, "pay", {"amount": 5})

    assert ended.exit_code == exits.REFUSED
    assert "pay was not run: it reaches people or systems beyond your own" in ended.stderr
    assert "if you mean it, say --yes" in ended.stderr
    assert not (tools / "paid.txt").exists()


def test_it_runs_for_whom_it_is_told_with_a_key_of_its_own_each_time(tools: Path) -> None:
    who = ("--customer", "acme", "--contact", "ada", "--yes")

    said = [ran(tools, "pay", {"amount": each}, *who).stdout for each in (5, 6)]

    first, second = (tools / "paid.txt").read_text().splitlines()
    assert said == ["paid 5\n", "paid 6\n"]
    assert first.startswith("5 acme ada acme/by-hand-")
    assert first.split()[-1] != second.split()[-1]


@pytest.mark.parametrize(
    ("how", "outcome", "why"),
    [
        ("nothing", "tool.failed", "failed: no such order"),
        ("unsure", "tool.unknown", "whether it took effect is not known: the line went dead"),
        ("misfit", "tool.unknown", "is not known: it ran, but what it returned does not fit: "),
        ("other", "tool.unknown", "is not known: KeyError: 'other' ("),
    ],
)
def test_what_became_of_it_is_said_as_a_worker_would(
    tools: Path, how: str, outcome: str, why: str
) -> None:
    said = ran(tools, "fail", {"how": how}, "--yes")
    told = ran(tools, "fail", {"how": how}, "--yes", "--json")

    assert (said.exit_code, said.stdout) == (exits.REFUSED, "")
    assert why in said.stderr
    assert told.exit_code == exits.REFUSED
    assert json.loads(told.stdout)["outcome"] == outcome


def test_an_error_of_the_tools_own_comes_with_its_line(tools: Path) -> None:
    line = MORE.splitlines().index("    return {}[how]") + 1

    assert f"({tools / 'more.py'}:{line})" in ran(tools, "fail", {"how": "x"}, "--yes").stderr


def test_a_tool_ends_at_its_time_limit(tools: Path) -> None:
    ended = ran(tools, "hang", {})

    assert ended.exit_code == exits.REFUSED
    assert "hang: failed: no outcome within 0.05 s" in ended.stderr


def test_a_long_result_is_told_whole(tools: Path) -> None:
    assert json.loads(ran(tools, "long", {"characters": 50_000}).stdout) == ["x" * 50_000]


# -- what it prints -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("loud", ["loaded", "in its thread", "in a thread of its own", "in a child"]),
        ("loud_too", ["loaded", "in the loop"]),
    ],
)
def test_what_a_tool_prints_is_kept_out_of_json(tmp_path: Path, name: str, says: list[str]) -> None:
    (tmp_path / "loud.py").write_text(LOUD)

    ended = spawn("tool", "run", name, "--tools", tmp_path, "--json")

    assert json.loads(ended.stdout)["result"] == "done"
    assert ended.stderr.splitlines() == says


def test_what_a_file_prints_is_kept_out_of_a_list(tmp_path: Path) -> None:
    (tmp_path / "loud.py").write_text(LOUD)

    assert len(records(run("tool", "list", "--tools", tmp_path, "--json"))) == 2


# -- connections and servers --------------------------------------------------------------------


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Path]:
    """A data folder with a connection to a server that is here."""
    (tmp_path / "shop.json").write_text(json.dumps(SHOP))
    with answering(lambda asked: Answer(body={"asked": asked.target})) as server:
        words = ("--server", server.url, "--private", f"127.0.0.1:{server.port}")
        made = ("connect", "shop", "--spec", tmp_path / "shop.json", "--read", "*", *words)
        assert run(*made, data=tmp_path).exit_code == 0
        yield tmp_path


def test_tools_of_connections_are_listed_shown_and_run(shop: Path) -> None:
    names = [each["name"] for each in records(run("tool", "list", "--json", data=shop))]
    (shown,) = records(run("tool", "show", "shop_ListThings", "--json", data=shop))
    (told,) = records(run("tool", "run", "shop_ListThings", "--json", data=shop))

    assert names == ["shop_ListThings", "shop_find_tool", "shop_use_tool"]
    assert shown["effect"] == "read"
    assert told["result"] == {"asked": "/things"}


def test_what_cannot_be_loaded_keeps_nothing_else_away(shop: Path) -> None:
    (shop / "tools").mkdir()
    (shop / "tools" / "bad.py").write_text("1 +\n")
    (shop / "connections" / "bad.toml").write_text("raeds = []\n")

    listed = run("tool", "list", "--json", data=shop)
    ran = run("tool", "run", "shop_ListThings", "--json", data=shop)

    assert listed.exit_code == exits.REFUSED
    assert len(listed.stdout.splitlines()) == 3
    assert f"{shop / 'tools' / 'bad.py'}:1: SyntaxError" in listed.stderr
    assert f"{shop / 'connections' / 'bad.toml'}:1: unknown key" in listed.stderr
    assert records(ran)[0]["outcome"] == "tool.returned"


def test_servers_are_started_only_when_asked(tmp_path: Path) -> None:
    (tmp_path / "mcp.toml").write_text('[servers.none]\ncommand = "no-such-program-here"\n')

    without = run("tool", "list", data=tmp_path)
    asked = run("tool", "list", "--mcp", data=tmp_path)

    assert without.exit_code == 0
    assert "not started: the MCP servers none; --mcp lists their tools too" in without.stdout
    assert asked.exit_code == exits.REFUSED
    assert "MCP server 'none': no program 'no-such-program-here' on PATH" in asked.stderr


def test_tools_of_servers_are_run_by_hand_too(tmp_path: Path) -> None:
    (tmp_path / "mcp.toml").write_text(
        f"[servers.shop]\ncommand = '{sys.executable}'\nargs = ['{SERVER}', '{tmp_path}/ledger']\n"
        "tools = ['get_order']\nreads = ['get_*']\n"
    )
    words = ("tool", "run", "shop_get_order", "--mcp", "--arguments", '{"id": "o7"}', "--json")

    (told,) = records(run(*words, data=tmp_path))

    assert told["result"] == {"id": "o7", "state": "sent"}


def test_a_token_is_unsealed_for_the_call_that_needs_it(shop: Path) -> None:
    path = shop / "connections" / "shop.toml"
    table = '[auth]\nkind = "oauth2_code"\nclient_id = "c"\nshared = true\n'
    urls = 'authorize_url = "https://x.example/a"\ntoken_url = "https://x.example/t"\n'
    path.write_text(f"{path.read_text()}\n{table}{urls}")

    listed = records(run("tool", "list", "--json", data=shop))
    ran = run("tool", "run", "shop_ListThings", data=shop)

    assert len(listed) == 3
    assert ran.exit_code == exits.REFUSED
    assert "an operator must run `stepfold connection authorize shop" in ran.stderr

"""`stepfold mcp tools`: what servers offer, what it costs, what of it is used."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from stepfold.cli.exits import CommandRefused
from stepfold.cli.mcp import commands
from tests.mcp_servers.begun import SHOP


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "shop.toml"
    file.write_text(
        f"[servers.shop]\ncommand = '{sys.executable}'\nargs = ['{SHOP}', '{tmp_path}/ledger']\n"
        "tools = ['*_order']\nreads = ['get_*']\n"
        "[servers.shop.tool.place_order]\neffect = 'write'\n"
    )
    return file


def tools(*words: str | Path) -> Result:
    return CliRunner().invoke(commands, ["tools", *map(str, words)], env={"COLUMNS": "100"})


def test_tools_are_listed_with_effect_hints_and_cost(file: Path) -> None:
    ended = tools(file)

    assert ended.exit_code == 0
    assert "3 tools, about " in ended.stdout
    lines = {line.split()[0]: line for line in ended.stdout.splitlines() if line.strip()}
    assert "read " in lines["shop_get_order"]
    assert "read-only" in lines["shop_get_order"]
    assert "external" in lines["shop_find_order"]
    assert "write" in lines["shop_place_order"]
    assert "not used: die: the file's `tools` do not name it" in ended.stdout


def test_the_same_as_json_with_the_digest_to_pin(file: Path) -> None:
    ended = tools(file, "--json")

    told = {each["tool"]: each for each in map(json.loads, ended.stdout.splitlines())}
    assert told["get_order"]["digest"].startswith("sha256:")
    assert told["get_order"]["tokens"] > 10
    assert told["die"]["left_out"]


def test_a_file_that_means_nothing_is_told_line_by_line(tmp_path: Path) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text("[servers.a]\ncommand = 'x'\ntimeout_s = 0\n[servers.b]\n")

    ended = tools(file)

    assert ended.exit_code == 1
    assert ended.stderr.splitlines() == [
        f"stepfold: {file}:3: servers.a.timeout_s: it must be more than 0",
        f"stepfold: {file}:4: servers.b: give `command` (and `args`), or `url`: one of the two",
    ]


def test_of_two_servers_one_that_is_away_does_not_hide_the_other(file: Path) -> None:
    with file.open("a") as more:
        more.write("[servers.gone]\ncommand = 'no-such-program'\n")

    ended = tools(file)

    assert ended.exit_code == 1
    assert "MCP server 'gone': no program 'no-such-program' on PATH" in ended.stderr
    assert "shop_get_order" in ended.stdout


def test_a_server_that_the_file_does_not_name_is_refused_with_those_it_does(file: Path) -> None:
    ended = tools(file, "--server", "store")

    assert isinstance(ended.exception, CommandRefused)
    assert "no server 'store' (known: shop)" in str(ended.exception)

"""`stepfold policy backtest`: what another version would have done with what is on the log."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from stepfold.cli import exits
from stepfold.streams.archive import export
from tests.cli.commands import records, run
from tests.evaluation.test_backtest import DONE, called, conversed

FILE = """name = "desk"
tools.find.arguments.of.equals = "{customer}"
tools.refund.arguments.amount.maximum = 50
"""
WEIGH = """
from stepfold.tools.function import tool


@tool(effect="read")
def weigh() -> int:
    \"\"\"Weighs.\"\"\"
    return 1
"""


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log on which an agent `desk` found, refunded and searched a forum."""
    folder = tmp_path_factory.mktemp("log")
    file = folder / "steps.jsonl"
    file.write_bytes(asyncio.run(_lines()))
    ended = run("import", file, data=folder)
    assert ended.exit_code == 0, ended.output
    return folder


async def _lines() -> bytes:
    calls = called(("find", {"of": "acme"}), ("refund", {"amount": 500}), ("refund", {"amount": 5}))
    arrangement = await conversed(calls, DONE, called(("forum", {}), ("weigh", {})), DONE, said=2)
    lines = export(arrangement.log, arrangement.agents, arrangement.routes)
    return b"".join([line async for line in lines])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "desk.toml").write_text(FILE)
    return tmp_path / "desk.toml"


def test_each_tool_has_a_row_and_what_changes_is_told_with_conversations(
    here: Path, file: Path
) -> None:
    ended = run("policy", "backtest", file, data=here)

    said = " ".join(ended.stdout.split())
    assert ended.exit_code == 0
    assert "1 conversation of desk" in said
    assert "tool calls allowed needs people refused changed" in said
    assert "find 1 1 0 0 0" in said
    assert "forum 1 0 0 1 1" in said
    assert "refund 2 1 0 1 1" in said
    assert "refund: 1 call that was allowed would be refused acme/c1: agent 'desk' may" in said
    assert said.endswith("2 answers")


def test_a_report_in_json_has_all_of_it(here: Path, file: Path) -> None:
    (report,) = records(run("policy", "backtest", file, "--json", data=here))

    refund = next(each for each in report["calls"] if each["tool"] == "refund")
    assert (report["agents"], report["conversations"], report["unknown"]) == (["desk"], 1, [])
    assert (refund["calls"], refund["refused"], refund["changed"]) == (2, 1, 1)
    assert refund["changes"][0]["examples"][0]["conversation"] == "acme/c1"


def test_several_calls_are_told_of_as_several(here: Path, file: Path) -> None:
    file.write_text(FILE.replace("50", "1"))

    said = " ".join(run("policy", "backtest", file, data=here).stdout.split())

    assert "refund: 2 calls that were allowed would be refused" in said


def test_what_tools_do_the_data_folder_tells(here: Path, file: Path) -> None:
    file.write_text('name = "desk"\ntools = ["weigh"]\n')
    tools = here / "tools"
    tools.mkdir()

    before = run("policy", "backtest", file, data=here).stderr
    (tools / "weigh.py").write_text(WEIGH)
    after = run("policy", "backtest", file, data=here).stderr
    (tools / "weigh.py").unlink()

    assert "nobody says what weigh do" in before
    assert after == ""


def test_of_all_agents_as_asked_for_nothing_is_warned_of(here: Path, file: Path) -> None:
    file.write_text('name = "new"\n')

    ended = run("policy", "backtest", file, "--all", data=here)

    assert "1 conversation of desk" in ended.stdout
    assert "no conversation is of an agent" not in ended.stderr


def test_an_agent_of_another_name_is_tried_on_all_and_told_so(here: Path, file: Path) -> None:
    file.write_text('name = "new"\n')

    ended = run("policy", "backtest", file, data=here)

    assert "1 conversation of desk" in ended.stdout
    assert "no conversation is of an agent 'new': those of all agents were taken" in ended.stderr


def test_what_is_older_does_not_count(here: Path, file: Path) -> None:
    (report,) = records(
        run("policy", "backtest", file, "--since", "2100-01-01", "--json", data=here)
    )

    assert (report["conversations"], report["calls"]) == (0, [])


def test_a_file_that_is_no_agent_is_refused_with_its_lines(here: Path, file: Path) -> None:
    file.write_text(FILE + "nmae = 1\nmodels = 3\n")

    ended = run("policy", "backtest", file, data=here)

    assert ended.exit_code in (exits.REFUSED, exits.USAGE)
    assert [line.split(": ")[1] for line in ended.stderr.splitlines()] == [f"{file}:4", f"{file}:5"]


@pytest.mark.parametrize("columns", [60, 100])
def test_it_fits_its_terminal(here: Path, file: Path, columns: int) -> None:
    lines = run("policy", "backtest", file, data=here, columns=columns).stdout.splitlines()

    assert max(map(len, lines)) <= columns

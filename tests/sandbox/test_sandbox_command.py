"""`stepfold sandbox`: code on stdin, its result on stdout, an exit code that says how it ended."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from stepfold.cli.exits import CommandRefused
from stepfold.cli.sandbox import commands


def run(code: str | bytes, *words: str | Path) -> Result:
    return CliRunner().invoke(
        commands, ["run", *map(str, words)], input=code, catch_exceptions=False
    )


def test_a_result_and_what_was_printed() -> None:
    done = run("print('seen')\n6 * 7")

    assert done.exit_code == 0
    assert done.stdout == "seen\n42\n"
    assert done.stderr.startswith("stepfold: ok, ")


def test_json_holds_all_of_it() -> None:
    done = run("open('a.txt', 'w').write('hi')\nprint('seen')\n[1]", "--json")

    told = json.loads(done.stdout)
    assert (told["outcome"], told["result"], told["output"]) == ("ok", [1], "seen\n")
    assert told["files"] == {"a.txt": "aGk="}
    assert told["usage"]["wall_s"] > 0


def test_another_outcome_than_ok_is_exit_code_1() -> None:
    done = run("while True: pass", "--cpu-s", "0.1", "--json")

    assert done.exit_code == 1
    assert json.loads(done.stdout)["outcome"] == "cpu"


def test_files_go_in_by_their_name_and_out_into_a_folder(tmp_path: Path) -> None:
    given = tmp_path / "rows.csv"
    given.write_bytes(b"a\nb\n")
    code = "rows = open('rows.csv').read()\nopen('n.txt', 'w').write(str(len(rows)))\nNone"

    done = run(code, "--file", given, "--out", tmp_path / "out")

    assert done.exit_code == 0
    assert (tmp_path / "out" / "n.txt").read_text() == "4"
    assert not (tmp_path / "out" / "rows.csv").exists()


def test_a_control_code_does_not_reach_the_terminal() -> None:
    done = run("print('\\x1b[31mred')")

    assert "\x1b" not in done.stdout
    assert "red" in done.stdout


@pytest.mark.parametrize(
    ("words", "outcome"),
    [
        (("--wall-s", "0.1"), "time"),
        (("--output-kb", "1"), "output"),
        (("--files", "1"), "files"),
        (("--calls", "3"), "calls"),
    ],
)
def test_each_limit_is_an_option(words: tuple[str, str], outcome: str) -> None:
    code = """
import time
for i in range(2): open(f"{i}.txt", "w").write("x")
print("x" * 3_000)
time.sleep(0.3)
"""

    done = run(code, *words, "--json")

    assert json.loads(done.stdout)["outcome"] == outcome


def test_an_unknown_backend_is_a_wrong_command_line() -> None:
    done = run("1", "--backend", "jail")

    assert done.exit_code == 2
    assert "monty, process, container" in " ".join(done.stderr.split())


def test_code_that_is_no_text_is_refused() -> None:
    with pytest.raises(CommandRefused, match="UTF-8"):
        run(b"\xff\xfe")


def test_the_check_says_of_each_what_is_missing() -> None:
    done = CliRunner().invoke(commands, ["check", "--json"], catch_exceptions=False)

    told = json.loads(done.stdout)
    assert set(told) == {"monty", "process", "container"}
    assert told["monty"] == ""

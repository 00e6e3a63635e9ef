"""How every command starts and ends."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from functools import partial
from importlib import import_module
from pathlib import Path

import pytest

from stepfold.cli import exits
from stepfold.cli.commands import COMMANDS
from stepfold.streams import jetstream
from tests.cli.commands import LIMIT_S, PROGRAM, environ, first_line, run, running, spawn

HEAVY = frozenset(
    {
        *("anthropic", "bm25s", "cohere", "duckdb", "faststream", "jsonschema", "openai"),
        *("opentelemetry", "prometheus_client", "requests"),
    }
)
IMPORTED = """
import json, sys
from stepfold.cli import main
sys.argv[0] = "stepfold"
try:
    main()
except SystemExit:
    print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})), file=sys.stderr)
"""


def imported(*words: str, data: Path) -> set[str]:
    """The top-level modules that a command has imported when it ends."""
    ended = subprocess.run(
        [sys.executable, "-c", IMPORTED, *words],
        env=environ(STEPFOLD_DATA_DIR=str(data)),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=True,
    )
    return set(json.loads(ended.stderr.splitlines()[-1]))


@pytest.mark.parametrize("words", [["--version"], ["serve", "--only", "nobody"], ["tail"]])
def test_a_command_imports_no_library_that_it_does_not_use(
    words: list[str], tmp_path: Path
) -> None:
    assert HEAVY & imported(*words, data=tmp_path) == set()


def test_saying_the_version_imports_no_client_and_no_table(tmp_path: Path) -> None:
    assert {"nats", "rich", "asyncio"} & imported("--version", data=tmp_path) == set()


def test_help_imports_no_library_that_is_slow(tmp_path: Path) -> None:
    assert HEAVY & imported("--help", data=tmp_path) == set()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_and_a_line_in_the_list(command: str) -> None:
    helped = run(command, "--help")

    assert helped.exit_code == 0
    assert max(map(len, helped.stdout.splitlines())) <= 80
    assert f"\n  {command} " in run("--help").stdout


def test_help_fits_sixty_columns() -> None:
    said = [spawn(*words, "--help", COLUMNS="60").stdout for words in ([], ["query"])]

    assert max(len(line) for text in said for line in text.splitlines()) <= 60


def test_no_line_in_the_list_breaks_off() -> None:
    said = spawn("--help", COLUMNS="80").stdout.splitlines()

    assert [line for line in said if line.startswith("  ") and line.endswith("...")] == []


def test_the_exit_codes_stand_in_the_help() -> None:
    said = " ".join(run("--help").stdout.split())

    assert exits.EPILOG in said


@pytest.mark.parametrize("name", exits.CODES)
def test_every_error_that_is_expected_exists_under_its_name(name: str) -> None:
    module, _, error = name.rpartition(".")

    assert issubclass(getattr(import_module(module), error), Exception)


def test_a_misspelled_command_is_a_usage_error_with_a_suggestion() -> None:
    ended = run("dmo")

    assert ended.exit_code == exits.USAGE
    assert "demo" in ended.stderr


def test_an_unreachable_server_is_one_line_without_the_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jetstream, "connect", partial(jetstream.connect, within_s=0.1))

    ended = run("tail", data=tmp_path, url="nats://ada:secret@127.0.0.1:9")

    assert ended.exit_code == exits.UNAVAILABLE
    assert ended.stdout == ""
    assert ended.stderr.startswith("stepfold: no NATS server answers at nats://127.0.0.1:9")
    assert ended.stderr.endswith("is it there? is NATS_URL right?\n")
    assert len(ended.stderr.splitlines()) == 1
    assert "secret" not in ended.stderr


def test_a_setting_that_means_nothing_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEPFOLD_DURABILITY", "sometimes")

    ended = run("tail")

    assert ended.exit_code == exits.USAGE
    assert "known: interval, always, replicas" in ended.stderr


def test_an_address_that_is_no_nats_servers_is_a_usage_error_at_once() -> None:
    ended = run("tail", url="http://127.0.0.1:1")

    assert ended.exit_code == exits.USAGE
    assert "nats, tls, ws, wss" in ended.stderr


@pytest.mark.parametrize(
    "words",
    [("tail",), ("show", "c1"), ("query", "FROM steps"), ("export",), ("replay",), ("rebuild",)],
)
def test_a_mistyped_folder_is_told_and_not_made(words: tuple[str, ...], tmp_path: Path) -> None:
    ended = run(*words, data=tmp_path / "oops")

    assert ended.exit_code == exits.REFUSED
    assert "there is no log in" in ended.stderr
    assert "begin one with `stepfold dev` or `stepfold serve`" in ended.stderr
    assert not (tmp_path / "oops").exists()


def test_output_that_nobody_reads_ends_the_command_quietly() -> None:
    with running("schema", "events") as process:
        assert process.stdout is not None
        process.stdout.close()
        code = process.wait(LIMIT_S)
        assert process.stderr is not None
        said = process.stderr.read()

    assert (code, said) == (exits.UNREAD, "")


def test_an_interrupted_command_ends_with_130_and_no_traceback(served: Path) -> None:
    run("publish", "Hello", "--customer", "start", "--conversation", "c1", data=served)
    with running("tail", "--follow", "--after", "0", STEPFOLD_DATA_DIR=str(served)) as process:
        first_line(process)
        process.send_signal(signal.SIGINT)
        code = process.wait(LIMIT_S)
        assert process.stderr is not None
        said = process.stderr.read()

    assert code == exits.STOPPED
    assert "Traceback" not in said


def test_an_output_that_knows_only_ascii_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "café.md").write_text("# Café\n\nThe café opens at nine.\n")

    ended = spawn(
        *("demo", "--knowledge", tmp_path, "--ask", "When does the café open?"),
        PYTHONIOENCODING="ascii",
    )

    assert (ended.returncode, ended.stderr) == (0, "")
    assert "[1] caf" in ended.stdout


def test_the_package_is_the_command() -> None:
    assert PROGRAM[-1] == "stepfold"
    assert spawn("--version").stdout.startswith("stepfold ")

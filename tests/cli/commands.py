"""Runs commands: in this process where that is enough, in one of their own where it is not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from stepfold.cli.commands import app

LIMIT_S = 60.0
PROGRAM = (sys.executable, "-m", "stepfold")


def run(
    *words: str | Path, data: Path | None = None, columns: int = 100, url: str | None = None
) -> Result:
    """A command in this process. It has no terminal."""
    environ = {"COLUMNS": str(columns), "NATS_URL": url, "STEPFOLD_DATA_DIR": str(data or "")}
    return CliRunner().invoke(
        app, [str(word) for word in words], env=environ, catch_exceptions=False
    )


def records(result: Result) -> list[Any]:
    """What a command with --json printed; it must have ended well and printed nothing else."""
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def environ(**more: str) -> Mapping[str, str]:
    clean = {k: v for k, v in os.environ.items() if k not in ("NATS_URL", "STEPFOLD_DATA_DIR")}
    return clean | more


def spawn(*words: str | Path, input: str = "", **more: str) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own, to its end."""
    return subprocess.run(
        [*PROGRAM, *map(str, words)],
        input=input,
        env=environ(**more),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


@contextmanager
def running(*words: str | Path, **more: str) -> Iterator[subprocess.Popen[str]]:
    """A command in a process of its own, killed when the block ends and it still runs."""
    process = subprocess.Popen(
        [*PROGRAM, *map(str, words)],
        env=environ(PYTHONUNBUFFERED="1", **more),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_hear_ctrl_c,  # noqa: PLW1509
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.communicate(timeout=LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def _hear_ctrl_c() -> None:
    """Tests in the background of a script inherit a Ctrl-C that is not heard."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()

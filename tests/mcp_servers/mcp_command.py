"""Runs `stepfold` in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LIMIT_S = 60.0
PROGRAM = (sys.executable, "-m", "stepfold")


def environ(**more: str) -> dict[str, str]:
    clean = {k: v for k, v in os.environ.items() if k not in ("NATS_URL", "STEPFOLD_DATA_DIR")}
    return clean | more


def spawn(*words: str | Path, **more: str) -> subprocess.CompletedProcess[str]:
    """A command to its end."""
    return subprocess.run(
        [*PROGRAM, *map(str, words)],
        env=environ(**more),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


@contextmanager
def running(
    *words: str | Path, cwd: Path | None = None, **more: str
) -> Iterator[subprocess.Popen[str]]:
    """A command until the block ends; it must then end well."""
    with subprocess.Popen(
        [*PROGRAM, *map(str, words)],
        env=environ(PYTHONUNBUFFERED="1", **more),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                _, said = process.communicate(timeout=LIMIT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                _, said = process.communicate()
    assert process.returncode == 0, said

"""Empty views in a folder of the test's own."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stepfold.projections.views import Views


@pytest.fixture
def views(tmp_path: Path) -> Iterator[Views]:
    with Views.open(tmp_path / "views.duckdb") as opened:
        yield opened


@pytest.fixture
def run_python() -> Callable[..., str]:
    """Runs a line of Python in another process; gives what it printed."""

    def run(code: str, *arguments: str) -> str:
        told = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return told.stdout + told.stderr

    return run

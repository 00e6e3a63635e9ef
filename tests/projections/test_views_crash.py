"""A process that is killed while it folds leaves rows and position as after some batch."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stepfold.projections.views import Views
from tests.projections.made import log

ROOT = Path(__file__).parents[2]
STEPS = log(13, 400)
BATCH = 25
FOLD = f"""
import sys
from pathlib import Path
from stepfold.projections.views import Views
from tests.projections.made import log
steps = log(13, 400)
with Views.open(Path(sys.argv[1])) as views:
    for start in range(views.position, len(steps), {BATCH}):
        views.fold(steps[start : start + {BATCH}])
        print(views.position, flush=True)
"""


def killed_after(path: Path, position: int, *, pause_s: float) -> int:
    """Folds in another process, kills it soon after it said `position`; what it said last."""
    with subprocess.Popen(
        [sys.executable, "-c", FOLD, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        said = 0
        for line in process.stdout:
            said = int(line)
            if said >= position:
                time.sleep(pause_s)  # not to wait for something: to die at another place each time
                os.kill(process.pid, signal.SIGKILL)
                break
        rest = process.stdout.read().split()
    return int(rest[-1]) if rest else said


@pytest.mark.parametrize("pause_s", [0.0, 0.004, 0.011])
def test_kill_9_while_folding_leaves_rows_and_position_equal_and_nothing_twice(
    tmp_path: Path, pause_s: float
) -> None:
    path = tmp_path / "killed.duckdb"

    said = killed_after(path, 500, pause_s=pause_s)

    with Views.open(path) as views, Views.open(tmp_path / "whole.duckdb") as whole:
        (found,) = views.query(
            "SELECT count(*) AS n, count(DISTINCT position) AS distinct, max(position) AS last"
            " FROM steps"
        ).table.to_pylist()
        assert said <= views.position <= said + BATCH
        assert set(found.values()) == {views.position}
        views.fold(STEPS[views.position :])
        whole.fold(STEPS)
        assert views.hash() == whole.hash()

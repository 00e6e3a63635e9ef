"""What questions take of the memory of the process that keeps the views."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from stepfold.projections.views import QueryFailed, QueryRefused, Views
from stepfold.projections.views.query import BYTES_MAX

LIMIT_BYTES = 400_000_000
MOST = 1.5
ASKED = """
import sys
from pathlib import Path
from stepfold.projections.views import QueryError, Views

def most():
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024

with Views.open(Path(sys.argv[1]), memory_limit="400MB") as views:
    before = most()
    try:
        views.query(sys.argv[2], timeout_s=4)
    except QueryError as error:
        told = type(error).__name__
    assert views.query("SELECT 1").table.num_rows == 1
    print(most() - before, told)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps to RLIMIT_DATA")
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT range(500000000)",
        "SELECT repeat('z', 2000000000)",
        "SELECT repeat('z', 300000) FROM range(100000)",
        "SELECT repeat('z', 1000000) AS a, repeat('y', 1000000) AS b FROM range(100000)",
    ],
)
def test_no_question_takes_much_more_than_the_limit_and_the_next_one_is_answered(
    tmp_path: Path, sql: str
) -> None:
    asked = [sys.executable, "-c", ASKED, str(tmp_path / "views.duckdb"), sql]

    done = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=True)

    taken, told = done.stdout.split()
    assert int(taken) < MOST * LIMIT_BYTES
    assert told in ("QueryFailed", "QueryRefused", "QueryTimedOut")


def test_an_answer_of_too_many_bytes_is_refused_and_says_how_many(views: Views) -> None:
    with pytest.raises(QueryRefused, match=r"rows take \d+ MB, and an answer may have 64: ask for"):
        views.query(f"SELECT repeat('z', {BYTES_MAX // 100}) FROM range(200)")


def test_the_limit_of_the_process_is_as_before_when_the_last_question_is_over(
    views: Views,
) -> None:
    before = resource.getrlimit(resource.RLIMIT_DATA)

    views.query("SELECT 1")
    with pytest.raises(QueryFailed):
        views.query("SELECT nothing")

    assert resource.getrlimit(resource.RLIMIT_DATA) == before

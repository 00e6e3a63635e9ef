"""What `stepfold key create` prints where, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from stepfold.cli import exits
from tests.cli.commands import run


def test_the_key_alone_is_what_a_script_reads(tmp_path: Path) -> None:
    made = run("key", "create", "--customer", "acme", data=tmp_path)

    (key,) = made.stdout.splitlines()
    assert key.startswith("sfk_")
    assert "shown this once" in made.stderr


@pytest.mark.parametrize("days", ["0", "-1"])
def test_a_key_that_would_open_nothing_is_not_made(days: str, tmp_path: Path) -> None:
    ended = run("key", "create", "--customer", "acme", "--days", days, data=tmp_path)

    assert ended.exit_code == exits.USAGE
    assert "--days" in ended.stderr
    assert list(tmp_path.iterdir()) == []

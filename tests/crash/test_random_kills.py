"""Calls of every kind while workers die at random moments; a thousand runs with STEPFOLD_SLOW=1."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.crash.far_side import far_side
from tests.crash.tools import play

RUNS = 1_000 if os.environ.get("STEPFOLD_SLOW") else 25


@pytest.mark.timeout(1_800 if RUNS == 1_000 else 120)
async def test_whoever_dies_whenever_each_call_follows_its_rule(tmp_path: Path) -> None:
    with far_side() as far:
        told = await play(RUNS, 7, tmp_path, far)

    assert told.faults == []
    assert told.kills > 2
    assert told.struck > RUNS // 4

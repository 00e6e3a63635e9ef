"""A webhook is acknowledged in under half a second, however long the model takes: thirty seconds
with STEPFOLD_SLOW=1.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.channels.acknowledged import Took, in_slack, in_teams

MODEL_S = 30.0 if "STEPFOLD_SLOW" in os.environ else 2.0
MANY = 10
LIMIT_S = 0.5


@pytest.mark.parametrize("measured", [in_slack, in_teams])
async def test_a_webhook_does_not_wait_for_the_model(
    tmp_path: Path, measured: Callable[[Path, float, int], Awaitable[Took]]
) -> None:
    took = await measured(tmp_path, MODEL_S, MANY)

    print(took)
    assert max(took.acknowledged_s) < LIMIT_S
    assert took.delivered_s >= MODEL_S

"""Pages whose gateway, whose worker, or both are killed at several moments: each token once.

Fifty more moments, and workers that are `stepfold serve`, with STEPFOLD_SLOW=1.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.crash.gateways import ASKING, CONVERSATIONS, EACH, HEARD, Plan, plans, play
from tests.crash.words_model import WORDS

SLOW = bool(os.environ.get("STEPFOLD_SLOW"))
GATEWAY, WORKER, BOTH = EACH


async def test_a_page_whose_gateway_and_worker_die_shows_each_token_once(tmp_path: Path) -> None:
    moments = (
        Plan(ASKING, GATEWAY),
        Plan(HEARD, BOTH),
        Plan(1, WORKER),
        Plan(WORDS // 2, BOTH),
        Plan(WORDS, GATEWAY),
    )

    told = await play(moments, tmp_path)

    assert told.faults == []
    assert told.pages == len(moments) * CONVERSATIONS
    assert told.kills == {"gateway": 4, "worker": 3}
    assert told.struck >= 2
    assert told.asked_again >= 2
    assert told.taken_back >= 2


@pytest.mark.timeout(1_200)
@pytest.mark.skipif(not SLOW, reason="minutes")
@pytest.mark.parametrize(("runs", "served"), [(50, False), (3, True)])
async def test_so_it_is_whenever_they_die(tmp_path: Path, runs: int, *, served: bool) -> None:
    told = await play(plans(runs, 7), tmp_path, served=served)

    assert told.faults == []

"""SIGTERM: finish what runs, give the rest back at once, do nothing twice."""

from __future__ import annotations

import signal
import time

from tests.crash.stage import Stage
from tests.waiting import eventually

ACK_WAIT_S = 30.0
CONVERSATIONS = tuple(f"c{number}" for number in range(10))


async def test_a_worker_that_is_told_to_stop_finishes_what_runs(stage: Stage) -> None:
    leaving = stage.worker(ack_wait_s=ACK_WAIT_S, tool_s=0.5)
    await stage.ready(leaving)
    for conversation in CONVERSATIONS:
        await stage.say(conversation)
    await eventually(lambda: len(stage.ran) == len(CONVERSATIONS))

    leaving.send_signal(signal.SIGTERM)

    assert await stage.ends(leaving) == 0
    for conversation in CONVERSATIONS:
        assert "tool.returned" in await stage.kinds(conversation)


async def test_what_a_stopping_worker_had_fetched_goes_to_another_at_once(stage: Stage) -> None:
    """Well before `ack_wait`, under which a killed worker's steps would have to wait."""
    leaving = stage.worker(ack_wait_s=ACK_WAIT_S, model_s=0.1)
    await stage.ready(leaving)
    for conversation in CONVERSATIONS:
        await stage.say(conversation)
    await eventually(lambda: stage.asked)

    leaving.send_signal(signal.SIGTERM)
    told = time.monotonic()
    await stage.ready(stage.worker(ack_wait_s=ACK_WAIT_S))
    await stage.rest(CONVERSATIONS)

    assert time.monotonic() - told < ACK_WAIT_S / 3
    assert await stage.ends(leaving) == 0
    for conversation in CONVERSATIONS:
        await stage.each_step_once(conversation)
        await stage.every_message_is_answered(conversation)
    assert set(stage.asked.values()) == {1}
    assert set(stage.ran.values()) == {1}


async def test_workers_that_come_and_go_under_load_do_everything_once(stage: Stage) -> None:
    worker = stage.worker(ack_wait_s=ACK_WAIT_S, model_s=0.02, tool_s=0.02)
    await stage.ready(worker)
    told = time.monotonic()
    for turn in range(1, 5):
        for conversation in CONVERSATIONS:
            await stage.say(conversation, turn)
        following = stage.worker(ack_wait_s=ACK_WAIT_S, model_s=0.02, tool_s=0.02)
        await stage.ready(following)
        worker.send_signal(signal.SIGTERM)
        assert await stage.ends(worker) == 0
        worker = following
    await stage.rest(CONVERSATIONS)

    assert time.monotonic() - told < ACK_WAIT_S
    for conversation in CONVERSATIONS:
        await stage.each_step_once(conversation)
        await stage.every_message_is_answered(conversation)
    assert set(stage.asked.values()) == {1}
    assert set(stage.ran.values()) == {1}
    assert await stage.unknown(CONVERSATIONS) == set()

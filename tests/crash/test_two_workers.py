"""Two worker processes on one log, everything delivered twice, races forced: each step once."""

from __future__ import annotations

import signal
from collections import Counter

from stepfold.events.event import TurnCancelled
from stepfold.handlers.inbox import InboxRefused
from tests.crash.stage import CUSTOMER, Stage
from tests.waiting import eventually

CONVERSATIONS = tuple(f"c{number}" for number in range(20))


async def test_what_is_delivered_twice_to_two_workers_is_done_once(stage: Stage) -> None:
    workers = [stage.worker(again=True, parallel=4, tool_s=0.005) for _ in range(2)]
    await stage.ready(*workers)
    for turn in (1, 2):
        for conversation in CONVERSATIONS:
            await stage.say(conversation, turn)
        await stage.rest(CONVERSATIONS)

    for conversation in CONVERSATIONS:
        await stage.each_step_once(conversation)
        await stage.every_message_is_answered(conversation)
    assert set(stage.asked.values()) == {1}
    assert set(stage.ran.values()) == {1}
    assert len(stage.asked) == 2 * 2 * len(CONVERSATIONS)
    assert len(stage.ran) == 2 * 4 * len(CONVERSATIONS)
    assert len(stage.by_process("ran ")) == 2


async def test_cancels_that_race_with_two_workers_leave_each_step_once(stage: Stage) -> None:
    workers = [stage.worker(again=True, parallel=3, model_s=0.01, tool_s=0.01) for _ in range(2)]
    await stage.ready(*workers)
    for conversation in CONVERSATIONS:
        await stage.say(conversation)
    for conversation in CONVERSATIONS:
        await _cancel(stage, conversation)
        await stage.say(conversation, 2)

    await stage.rest(CONVERSATIONS)

    for conversation in CONVERSATIONS:
        await stage.each_step_once(conversation)
        assert (await stage.answers(conversation))[-1] == f"answer to {conversation}/2"
    assert set(stage.asked.values()) == {1}
    assert set(stage.ran.values()) <= {1}
    ends = [type(e.event) for c in CONVERSATIONS for e in await stage.entries(c)]
    assert Counter(ends)[TurnCancelled] > 0


async def _cancel(stage: Stage, conversation: str) -> None:
    try:
        await stage.inbox.cancel(CUSTOMER, conversation, by="test", reason="enough")
    except InboxRefused:
        """It has ended already."""


async def test_a_worker_that_was_frozen_and_wakes_changes_nothing_that_was_decided(
    stage: Stage,
) -> None:
    """A paused machine: its tool counts as unknown, the outcome that it brings is late."""
    frozen = stage.worker(tool_s=0.3, ack_wait_s=0.3)
    await stage.ready(frozen)
    await stage.say("c1")
    await eventually(lambda: stage.ran)
    frozen.send_signal(signal.SIGSTOP)
    other = stage.worker(ack_wait_s=0.3)
    await stage.ready(other)
    await stage.rest(["c1"])
    decided = await stage.entries("c1")

    frozen.send_signal(signal.SIGCONT)
    other.send_signal(signal.SIGTERM)
    await stage.ends(other)
    await stage.say("c1", 2)
    await stage.rest(["c1"])

    assert (await stage.entries("c1"))[: len(decided)] == decided
    await stage.each_step_once("c1")
    await stage.every_message_is_answered("c1")
    assert await stage.unknown(["c1"]) == {"c1/r1.1"}
    assert set(stage.ran.values()) == {1}
    assert set(stage.asked.values()) == {1}


async def test_long_work_that_shows_life_stays_with_its_worker(stage: Stage) -> None:
    workers = [stage.worker(model_s=1, tool_s=1, ack_wait_s=0.3) for _ in range(2)]
    await stage.ready(*workers)
    for conversation in CONVERSATIONS:
        await stage.say(conversation)

    await stage.rest(CONVERSATIONS)

    assert set(stage.asked.values()) == {1}
    assert set(stage.ran.values()) == {1}
    assert await stage.unknown(CONVERSATIONS) == set()

"""kill -9 of a worker between any two effects: the next one goes on where the log ends."""

from __future__ import annotations

import signal

import pytest

from tests.crash.stage import Stage

WAIT_S = 0.4
CONVERSATIONS = ("c1", "c2")

APPENDED = (
    "reason.requested",
    "reason.finished",
    "tool.requested",
    "tool.started",
    "tool.returned",
    "retrieval.requested",
    "retrieval.returned",
    "response.given",
)
HANDED = ("message.received", "reason.requested", "tool.requested", "retrieval.requested")
BOUNDARIES = [
    *(("before append", kind) for kind in APPENDED),
    *(("after append", kind) for kind in APPENDED),
    *(("before ack", kind) for kind in HANDED),
    ("model", ""),
    ("tool", ""),
    ("search", ""),
]


@pytest.mark.parametrize(("boundary", "kind"), BOUNDARIES)
async def test_a_worker_that_dies_at_a_boundary_loses_and_repeats_nothing(
    stage: Stage, boundary: str, kind: str
) -> None:
    for conversation in CONVERSATIONS:
        await stage.say(conversation)
    dying = stage.worker(boundary=boundary, kind=kind, ack_wait_s=WAIT_S)
    assert await stage.ends(dying) == -signal.SIGKILL, stage.said()
    known = {name: await stage.entries(name) for name in CONVERSATIONS}
    unrecorded = await stage.unrecorded()
    unseen = await stage.unseen(CONVERSATIONS)

    async with stage.working(ack_wait_s=WAIT_S):
        await stage.rest(CONVERSATIONS)

    for conversation in CONVERSATIONS:
        entries = await stage.entries(conversation)
        assert entries[: len(known[conversation])] == known[conversation]
        await stage.each_step_once(conversation)
        await stage.every_message_is_answered(conversation)
    assert {call for call, times in stage.asked.items() if times > 1} == unrecorded
    assert set(stage.asked.values()) <= {1, 2}
    assert set(stage.ran.values()) <= {1}
    assert await stage.unknown(CONVERSATIONS) == unseen


@pytest.mark.parametrize(
    ("boundary", "kind"),
    [
        ("before append", "generation.finished"),
        ("after append", "generation.finished"),
        ("before ack", "generation.requested"),
        ("model", ""),
    ],
)
async def test_a_generation_whose_worker_dies_is_finished_once(
    stage: Stage, boundary: str, kind: str
) -> None:
    await stage.generate("g1")
    dying = stage.worker(boundary=boundary, kind=kind, ack_wait_s=WAIT_S)
    assert await stage.ends(dying) == -signal.SIGKILL, stage.said()
    recorded = "generation.finished" in await stage.kinds("g1")

    async with stage.working(ack_wait_s=WAIT_S):
        await stage.rest(["g1"])

    assert await stage.kinds("g1") == ["generation.requested", "generation.finished"]
    assert stage.asked == {"g1 g1": 1 if recorded else 2}

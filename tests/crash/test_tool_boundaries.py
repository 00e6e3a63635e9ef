"""kill -9 of a worker around a tool call of every kind, with a far side that counts what it did."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from stepfold.events.event import ToolReturned, ToolUnknown
from stepfold.policy.agent import Agent, Limits
from stepfold.policy.grants import resolve
from stepfold.tools.files import load_tools
from tests.crash.far_side import FarSide, far_side
from tests.crash.stage import Stage
from tests.servers import Server
from tests.waiting import eventually

WAIT_S = 0.4
KINDS = ("once", "keyed", "found", "look")
CALL = "acme/c1/r1.1"
NOT_STARTED = ("before append", "tool.started")
STARTED = ("after append", "tool.started")
ASKED = ("request", "")
ANSWERED = ("before append", "tool.returned")
RECORDED = ("after append", "tool.returned")
HANDED = ("before ack", "tool.requested")
BOUNDARIES = (NOT_STARTED, STARTED, ASKED, ANSWERED, RECORDED, HANDED)


@pytest.fixture
def far() -> Iterator[FarSide]:
    with far_side() as far:
        yield far


@pytest.fixture
def folder(far: FarSide, tmp_path: Path) -> Path:
    far.write_tools(tmp_path / "user" / "tools")
    return tmp_path / "user"


@pytest.fixture
async def stage(server: Server, folder: Path, tmp_path: Path) -> AsyncIterator[Stage]:
    tools = {tool.spec.name: tool.spec for tool in load_tools(folder / "tools")}
    limits = Limits(backoff_s=0.1, backoff_s_max=0.2)
    agent = Agent("worker", models=("counting",), tools=KINDS, limits=limits)
    async with Stage.on(server, tmp_path, resolve(agent, tools)) as stage:
        yield stage


@pytest.mark.parametrize("boundary", BOUNDARIES, ids=" ".join)
@pytest.mark.parametrize("kind", KINDS)
async def test_a_call_whose_worker_dies_follows_its_rule(
    stage: Stage, far: FarSide, folder: Path, kind: str, boundary: tuple[str, str]
) -> None:
    plan: dict[str, Any] = {"tools": str(folder), "calls": {kind: {"n": 1}}, "ack_wait_s": WAIT_S}
    at, step = boundary if boundary != ASKED else ("", "")
    await stage.say("c1")
    dying = stage.forked(**plan, boundary=at, kind=step)
    if boundary == ASKED:
        far.meet = lambda kind, call: dying.kill()
    assert await dying.ends() == -signal.SIGKILL, stage.said()
    far.meet = None
    if boundary == ASKED:
        await eventually(lambda: far.asked[kind, CALL])
    before = dict(far.done)

    async with stage.working(**plan):
        await stage.rest(["c1"])

    lost = kind == "once" and boundary in (STARTED, ASKED, ANSWERED)
    (outcome,) = [
        entry.event
        for entry in await stage.entries("c1")
        if isinstance(entry.event, ToolReturned | ToolUnknown)
    ]
    assert isinstance(outcome, ToolUnknown if lost else ToolReturned)
    if kind != "look":
        assert far.done[kind, CALL] == (0 if lost and boundary == STARTED else 1)
        assert before.get((kind, CALL), 0) == (boundary not in (NOT_STARTED, STARTED))
    again = kind in ("keyed", "look") and boundary in (ASKED, ANSWERED)
    assert far.asked[kind, CALL] == (2 if again else 0 if lost and boundary == STARTED else 1)
    assert far.looked_up[CALL] == (kind == "found" and boundary in (STARTED, ASKED, ANSWERED))
    await stage.each_step_once("c1")
    await stage.every_message_is_answered("c1")

"""A call waits on a real server; people see it, agree to it, or do not, from the command line."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from stepfold.app import Opened, Parts, granted, opened, working
from stepfold.events.event import ApprovalExpired, Event, ResponseGiven
from stepfold.events.values import Arguments
from stepfold.handlers.inbox import Message
from stepfold.knowledge.memory import MemoryKnowledge
from stepfold.policy.agent import Agent
from stepfold.policy.grant import Approval, Grant
from stepfold.providers.model import Call, Reply
from stepfold.providers.scripted import ScriptedModel
from stepfold.settings import Settings
from stepfold.tools.tool import FunctionTool, ToolSpec
from tests.cli.commands import spawn
from tests.servers import Server
from tests.waiting import eventually

REFUND = Reply(calls=(Call("refund", {"amount": 80}),))


class Desk:
    """Workers on a real log, and what their tool has paid."""

    def __init__(self, found: Opened, server: Server, folder: Path) -> None:
        self.found = found
        self.paid: list[Any] = []
        self._more = {"NATS_URL": server.url, "STEPFOLD_DATA_DIR": str(folder), "COLUMNS": "60"}

    async def refund(self, arguments: Arguments, call: str) -> str:
        self.paid.append(arguments["amount"])
        return "paid"

    async def stepfold(self, *words: str) -> subprocess.CompletedProcess[str]:
        return await asyncio.to_thread(lambda: spawn(*words, **self._more))

    async def told(self, *words: str) -> Any:
        done = await self.stepfold(*words, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    async def events(self, kind: type[Event]) -> list[Event]:
        steps = await self.found.log.read("acme", "c1")
        return [step.event for step in steps if isinstance(step.event, kind)]

    async def asks(self, **rule: Any) -> str:
        """A contact wants a refund that waits; gives its digest."""
        spec = ToolSpec("refund", effect="write")
        grants = {"refund": Grant(approval=Approval(**rule))}
        agent = Agent("desk", models=("scripted",), tools=("refund",), grants=grants)
        self.parts = Parts(
            knowledge=MemoryKnowledge({}),
            models={"scripted": ScriptedModel([REFUND, Reply("Done.")])},
            tools={"refund": FunctionTool(spec, self.refund)},
        )
        inbox = await self.found.inbox(granted(agent, self.parts))
        await inbox.receive(Message("acme", "c1", "Refund me.", "m1"))
        return ""

    async def waits(self) -> Any:
        approvals = self.found.approvals()

        async def there() -> bool:
            return bool(await approvals.waiting("acme", "c1"))

        await eventually(there)
        (row,) = await self.told("approval", "list")
        return row


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    server = Server(tmp_path)
    server.start()
    try:
        async with opened(Settings(folder=tmp_path, nats_url=server.url)) as found:
            yield Desk(found, server, tmp_path)
    finally:
        server.stop()


async def test_what_waits_is_listed_shown_and_granted(desk: Desk) -> None:
    await desk.asks(people=2)
    async with working(desk.found, desk.parts):
        row = await desk.waits()
        assert (row["name"], row["arguments"], row["people"]) == ("refund", '{"amount":80}', 2)
        digits = row["digest"].removeprefix("sha256:")[:12]

        shown = await desk.stepfold("approval", "show", "acme/c1")
        assert '"amount": 80' in shown.stdout
        assert digits in shown.stdout
        assert max(map(len, shown.stdout.splitlines())) <= 60

        for person in ("ann", "bob"):
            assert desk.paid == []
            done = await desk.stepfold(
                "approval", "grant", "acme/c1", "r1.1", "--digest", digits, "--as", person
            )
            assert done.returncode == 0, done.stderr
        await eventually(lambda: desk.events(ResponseGiven))

    assert desk.paid == [80]
    assert "no call waits" in (await desk.stepfold("approval", "list")).stdout
    listed = (await desk.stepfold("approval", "list", "--all")).stdout
    assert "granted by ann, bob" in " ".join(listed.split())


async def test_what_is_denied_is_not_run_and_says_why(desk: Desk) -> None:
    await desk.asks()
    async with working(desk.found, desk.parts):
        row = await desk.waits()

        entry = await desk.told(
            *("approval", "deny", "acme/c1", "r1.1", "--digest", row["digest"]),
            *("--as", "ann", "--reason", "no receipt"),
        )
        await eventually(lambda: desk.events(ResponseGiven))

    assert entry["event"]["person"] == "ann"
    assert desk.paid == []


async def test_a_command_that_means_another_call_is_refused(desk: Desk) -> None:
    await desk.asks()
    async with working(desk.found, desk.parts):
        await desk.waits()
        grant = ("approval", "grant", "acme/c1", "r1.1")

        unsaid = await desk.stepfold(*grant)
        short = await desk.stepfold(*grant, "--digest", "ab")
        other = await desk.stepfold(*grant, "--digest", "0123456789ab")
        gone = await desk.stepfold("approval", "grant", "acme/c1", "r7.7", "--digest", "0" * 12)

    assert unsaid.returncode == short.returncode == other.returncode == gone.returncode == 1
    assert "say which call you have seen: --digest" in unsaid.stderr
    assert "give at least 8 digits of it" in short.stderr
    assert "you mean the call 0123456789ab" in other.stderr
    assert "nobody was asked to approve it" in gone.stderr
    assert desk.paid == []


async def test_a_question_outlives_its_workers_and_ends_by_the_logs_own_timer(desk: Desk) -> None:
    await desk.asks(expires_s=3.0)
    async with working(desk.found, desk.parts, roles=("agent", "reason")):
        await desk.waits()
    async with working(desk.found, desk.parts):
        await eventually(lambda: desk.events(ResponseGiven), 20)

    assert await desk.events(ApprovalExpired) == [ApprovalExpired("r1.1", 1)]
    assert desk.paid == []

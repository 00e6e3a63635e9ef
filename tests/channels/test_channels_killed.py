"""Gateways that are killed while they hear, ask, and tell: every question has its answer on the
screen once, every call that waits was asked about once, and nothing waits for ever.

Teams too and more kills with STEPFOLD_SLOW=1 (a stream whose process died is held for 15 s);
another world with SEED=n.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx2

from stepfold.app import Opened, Parts, granted, opened, working
from stepfold.channels.slack.app import EVENTS, INTERACTIVE
from stepfold.channels.slack.names import Thread
from stepfold.channels.teams.app import PATH
from stepfold.channels.teams.parse import conversation_name
from stepfold.events.event import ResponseDelivered
from stepfold.events.transcript import Result
from stepfold.events.values import Delta
from stepfold.knowledge.memory import MemoryKnowledge
from stepfold.policy.agent import Agent
from stepfold.policy.grant import Approval, Grant
from stepfold.providers.model import Call, Prompt, Reply
from stepfold.settings import Settings
from stepfold.tools.tool import FunctionTool, ToolSpec
from tests.channels.slack_fake import FakeSlack, slack
from tests.channels.slack_office import (
    ADA,
    APPROVALS,
    DIRECT,
    TEAM,
    message,
    pressed,
    signed,
    texts,
)
from tests.channels.teams_fake import TENANT, FakeTeams, fake_teams
from tests.servers import free_port
from tests.waiting import eventually

SLOW = "STEPFOLD_SLOW" in os.environ
SEED = int(os.environ.get("SEED", "1"))
KILLS, EACH = (12, 3) if SLOW else (2, 2)
WITHIN_S = 90.0
ROOT = Path(__file__).parents[2]
WORDS = [f"word{number} " for number in range(10)]
ANSWER = "".join(WORDS) + "END"


class Talker:
    """A model that first wants to pay, and then says ten words and an end."""

    name = "scripted"

    async def reply(self, prompt: Prompt, /) -> Reply:
        if not any(isinstance(item, Result) for item in prompt.transcript):
            return Reply(calls=(Call("refund_order", {"amount": 80}),), model="scripted")
        for word in WORDS:
            await asyncio.sleep(0.1)
            if prompt.hear is not None:
                prompt.hear(Delta("text", word))
        return Reply(ANSWER, model="scripted")


class Gateways:
    """Two of them; `kill` one, and it comes again."""

    def __init__(self, *told: str) -> None:
        self._told = told
        self._ports = (free_port(), free_port())
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        self._web = httpx2.AsyncClient(trust_env=False, timeout=5)

    async def start(self, port: int) -> None:
        command = [sys.executable, "-m", "tests.channels.channel_process", *self._told, str(port)]
        process = await asyncio.to_thread(_spawned, command)
        self._running[port] = process
        assert process.stdout is not None
        assert await asyncio.to_thread(process.stdout.readline) == b"up\n"

    async def start_all(self) -> None:
        await asyncio.gather(*(self.start(port) for port in self._ports))

    async def kill(self, chance: random.Random) -> None:
        port = chance.choice(self._ports)
        self._end(self._running[port])
        await self.start(port)

    async def send(self, path: str, body: bytes, headers: Callable[[], dict[str, str]]) -> None:
        """As Slack and Teams do: again, until somebody has it."""
        end = time.monotonic() + WITHIN_S
        while time.monotonic() < end:
            for port in self._ports:
                try:
                    url = f"http://127.0.0.1:{port}{path}"
                    answer = await self._web.post(url, content=body, headers=headers())
                except httpx2.HTTPError:
                    continue
                if answer.status_code == 200:
                    return
            await asyncio.sleep(0.1)
        raise AssertionError(f"nobody took {path}")

    async def close(self) -> None:
        await self._web.aclose()
        for process in self._running.values():
            self._end(process)

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def _spawned(command: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)


class InSlack:
    def __init__(self, fake: FakeSlack, gateways: Gateways) -> None:
        self._fake, self._gateways = fake, gateways
        self._pressed: set[str] = set()
        self.threads: list[Thread] = []

    async def ask(self) -> str:
        ts = self._fake.say(DIRECT, ADA, "Refund me!")
        thread = Thread(TEAM, DIRECT, ts)
        self.threads.append(thread)
        body = json.dumps(message(ts, "Refund me!")).encode()
        await self._gateways.send(EVENTS, body, lambda: signed(body, time.time()))
        return thread.conversation

    async def approve(self) -> None:
        for asked in self._fake.shown(APPROVALS):
            last = (asked.get("blocks") or [{}])[-1]
            if last.get("type") == "actions" and asked["ts"] not in self._pressed:
                self._pressed.add(asked["ts"])
                payload = json.dumps(pressed(last["elements"][0]))
                body = urlencode({"payload": payload}).encode()
                send = self._gateways.send
                await send(INTERACTIVE, body, lambda: signed(body, time.time()))  # noqa: B023

    def answers(self) -> list[int]:
        """How often each thread shows the answer, whole."""
        shown = self._fake.shown(DIRECT)
        return [
            sum(
                "END" in m["text"] + texts(m.get("blocks"))
                for m in shown
                if m.get("thread_ts") == t.ts
            )
            for t in self.threads
        ]

    def is_settled(self) -> bool:
        asked = self._fake.shown(APPROVALS)
        return len(asked) == len(self.threads) and "actions" not in texts(
            block for each in asked for block in each["blocks"]
        )

    def is_still(self) -> bool:
        return not any(each.get("streaming") for each in self._fake.shown(DIRECT))


class InTeams:
    def __init__(self, fake: FakeTeams, gateways: Gateways) -> None:
        self._fake, self._gateways = fake, gateways
        self._pressed: set[str] = set()
        self.places: list[str] = []

    async def ask(self) -> str:
        place = f"a:{len(self.places)}"
        self.places.append(place)
        where = {"id": place, "conversationType": "personal", "tenantId": TENANT}
        await self._send(self._fake.says("Refund me!", conversation=where))
        return conversation_name(TENANT, place)

    async def approve(self) -> None:
        for sent in list(self._fake.sent):
            if sent.card.get("actions") and sent.place not in self._pressed:
                self._pressed.add(sent.place)
                where = {"id": sent.place, "conversationType": "personal", "tenantId": TENANT}
                press = self._fake.presses(sent.card, "Approve")
                await self._send({**press, "conversation": where})

    async def _send(self, activity: dict[str, Any]) -> None:
        def headers() -> dict[str, str]:
            return {"Authorization": f"Bearer {self._fake.token()}"}

        await self._gateways.send(PATH, json.dumps(activity).encode(), headers)

    def answers(self) -> list[int]:
        place_of = {s.stream.get("streamId") or s.activity: s.place for s in self._fake.sent}
        ends = [place_of[id] for id, text in self._fake.screen.items() if "END" in text]
        return [ends.count(place) for place in self.places]


@asynccontextmanager
async def agency(folder: Path) -> AsyncIterator[Opened]:
    """What answers: it is not killed here."""

    async def refund(arguments: dict[str, Any], call: str) -> str:
        return "paid"

    spec = ToolSpec("refund_order", effect="write", recovery="idempotent")
    tools = {"refund_order": FunctionTool(spec, refund)}
    parts = Parts(MemoryKnowledge({}), models={"scripted": Talker()}, tools=tools)
    grants = {"refund_order": Grant(approval=Approval())}
    desk = Agent("desk", models=("scripted",), tools=("refund_order",), grants=grants)
    async with opened(Settings(folder=folder)) as found:
        await found.agents.appoint(granted(desk, parts))
        async with working(found, parts):
            yield found


async def test_gateways_that_are_killed_lose_nothing_and_tell_nothing_twice(
    tmp_path: Path,
) -> None:
    chance = random.Random(SEED)
    with slack() as fake:
        async with fake_teams() as teams_fake, agency(tmp_path) as found:
            gateways = Gateways(str(tmp_path), fake.api, teams_fake.url)
            try:
                await gateways.start_all()
                slack_side, teams_side = InSlack(fake, gateways), InTeams(teams_fake, gateways)
                names: list[Awaitable[str]] = []
                sides: tuple[InSlack | InTeams, ...] = (slack_side, teams_side)
                for _ in range(KILLS):
                    for _ in range(EACH):
                        asking = sides if SLOW else sides[:1]
                        names += [asyncio.ensure_future(side.ask()) for side in asking]
                    await asyncio.sleep(chance.uniform(0.2, 1.5))
                    await asyncio.gather(slack_side.approve(), teams_side.approve())
                    await gateways.kill(chance)
                left = set(await asyncio.gather(*names))

                async def all_delivered() -> bool:
                    await asyncio.gather(slack_side.approve(), teams_side.approve())
                    left.difference_update([n for n in left if await is_delivered(found, n)])
                    return not left

                await eventually(all_delivered, WITHIN_S, what="every answer delivered")
                await eventually(slack_side.is_settled, what="no button that waits")
                await eventually(slack_side.is_still, what="no stream left open")
                assert slack_side.answers() == [1] * len(slack_side.threads)
                assert all(teams_side.answers())  # twice is better than never: docs/teams.md
            finally:
                await gateways.close()


async def is_delivered(found: Opened, name: str) -> bool:
    entries = await found.log.read("acme", name)
    return any(isinstance(each.event, ResponseDelivered) for each in entries)

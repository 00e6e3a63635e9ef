"""A whole channel on a real log: its route and lanes, workers, and the fake of Teams."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
from msgspec.structs import replace
from starlette.applications import Starlette

from stepfold.app import Opened, Parts, opened, working
from stepfold.channels.teams import TeamsConfig, parse_teams
from stepfold.channels.teams.app import beginning
from stepfold.channels.teams.channel import Teams, World, channel
from stepfold.channels.teams.parse import conversation_name
from stepfold.events.envelope import Entry, kind
from stepfold.events.values import Delta
from stepfold.knowledge.document import Document
from stepfold.knowledge.memory import MemoryKnowledge
from stepfold.policy.agent import Agent
from stepfold.policy.grant import Approval, Grant
from stepfold.policy.grants import resolve
from stepfold.policy.toolspec import ToolSpec
from stepfold.providers.model import Model, Prompt, Reply
from stepfold.settings import Settings
from stepfold.streams.jetstream.sealed import JetStreamSealed
from stepfold.streams.lanes import Lanes
from stepfold.tools.tool import Tool
from tests.channels.teams_fake import (
    APP_ID,
    BOB,
    CHAT,
    SECRET,
    TENANT,
    FakeTeams,
    fake_teams,
    serving,
)
from tests.servers import free_port
from tests.waiting import eventually

PACE_S = 0.02
NAME = conversation_name(TENANT, CHAT)
HOURS = Document(
    id="hours.md", title="Opening hours", content="The branch opens at nine in the morning."
)
REFUND = ToolSpec(
    "refund",
    "Pays money back.",
    {"type": "object", "properties": {"order": {"type": "string"}}, "required": ["order"]},
    effect="external",
    recovery="idempotent",
)
CAREFUL = Agent(
    name="desk",
    models=("scripted",),
    tools=("refund",),
    collections=("handbook",),
    grants={"refund": Grant(approval=Approval())},
)


async def pays(arguments: dict[str, Any], call: str) -> str:
    return f"paid for {arguments['order']}"


FILE = """
app_id = "{app}"
secret = "${{env:TEAMS_SECRET}}"
tenant = "{tenant}"
login_url = "{url}"
openid_url = "{url}/openid"

[customers]
"{tenant}" = "acme"

[approvers]
acme = ["{bob}"]

[reach]
private = ["{host}"]
"""


def config_of(fake: FakeTeams) -> TeamsConfig:
    """As the file says it."""
    return config_at(fake.url)


def config_at(url: str) -> TeamsConfig:
    host = url.removeprefix("http://")
    text = FILE.format(app=APP_ID, tenant=TENANT, url=url, bob=BOB, host=host)
    return parse_teams(text, "teams.toml", {"TEAMS_SECRET": SECRET})


class Gated:
    """A model that says its words and then waits until it may answer."""

    def __init__(self, *replies: Reply, words: Sequence[str] = ()) -> None:
        self.asked = asyncio.Event()
        self.gate = asyncio.Event()
        self._replies = iter(replies)
        self._words = words
        self._hear: Any = None

    async def reply(self, prompt: Prompt, /) -> Reply:
        self._hear = prompt.hear
        for word in self._words:
            self.say(word)
        self.asked.set()
        await self.gate.wait()
        reply = next(self._replies)
        return replace(reply, model="scripted")

    def say(self, text: str) -> None:
        self._hear(Delta("text", text))


class Site:
    """One channel. `post` is what Teams does."""

    def __init__(
        self, found: Opened, fake: FakeTeams, teams: Teams, config: TeamsConfig, url: str
    ) -> None:
        self.found, self.fake, self.teams, self.config = found, fake, teams, config
        self.url = url

    async def post_all(self, activities: Sequence[Mapping[str, Any]]) -> list[float]:
        """All at once, with one client; how many seconds each waited for its 200."""
        headers = {"Authorization": f"Bearer {self.fake.token()}"}
        async with httpx2.AsyncClient(trust_env=False) as web:

            async def post(activity: Mapping[str, Any]) -> float:
                begun = time.perf_counter()
                url = f"{self.url}/channels/teams/messages"
                answer = await web.post(url, json=dict(activity), headers=headers)
                assert answer.status_code == 200, answer.text
                return time.perf_counter() - begun

            return list(await asyncio.gather(*(post(each) for each in activities)))

    async def post(
        self, activity: Mapping[str, Any], *, token: str | None = None
    ) -> httpx2.Response:
        signed = self.fake.token() if token is None else token
        async with httpx2.AsyncClient(trust_env=False) as web:
            return await web.post(
                f"{self.url}/channels/teams/messages",
                json=dict(activity),
                headers={"Authorization": f"Bearer {signed}"} if signed else {},
            )

    async def entries(self, name: str = NAME) -> list[Entry]:
        return await self.found.log.read("acme", name)

    async def kinds(self, name: str = NAME) -> list[str]:
        return [kind(entry.event) for entry in await self.entries(name)]

    async def until_kind(self, wanted: str, count: int = 1, name: str = NAME) -> Entry:
        async def found() -> Entry | None:
            them = [each for each in await self.entries(name) if kind(each.event) == wanted]
            return them[count - 1] if len(them) >= count else None

        entry = await eventually(found, what=wanted)
        assert entry is not None
        return entry


@asynccontextmanager
async def site(
    folder: Path,
    *,
    agent: Agent | None = None,
    models: Mapping[str, Model] | None = None,
    tools: Iterable[Tool] = (),
    workers: bool = True,
    lanes: bool = True,
) -> AsyncIterator[Site]:
    """`workers`: models and tools run. `lanes`: the channel delivers."""
    by_name = {tool.spec.name: tool for tool in tools}
    agent = resolve(
        agent or Agent(name="desk", models=("scripted",)),
        {name: tool.spec for name, tool in by_name.items()},
    )
    knowledge = MemoryKnowledge({"handbook": [HOURS]})
    async with AsyncExitStack() as stack:
        fake = await stack.enter_async_context(fake_teams())
        found = await stack.enter_async_context(opened(Settings(folder=folder)))
        config = config_of(fake)
        teams = channel(config, await world(found, agent), pace_s=PACE_S)
        port = free_port()
        await stack.enter_async_context(serving(Starlette(routes=teams.routes), port))
        if workers:
            parts = Parts(knowledge, models=models or {}, tools=by_name)
            await stack.enter_async_context(working(found, parts))
        if lanes:
            running = Lanes(found.client, pulse_s=0.5)
            await teams.mount(running)
            await running.start()
            stack.push_async_callback(running.stop)
        yield Site(found, fake, teams, config, f"http://127.0.0.1:{port}")
        assert not fake.wrong, fake.wrong


async def world(found: Opened, agent: Agent) -> World:
    inbox = await found.inbox(agent)
    return World(
        client=found.client,
        log=found.log,
        store=JetStreamSealed(found.client),
        keep=found.files.put,
        receive=inbox.receive,
        begin=beginning(found.log, agent.name, await found.agents.put(agent)),
        cancel=inbox.cancel,
        approvals=found.approvals(),
    )

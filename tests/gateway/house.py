"""A log on a real server, workers, and gateways on loopback; and a client that reads streams."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
from msgspec import Struct
from nats.js import api
from nats.js.errors import BadRequestError

from stepfold.app import HELP_DESK, Opened, Parts, opened, working
from stepfold.cli.viewing import own_views
from stepfold.events.values import Delta
from stepfold.gateway.keys import keys_of
from stepfold.gateway.principal import APPROVE, CHAT, READ
from stepfold.gateway.serving import PLAIN, Made, gateway_on, serving
from stepfold.gateway.web import Gateway
from stepfold.knowledge.documents import SAMPLE, load
from stepfold.knowledge.memory import MemoryKnowledge
from stepfold.policy.agent import Agent
from stepfold.providers.model import Model, Prompt, Reply
from stepfold.settings import Settings
from stepfold.tools.tool import Tool

LIMIT_S = 20.0
ALL = (CHAT, READ, APPROVE)
WORDS_MAX = 100
ENVIRONMENT: Mapping[str, str] = {}


async def with_keys(found: Opened) -> None:
    """The stream of the keys."""
    config = api.StreamConfig(
        name="keys", subjects=["keys.>"], max_msgs_per_subject=1, allow_direct=True
    )
    try:
        await found.client.jetstream().add_stream(config)
    except BadRequestError:  # it is there, made by the package itself
        await found.client.jetstream().stream_info("keys")


class House:
    def __init__(self, found: Opened, here: Settings, stack: AsyncExitStack) -> None:
        self.found = found
        self.here = here
        self.keys = keys_of(found)
        self.knowledge = MemoryKnowledge({"default": load(SAMPLE)})
        self._stack = stack
        self.gateways: dict[str, Gateway] = {}
        self.url = ""

    async def work(
        self,
        agent: Agent = HELP_DESK,
        *,
        models: Mapping[str, Model] | None = None,
        tools: Iterable[Tool] = (),
    ) -> None:
        """Workers, and this agent for new conversations."""
        parts = Parts(
            self.knowledge, models=models or {}, tools={tool.spec.name: tool for tool in tools}
        )
        await self.found.agents.appoint(agent)
        await self._stack.enter_async_context(working(self.found, parts))
        for model in (models or {}).values():
            if isinstance(model, Slow):
                self._stack.callback(model.go, WORDS_MAX)  # a worker ends when its calls do

    async def view(self) -> None:
        """Somebody keeps the views."""
        ready = asyncio.Event()
        task = asyncio.create_task(own_views(self.found, self.here, ready))

        async def end() -> None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        self._stack.push_async_callback(end)
        await ready.wait()

    async def open_gateway(self, made: Made = PLAIN) -> str:
        """One more gateway; returns its address."""
        gateway = gateway_on(
            self.found, self.here, self.knowledge, made=made, environment=ENVIRONMENT
        )
        url = await self._stack.enter_async_context(serving(gateway, "127.0.0.1", 0))
        self.gateways[url] = gateway
        self.url = self.url or url
        return url

    async def key(self, customer: str = "acme", scopes: Sequence[str] = ALL, **more: Any) -> str:
        return (await self.keys.create(customer, tuple(scopes), **more))[1]

    async def client(self, key: str = "", *, url: str = "", **headers: str) -> httpx2.AsyncClient:
        """Somebody with this key, by default with one that may do everything for acme."""
        shown = key or await self.key()
        return await self._stack.enter_async_context(
            httpx2.AsyncClient(
                verify=False,  # loading certificates takes longer than a test
                base_url=url or self.url,
                headers={"Authorization": f"Bearer {shown}", **headers},
                timeout=LIMIT_S,
            )
        )


def anybody(url: str) -> httpx2.AsyncClient:
    """Somebody without a key."""
    return httpx2.AsyncClient(base_url=url, timeout=LIMIT_S, verify=False)


@asynccontextmanager
async def house(folder: Path, made: Made = PLAIN) -> AsyncIterator[House]:
    here = Settings(folder=folder)
    async with opened(here) as found, AsyncExitStack() as stack:
        await with_keys(found)
        home = House(found, here, stack)
        await home.open_gateway(made)
        yield home


# -- models ---------------------------------------------------------------------------------------


class Slow:
    """A model that says word after word, each when it is told to."""

    def __init__(self, *words: str) -> None:
        self.words = words
        self.asked = asyncio.Event()
        self._may = asyncio.Semaphore(0)

    def go(self, words: int = 1) -> None:
        for _ in range(words):
            self._may.release()

    async def reply(self, prompt: Prompt, /) -> Reply:
        self.asked.set()
        for word in self.words:
            await self._may.acquire()
            if prompt.hear is not None:
                prompt.hear(Delta("text", word))
        return Reply(text="".join(self.words))


SLOW = Agent(name="slow", models=("slow",))


# -- streams --------------------------------------------------------------------------------------


class Event(Struct, frozen=True):
    """One event as it came; a comment is an event of this name."""

    event: str
    data: dict[str, Any]
    id: str = ""

    @property
    def kind(self) -> str:
        """Of a step, else the event's own name."""
        return str(self.data.get("kind", self.event)) if self.event == "step" else self.event


async def events(response: httpx2.Response) -> AsyncIterator[Event]:
    """The events of a stream, until it ends; ids are remembered as a browser does."""
    assert response.headers["content-type"].startswith("text/event-stream"), response.headers
    last, fields = "", dict[str, str]()
    async for line in response.aiter_lines():
        if line.startswith(":"):
            yield Event("comment", {"text": line[1:].strip()}, last)
        elif line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif "data" in fields:
            last = fields.get("id", last)
            yield Event(fields["event"], json.loads(fields["data"]), last)
            fields = {}
        else:
            fields = {}


async def heard(client: httpx2.AsyncClient, path: str, **headers: str) -> list[Event]:
    """All of a stream that ends."""
    async with client.stream("GET", path, headers=headers) as response:
        assert response.status_code == 200, await response.aread()
        return [each async for each in events(response)]


def screen(told: Iterable[Event]) -> str:
    """What a client shows after these events, its offsets checked."""
    shown = ""
    for each in told:
        if each.event == "taken_back":
            shown = ""
        elif each.event == "words" and each.data["kind"] == "text":
            assert each.data["offset"] == len(shown), (each, shown)
            shown += each.data["text"]
    return shown

"""The world as one process sees it: each look at it is a gate where others may go first, and where
this process may die. The log's own faults are here too.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Protocol

from stepfold.events.citation import cite
from stepfold.events.envelope import Draft, Entry
from stepfold.events.steps import Stored
from stepfold.events.transcript import Result
from stepfold.events.values import Arguments, Citation, Passage
from stepfold.knowledge.errors import CollectionUnknown
from stepfold.policy.agent import Agent
from stepfold.providers.model import Call, ModelBusy, ModelFailed, Prompt, Reply
from stepfold.streams.log import LogUnavailable, Tail

if TYPE_CHECKING:
    from tests.worlds.world import Process, World

PASSAGE = Passage("facts.md", "Facts", "sha256:" + "1" * 64, 5, 27, "Water boils at 100 °C.", 1.0)
FORGED = Citation("facts.md", PASSAGE.digest, 5, 16, "Water burns")


class Connected(Protocol):
    """Who looks at the world through gates."""

    @property
    def world(self) -> World: ...

    async def gate(self, what: str) -> bool: ...


class WorldLog:
    """The shared log through this process's connection: it may fail before an append, or after."""

    def __init__(self, process: Connected) -> None:
        self._process = process
        self._world = process.world

    async def append(self, drafts: Sequence[Draft], *, after: int) -> tuple[Entry, ...]:
        if await self._process.gate("append"):
            raise LogUnavailable("the server is away")
        entries = await self._world.append(drafts, after)
        if await self._process.gate("appended"):
            raise LogUnavailable("the acknowledgement was lost")
        return entries

    async def read(self, customer: str, conversation: str, *, after: int = 0) -> list[Entry]:
        if await self._process.gate("read"):
            raise LogUnavailable("the server is away")
        return await self._world.log.read(customer, conversation, after=after)

    async def tail(self, customer: str, conversation: str) -> Tail:
        await self._process.gate("tail")
        return await self._world.log.tail(customer, conversation)

    async def bury(self, entry: Entry, reason: str) -> None:
        await self._process.gate("bury")
        await self._world.log.bury(entry, reason)

    async def last(self) -> int:
        return await self._world.log.last()

    def scan(
        self, *, after: int = 0, follow: bool = False
    ) -> AsyncGenerator[Sequence[Stored], None]:
        return self._world.log.scan(after=after, follow=follow)


class WorldAgents:
    def __init__(self, process: Process) -> None:
        self._process = process

    async def put(self, agent: Agent) -> str:
        return await self._process.world.agents.put(agent)

    async def get(self, digest: str) -> Agent:
        if await self._process.gate("agent"):
            raise LogUnavailable("the server is away")
        return await self._process.world.agents.get(digest)


class WorldTimers:
    def __init__(self, process: Process) -> None:
        self._process = process

    async def set(self, customer: str, conversation: str, turn: int, due: datetime) -> None:
        if await self._process.gate("timer"):
            raise LogUnavailable("the server is away")
        self._process.world.timed.add((conversation, turn))
        await self._process.world.timers.set(customer, conversation, turn, due)


class WorldModel:
    """Answers anything: text, calls, nothing, too late, or not at all."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._world = process.world
        own = self._world.plan.agent.tools or ("t1",)
        self._names = (*own * (8 // len(own)), "search", "search", "t2", "other")

    async def reply(self, prompt: Prompt, /) -> Reply:
        self._world.asked(self._process, prompt)
        chance = self._world.chance
        await self._process.gate("model asked")
        if chance.random() < self._world.plan.trouble:
            await self._trouble()
        await self._process.gate("model answered")
        cost = Decimal(chance.randrange(4)) / 100
        if chance.random() < 0.35:
            return Reply(
                _text(self._world.chance.random()), citations=self._quotes(prompt), cost_usd=cost
            )
        calls = tuple(
            Call(name, _arguments(name, chance.random()), "again")
            for name in chance.choices(self._names, k=chance.choice((1, 1, 2, 3)))
        )
        return Reply(calls=calls, cost_usd=cost, thinking="hm" if chance.random() < 0.1 else "")

    async def _trouble(self) -> None:
        chance = self._world.chance
        match chance.randrange(6):
            case 0 | 1:
                raise ModelBusy("rate limit", reason="rate_limit", delay_s=chance.choice((0, 2)))
            case 2:
                raise ModelFailed("no such model", reason="not_found")
            case 3:
                raise RuntimeError("a bug in the adapter")
            case _:
                await asyncio.sleep(chance.random() * 12)

    def _quotes(self, prompt: Prompt) -> tuple[Citation, ...]:
        if not any(isinstance(item, Result) and item.passages for item in prompt.items):
            return (FORGED,) if self._world.chance.random() < 0.05 else ()
        true = cite(PASSAGE, "boils at 100 °C")
        assert true is not None
        return (true, FORGED)


class WorldKnowledge:
    def __init__(self, process: Process) -> None:
        self._process = process

    async def search(
        self, collections: Sequence[str], query: str, k: int, /
    ) -> tuple[Passage, ...]:
        await self._process.gate("searching")
        world = self._process.world
        if world.chance.random() < world.plan.trouble / 3:
            raise CollectionUnknown("collection 'facts': unknown")
        await self._process.gate("searched")
        return (PASSAGE,)


def _text(draw: float) -> str:
    if draw < 0.06:
        return " "
    return "something bad" if draw < 0.12 else "Water boils at 100 °C."


def _arguments(name: str, draw: float) -> Arguments:
    if name == "search":
        return {"query": "water"} if draw < 0.8 else {"query": ""}
    return {"n": 1 if draw < 0.6 else 2} if draw < 0.8 else {"n": "one"}

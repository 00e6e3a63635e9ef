"""The direct path in memory: programs that ask, and workers that run while a program waits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any

import msgspec

from stepfold.events.envelope import Entry
from stepfold.events.event import Event
from stepfold.events.wire import decode
from stepfold.handlers.budgets import Keeper
from stepfold.handlers.generation import Generations
from stepfold.handlers.worlds import Worlds
from stepfold.providers.model import Model, Reply
from stepfold.routing import Can, Candidate, Route, Routes
from stepfold.streams.memory import MemoryLog
from stepfold.tasks import Brief
from stepfold.testing import CUSTOMER, Arrangement, Rest

LABEL = {
    "type": "object",
    "properties": {"label": {"enum": ["fees", "hours"]}, "note": {"type": "string"}},
    "required": ["label"],
    "additionalProperties": False,
}
BRIEF = Brief("sort", "When do you open?", LABEL)
HOURS = Reply('{"label": "hours"}')
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
TIMES = Reply('{"label": "times"}')


def routes(*models: str, task: str = "sort", attempts_max: int = 1, repairs_max: int = 2) -> Routes:
    asks = tuple(Candidate(model) for model in models or ("scripted",))
    route = Route(task, asks, attempts_max=attempts_max, repairs_max=repairs_max)
    return Routes((route,), {"scripted": Can(), "seeing": Can(vision=True)})


def told(output: Any) -> Reply:
    return Reply(msgspec.json.encode(output).decode())


async def resting() -> None:
    """Nobody works."""


class FollowedLog(MemoryLog):
    """A follower that has seen everything lets `work` go on; when that adds nothing, it waits."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        super().__init__(clock)
        self.work: Callable[[], Awaitable[None]] = resting
        self._turn = asyncio.Lock()

    async def follow(self, where: str, *, after: int | None = None) -> AsyncGenerator[Entry, None]:
        seen = len(self.steps) if after is None else after
        while True:
            await asyncio.sleep(0)  # whoever asks at the same time comes first
            async with self._turn:
                if seen == len(self.steps):
                    await self.work()
            if seen == len(self.steps):
                await asyncio.Event().wait()
            for stored in self.steps[seen:]:
                seen = stored.position
                if stored.subject.startswith(where.removesuffix(">")):
                    yield decode(stored.subject, stored.payload, position=seen, at=stored.at)


class Direct:
    """`replies` is the script of the model "scripted", which does the task "sort" by route."""

    def __init__(
        self, *replies: Reply | Exception, models: Mapping[str, Model] | None = None
    ) -> None:
        self.log = FollowedLog(lambda: self.arrangement.clock())  # noqa: PLW0108  (made next)
        self.arrangement = Arrangement(replies=replies, models=models, log=self.log)
        self.log.work = self.arrangement.run_to_rest
        self.generations = Generations(self.log, self.arrangement.worlds)

    @property
    def asked(self) -> int:
        return len(self.arrangement.model.prompts)

    async def routed(self, table: Routes | None = None) -> Direct:
        await self.arrangement.appoint(table or routes())
        return self

    def kept(self, keeper: Keeper) -> Generations:
        """Generations whose money `keeper` holds."""
        worlds = Worlds(self.arrangement.routes, self.arrangement.clock, keeper)
        return Generations(self.log, worlds, keeper)

    async def rest(self, conversation: str) -> Rest:
        return await self.arrangement.rest(conversation)

    async def events(self, conversation: str) -> tuple[Event, ...]:
        return (await self.rest(conversation)).events

    async def make(self, brief: Brief = BRIEF, **more: Any) -> Any:
        return await self.generations.make(brief, customer=CUSTOMER, **more)


async def direct(*replies: Reply | Exception, **more: Any) -> Direct:
    return await Direct(*replies, **more).routed()

"""The two lanes of the channel over a log in memory, and the fake of Teams."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

from stepfold.channels.teams.connector import BotToken, Connector
from stepfold.channels.teams.deliver import Deliver
from stepfold.channels.teams.live import Live, Pace
from stepfold.channels.teams.places import Place, Places, Where
from stepfold.channels.teams.say import STREAM_S
from stepfold.events.envelope import Draft, Entry, first
from stepfold.events.event import Event, ResponseDelivered
from stepfold.streams.listening import Happening
from stepfold.streams.log import LogUnavailable
from stepfold.streams.memory import MemoryLog
from stepfold.testing import Clock
from stepfold.tools.vault import MemoryStore
from tests.channels.teams_fake import BOT, CHAT, FakeTeams, fake_teams
from tests.channels.teams_world import NAME, PACE_S, config_of

KEY = ("acme", NAME)


class FailingLog(MemoryLog):
    """Away for so many appends."""

    away = 0

    async def append(self, drafts: Sequence[Draft], *, after: int) -> tuple[Entry, ...]:
        if self.away:
            self.away -= 1
            raise LogUnavailable("the server is away")
        return await super().append(drafts, after=after)


class Bench:
    def __init__(self, fake: FakeTeams) -> None:
        self.fake = fake
        self.clock = Clock()
        self.log = FailingLog(self.clock)
        self.places = Places(MemoryStore())
        self.slept: list[float] = []
        self.stopped: list[tuple[str, str]] = []
        self.happens: asyncio.Queue[Happening | None] = asyncio.Queue()
        self.token = BotToken(config_of(fake), self.clock)
        self.connector = Connector(config_of(fake), self.token, sleep=self._sleep)

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    async def settle(self, place: str = CHAT, *, personal: bool = True) -> None:
        where = Where(self.fake.service_url.rstrip("/"), place, personal, BOT)
        await self.places.settle(*KEY, where)

    def deliver(self) -> Deliver:
        """Another process each time."""
        return Deliver(
            config_of(self.fake), self.places, self.connector, self.log, clock=self.clock
        )

    def live(self, *, stream_s: float = STREAM_S) -> Live:
        return Live(
            config_of(self.fake),
            self.places,
            self.connector,
            listen=self._listen,
            stop=self._stop,
            pace=Pace(PACE_S, stream_s),
            clock=self.clock,
        )

    async def _listen(
        self, customer: str, conversation: str, after: int
    ) -> AsyncGenerator[Happening, None]:
        while (happening := await self.happens.get()) is not None:
            yield happening

    async def _stop(self, customer: str, conversation: str) -> None:
        self.stopped.append((customer, conversation))

    async def append(self, event: Event) -> Entry:
        after = (await self.log.tail(*KEY)).position
        draft = first(*KEY, event, by="test", key=str(after))
        (entry,) = await self.log.append([draft], after=after)
        return entry

    async def place(self) -> Place:
        found = await self.places.get(*KEY)
        assert found is not None
        return found

    async def receipts(self) -> list[str]:
        entries = await self.log.read(*KEY)
        return [e.event.receipt for e in entries if isinstance(e.event, ResponseDelivered)]

    @property
    def shown(self) -> list[str]:
        """What the contact sees."""
        return list(self.fake.screen.values())

    def later(self, seconds: float) -> None:
        self.clock.at += timedelta(seconds=seconds)


@asynccontextmanager
async def bench(place: str = CHAT, *, personal: bool = True) -> AsyncIterator[Bench]:
    async with fake_teams() as fake:
        made = Bench(fake)
        await made.settle(place, personal=personal)
        yield made
        assert not fake.wrong, fake.wrong

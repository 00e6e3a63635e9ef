"""Introduces the rooms to each other: the only place, with `settings`, that names concrete classes.

    async with opened(settings) as ledger:            the log, the agents, the inbox
        async with working(ledger, Parts(...)):       workers on it, until the block ends
"""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from msgspec import Struct

from stepfold.events.envelope import Entry
from stepfold.handlers.decide import Veto
from stepfold.handlers.generate import Generate
from stepfold.handlers.inbox import Inbox
from stepfold.handlers.observer import Observer
from stepfold.handlers.reason import Reason
from stepfold.handlers.retrieve import Retrieve
from stepfold.handlers.shell import Shell
from stepfold.handlers.table import LANES
from stepfold.handlers.tool import RunTool
from stepfold.handlers.worker import Worker
from stepfold.knowledge.knowledge import Knowledge
from stepfold.policy.agent import Agent
from stepfold.providers.extractive import NAME as EXTRACTIVE
from stepfold.providers.extractive import ExtractiveModel
from stepfold.providers.model import Model
from stepfold.settings import Settings
from stepfold.streams import jetstream
from stepfold.streams.config import STEPS, TIMERS
from stepfold.streams.jetstream import Connection, JetStreamAgents, JetStreamLog, JetStreamTimers
from stepfold.streams.server import embedded
from stepfold.tools.tool import Tool

if TYPE_CHECKING:
    from stepfold.streams.bus import Take

TIMER = "timer"
ROLES = (*LANES, TIMER)
"""What a process may do: be handed the steps of a lane, or the timers that have fired."""

HELP_DESK = Agent(
    name="help-desk",
    instructions="Answer from the knowledge, quote it, and say so when it holds no answer.",
    models=(EXTRACTIVE,),
    collections=("default",),
)
"""The embedded default: it needs no key, and says plainly that it only quotes."""


class Opened(Struct, frozen=True):
    """A log that is open."""

    url: str
    client: Connection
    log: JetStreamLog
    agents: JetStreamAgents
    timers: JetStreamTimers

    async def inbox(self, agent: Agent = HELP_DESK) -> Inbox:
        """An inbox whose new conversations are pinned to this version of `agent`."""
        return Inbox(self.log, agent=agent.name, digest=await self.agents.put(agent))


class Parts(Struct, frozen=True):
    """What a user puts in: models and tools by name, knowledge, hooks."""

    knowledge: Knowledge
    models: Mapping[str, Model] = {}
    tools: Mapping[str, Tool] = {}
    vetoes: Sequence[Veto] = ()
    observers: Sequence[Observer] = ()


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Opened]:
    """The log at `settings.nats_url`, else that of the embedded server, started if need be."""
    if settings.nats_url:
        async with _connected(settings.nats_url, settings) as found:
            yield found
        return
    async with (
        embedded(settings.folder, durability=settings.durability) as url,
        _connected(url, settings) as found,
    ):
        yield found


@asynccontextmanager
async def _connected(url: str, settings: Settings) -> AsyncIterator[Opened]:
    async with jetstream.connect(url) as client:
        await jetstream.prepare(client, durability=settings.durability)
        yield Opened(
            url=url,
            client=client,
            log=JetStreamLog(client),
            agents=JetStreamAgents(client),
            timers=JetStreamTimers(client),
        )


@asynccontextmanager
async def working(
    found: Opened, parts: Parts, *, roles: Iterable[str] = ROLES, name: str = ""
) -> AsyncIterator[Shell]:
    """Run workers on the log until the block ends; then finish or give back what is in hand."""
    from stepfold.streams.bus import Bus  # noqa: PLC0415  (FastStream takes a second to import)

    roles = tuple(roles)
    name = name or process_name()
    shell = Shell(
        found.log,
        found.agents,
        found.timers,
        workers(parts),
        name=name,
        clock=lambda: datetime.now(UTC),
        vetoes=parts.vetoes,
    )
    bus = Bus(found.url, name=name)
    for lane in (role for role in roles if role in LANES):
        await _prepare(found, lane, LANES[lane])
        bus.mount(lane, shell.take)
    if TIMER in roles:
        await jetstream.prepare_consumer(found.client, TIMERS, TIMER, ["timers.due.>"])
        bus.mount_timers(TIMER, shell.expire)
    for observer in parts.observers:
        await _prepare(found, observer.name, observer.kinds)
        bus.mount(observer.name, _seeing(observer))
    await bus.start()
    try:
        yield shell
    finally:
        await bus.stop()


async def _prepare(found: Opened, name: str, kinds: tuple[str, ...]) -> None:
    filters = [f"steps.*.*.{kind}" for kind in kinds]
    await jetstream.prepare_consumer(found.client, STEPS, name, filters)


def workers(parts: Parts) -> dict[str, Worker]:
    """One worker per kind of request."""
    models: dict[str, Model] = {EXTRACTIVE: ExtractiveModel(), **parts.models}
    return {
        "reason.requested": Reason(models),
        "tool.requested": RunTool(parts.tools),
        "retrieval.requested": Retrieve(parts.knowledge),
        "generation.requested": Generate(models),
    }


def _seeing(observer: Observer) -> Take:
    async def see(entry: Entry, /, *, deliveries: int) -> float | None:
        await observer.see(entry)
        return None

    return see


def process_name() -> str:
    """A name that no other process has or ever had."""
    return f"{socket.gethostname().split('.')[0]}-{os.getpid()}-{secrets.token_hex(4)}"

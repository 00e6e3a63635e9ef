"""Introduces the rooms to each other: the only place, with `settings`, that names concrete classes.

async with opened(settings) as ledger:            the log, the agents, the inbox
    async with working(ledger, Parts(...)):       workers on it, until the block ends
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager

from msgspec import Struct

from stepfold.handlers.approvals import Approvals
from stepfold.handlers.asking import NO_PRICES, Asker, Files
from stepfold.handlers.budgets import Keeper
from stepfold.handlers.code import RunCode
from stepfold.handlers.decide import Veto
from stepfold.handlers.generate import Generate
from stepfold.handlers.generation import Generations
from stepfold.handlers.inbox import Inbox
from stepfold.handlers.observer import Observer
from stepfold.handlers.reason import Reason
from stepfold.handlers.rerank import Ranking
from stepfold.handlers.retrieve import Retrieve
from stepfold.handlers.shell import Shell
from stepfold.handlers.table import LANES
from stepfold.handlers.tool import RunTool
from stepfold.handlers.worker import Worker
from stepfold.handlers.worlds import Worlds
from stepfold.knowledge.knowledge import Knowledge
from stepfold.policy.agent import SEARCH, Agent
from stepfold.policy.grant import Grant
from stepfold.policy.grants import resolve
from stepfold.providers.extractive import NAME as EXTRACTIVE
from stepfold.providers.extractive import ExtractiveModel
from stepfold.providers.model import Model
from stepfold.providers.models import Prices, find
from stepfold.providers.reranker import Reranker
from stepfold.providers.scripted import PROVIDER as SCRIPTED
from stepfold.sandbox.sandbox import Sandbox
from stepfold.settings import Settings
from stepfold.settings.hosted import Reachable, missing
from stepfold.streams import jetstream
from stepfold.streams.config import ACK_WAIT_S, BUDGETS, ROUTES, SHELVES, STEPS, TIMERS
from stepfold.streams.jetstream import (
    Connection,
    JetStreamAgents,
    JetStreamBalances,
    JetStreamFiles,
    JetStreamLog,
    JetStreamShelf,
    JetStreamTimers,
)
from stepfold.streams.lanes import Lanes
from stepfold.streams.memory import utc_now
from stepfold.streams.server import embedded
from stepfold.streams.tokens import Tokens
from stepfold.tools.tool import Tool

TIMER = "timer"
ROLES = (*LANES, TIMER)
"""What a process may do: be handed the steps of a lane, or the timers that have fired."""
VIEWS = "views"
EVERYTHING = (*ROLES, VIEWS)
"""And what only one process may do at a time: own the file of the views."""
TRACES = "traces"
"""The consumer of those who tell spans while the log grows (cli/watching.py)."""
CHANNELS = ("slack", "teams", "teams-live")
"""The consumers of the channels."""

TIMER_GRACE_S = 5.0
"""A turn that is over by then needs no durable timer."""

HELP_DESK = Agent(
    name="help-desk",
    instructions="Answer from the knowledge, quote it, and say so when it holds no answer.",
    models=(EXTRACTIVE,),
    collections=("default",),
)
"""The embedded default: it needs no key, and says plainly that it only quotes."""

TOLD: Mapping[str, str] = {
    EXTRACTIVE: f"{EXTRACTIVE}: quotes from the knowledge; understands nothing",
    SCRIPTED: f"{SCRIPTED}: says what its script says",
}
"""What the models that ship are, in plain words."""


class Opened(Struct, frozen=True):
    """A log that is open."""

    url: str
    client: Connection
    log: JetStreamLog
    agents: JetStreamAgents
    timers: JetStreamTimers
    routes: JetStreamShelf
    budgets: JetStreamShelf
    balances: JetStreamBalances
    files: JetStreamFiles

    async def inbox(self, agent: Agent | None = None) -> Inbox:
        """An inbox whose new conversations are pinned to this version of `agent`, else of the one
        that was appointed.
        """
        agent = agent or await self.appointed()
        return Inbox(self.log, agent=agent.name, digest=await self.agents.put(agent))

    async def appointed(self) -> Agent:
        """The agent that new conversations get."""
        return await self.agents.appointed() or HELP_DESK

    def approvals(self) -> Approvals:
        """The calls that wait for people."""
        return Approvals(self.log, utc_now)

    def generations(self) -> Generations:
        """The direct path: JSON that fits a schema, without a conversation."""
        keeper = Keeper(self.budgets, self.balances, self.log, utc_now)
        return Generations(self.log, Worlds(self.routes, utc_now, keeper), keeper)

    async def served(self) -> frozenset[str]:
        """The lanes whose steps some process, this one included, is waiting for right now."""
        return await jetstream.awaited(self.client, STEPS) & LANES.keys()


class Parts(Struct, frozen=True):
    """What a user puts in: knowledge, hooks, tools, models and sandboxes, on top of what ships."""

    knowledge: Knowledge
    models: Mapping[str, Model] = {}
    rerankers: Mapping[str, Reranker] = {}
    prices: Prices = NO_PRICES
    tools: Mapping[str, Tool] = {}
    vetoes: Sequence[Veto] = ()
    observers: Sequence[Observer] = ()
    sandboxes: Mapping[str, Sandbox] = {}


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
            routes=JetStreamShelf(client, SHELVES, ROUTES),
            budgets=JetStreamShelf(client, SHELVES, BUDGETS),
            balances=JetStreamBalances(client),
            files=JetStreamFiles(client),
        )


@asynccontextmanager
async def working(
    found: Opened,
    parts: Parts,
    *,
    roles: Iterable[str] = ROLES,
    name: str = "",
    ack_wait_s: float = ACK_WAIT_S,
) -> AsyncIterator[Shell]:
    """Run workers on the log until the block ends; then finish or give back what is in hand.

    What a worker holds that shows no sign of life for `ack_wait_s` goes to another one.
    """
    roles = tuple(roles)
    name = name or process_name()
    tokens = Tokens(found.client)
    keeper = Keeper(found.budgets, found.balances, found.log, utc_now)
    worlds = Worlds(found.routes, utc_now, keeper)
    await keeper.look()
    await worlds.look()
    shell = Shell(
        found.log,
        found.agents,
        found.timers,
        workers(parts, tokens=tokens, files=found.files, keeper=keeper, worlds=worlds),
        name=name,
        clock=utc_now,
        vetoes=parts.vetoes,
        grace_s=TIMER_GRACE_S,
        world=worlds,
    )
    looking = [asyncio.create_task(each.keep()) for each in (worlds, keeper)]
    lanes = Lanes(found.client, pulse_s=ack_wait_s / 3)
    for lane in (role for role in roles if role in LANES):
        await _prepare(found, lane, LANES[lane], ack_wait_s)
        lanes.mount(lane, shell.take)
    if TIMER in roles:
        await jetstream.prepare_consumer(
            found.client, TIMERS, TIMER, ["timers.due.>"], ack_wait_s=ack_wait_s
        )
        lanes.mount_timers(TIMER, shell.fire)
    try:
        async with tokens.serving():
            await lanes.start()
            async with _observing(found, parts.observers, name):
                yield shell
    finally:
        for each in looking:
            each.cancel()
        try:
            await lanes.stop()
        finally:
            await shell.close()


@asynccontextmanager
async def _observing(
    found: Opened, observers: Sequence[Observer], name: str
) -> AsyncIterator[None]:
    if not observers:
        yield
        return
    from stepfold.streams.bus import Bus  # FastStream takes a second to import

    bus = Bus(found.url, name=name, whole=found.log.whole)
    for observer in observers:
        if observer.name in (*EVERYTHING, TRACES, *CHANNELS):
            raise ValueError(f"observer {observer.name!r} has the name of a lane: rename it")
        await _prepare(found, observer.name, observer.kinds, ACK_WAIT_S)
        bus.mount(observer.name, observer.see)
    await bus.start()
    try:
        yield
    finally:
        await bus.stop()


async def _prepare(found: Opened, name: str, kinds: tuple[str, ...], ack_wait_s: float) -> None:
    filters = [f"steps.*.*.{kind}" for kind in kinds]
    await jetstream.prepare_consumer(found.client, STEPS, name, filters, ack_wait_s=ack_wait_s)


HINTS: Mapping[str, str] = {
    SEARCH: "; `search` is there when the agent has `collections`: leave it out of `tools`",
    SCRIPTED: "; it needs a script: --script FILE",
}


def misfit(agent: Agent, parts: Parts) -> str | None:
    """What `agent` names and nobody has put in; None when all of it is there."""
    models = {EXTRACTIVE: ExtractiveModel(), **parts.models}
    for name in agent.models:
        if find(models, name) is None:
            hint = missing(name)
            return _misfit(agent, "model", name, models, f"; {hint}" if hint else "")
    for name in agent.tools:
        if name not in parts.tools:
            return _misfit(agent, "tool", name, parts.tools)
    if why := _goes_round(agent, parts.tools):
        return why
    if agent.sandbox and parts.sandboxes and agent.sandbox not in parts.sandboxes:
        return _misfit(agent, "sandbox", agent.sandbox, parts.sandboxes)
    return None


def _goes_round(agent: Agent, tools: Mapping[str, Tool]) -> str | None:
    """A tool that stands for others must not go round what the agent's rules say of those."""
    ruled = {name for name, grant in agent.grants.items() if grant.arguments or grant.approval}
    for name in agent.tools:
        around = ruled & getattr(tools[name], "stands_for", frozenset())
        if around and not agent.grants.get(name, Grant()).arguments:
            one = min(around)
            return (
                f"agent {agent.name!r}: {name!r} can run {one!r} too, and would go round the rules"
                f" for it: leave {name!r} out, or say which names it may be given ([tools.{name}]"
                " arguments.name = { enum = [...] })"
            )
    return None


def granted(agent: Agent, parts: Parts) -> Agent:
    """`agent` as it is to be pinned: with what each of its tools may do."""
    return resolve(agent, {name: tool.spec for name, tool in parts.tools.items()})


def _misfit(agent: Agent, what: str, name: str, known: Iterable[str], hint: str = "") -> str:
    have = ", ".join(sorted(known)) or "none"
    hint = hint or HINTS.get(name, "")
    return f"agent {agent.name!r}: unknown {what} {name!r} (known: {have}){hint}"


def workers(
    parts: Parts,
    *,
    tokens: Tokens | None = None,
    files: Files | None = None,
    keeper: Keeper | None = None,
    worlds: Worlds | None = None,
) -> dict[str, Worker]:
    """One worker per kind of request."""
    models: Mapping[str, Model] = {EXTRACTIVE: ExtractiveModel(), **parts.models}
    ranking = None
    if worlds is not None:
        models = Reachable(models, lambda: worlds.routes.providers)
        ranking = Ranking(
            parts.rerankers, worlds, prices=parts.prices, clock=utc_now, keeper=keeper
        )
    asker = Asker(
        models,
        prices=parts.prices,
        files=files,
        tokens=tokens,
        keeper=keeper,
        look=worlds.look if worlds is not None else None,
        hint=missing,
    )
    specs = {name: tool.spec for name, tool in parts.tools.items()}
    return {
        "reason.requested": Reason(asker, specs),
        "tool.requested": RunTool(parts.tools, files),
        "code.requested": RunCode(parts.sandboxes, files),
        "retrieval.requested": Retrieve(parts.knowledge, ranking),
        "generation.requested": Generate(asker),
    }


def process_name() -> str:
    """A name that no other process has or ever had."""
    return f"{socket.gethostname().split('.')[0]}-{os.getpid()}-{secrets.token_hex(4)}"

"""The kit for testing agents without a network, a model or a clock.

`Given(agent, *events).when(event)` gives what an agent decides; `run_to_rest` runs whole
conversations through the real handlers, in memory. The example values fit each other.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count

from msgspec import Struct

from stepfold.events.envelope import Entry, first, kind
from stepfold.events.event import (
    ConversationStarted,
    Event,
    MessageReceived,
    Reasoned,
    ReasonRequested,
    ResponseGiven,
    RetrievalRequested,
    RetrievalReturned,
    ToolRequested,
    ToolReturned,
    TurnCancelled,
)
from stepfold.events.values import Passage, Text, ToolCall
from stepfold.events.wire import decode
from stepfold.handlers.approvals import Approvals, Waiting
from stepfold.handlers.asking import Asker, Files
from stepfold.handlers.code import RunCode
from stepfold.handlers.decide import Veto, decide
from stepfold.handlers.generate import Generate
from stepfold.handlers.reason import Reason
from stepfold.handlers.retrieve import Retrieve
from stepfold.handlers.shell import Shell
from stepfold.handlers.table import LANES
from stepfold.handlers.tool import RunTool
from stepfold.handlers.work import Desk
from stepfold.handlers.worker import Worker
from stepfold.handlers.worlds import Worlds
from stepfold.knowledge.errors import CollectionUnknown
from stepfold.knowledge.knowledge import Knowledge
from stepfold.policy.agent import Agent, digest
from stepfold.policy.grants import resolve
from stepfold.projections.conversation import evolve, replay
from stepfold.projections.state import Conversation
from stepfold.providers.model import Model, Reply
from stepfold.providers.scripted import ScriptedModel
from stepfold.routing import Routes, encode_routes
from stepfold.sandbox.sandbox import Sandbox
from stepfold.streams.log import LogConflict
from stepfold.streams.memory import MemoryAgents, MemoryFiles, MemoryLog, MemoryShelf, MemoryTimers
from stepfold.tools.tool import Tool

DECISIONS_MAX = 1_000
"""An agent that decides more than this without anybody else's move never ends."""
DELIVERIES_MAX = 10_000
"""Conversations that need more deliveries than this never come to rest."""
HORIZON_S = 3_600.0
"""What is to happen later than this does not keep conversations from being at rest."""

DELIVERED = frozenset(name for kinds in LANES.values() for name in kinds)
CUSTOMER = "acme"

# -- example values: one conversation, in the order in which it happens -------------------------

AGENT = Agent(
    name="help-desk",
    instructions="Answer from the handbook.",
    models=("scripted",),
    tools=("look_up",),
    collections=("handbook",),
)
STARTED = ConversationStarted(AGENT.name, digest(AGENT), contact="ada")
HELLO = MessageReceived("When does the branch open?", contact="ada", message="m1")
ASKED = ReasonRequested("r1", 1, "scripted", ("look_up", "search"), heard=1)
SEARCHED = Reasoned(
    "r1", 1, "scripted", (ToolCall("r1.1", "search", {"query": "open"}),), finish="tool_calls"
)
RETRIEVAL = RetrievalRequested("r1.1", 1, "open", ("handbook",), 5)
PASSAGE = Passage(
    document="hours.md",
    title="Hours",
    digest="sha256:" + "0" * 64,
    start=10,
    end=45,
    text="The branch opens at 9. It is green.",
    score=1.5,
)
FOUND = RetrievalReturned("r1.1", 1, (PASSAGE,))
LOOKED_UP = Reasoned(
    "r1", 1, "scripted", (ToolCall("r1.1", "look_up", {"key": "hours"}),), finish="tool_calls"
)
LOOK_UP = ToolRequested("r1.1", 1, "look_up", {"key": "hours"})
RETURNED = ToolReturned("r1.1", 1, "9 to 5")
ASKED_AGAIN = ReasonRequested("r2", 1, "scripted", ("look_up", "search"))
ANSWERED = Reasoned("r1", 1, "scripted", (Text("At 9."),))
RESPONDED = ResponseGiven(1, "At 9.")

# -- decisions ----------------------------------------------------------------------------------


class Given:
    """A conversation of `agent` in which `events` have happened. It has started: unless they say
    how, with the version that is given.
    """

    def __init__(self, agent: Agent, *events: Event, vetoes: Sequence[Veto] = ()) -> None:
        self._agent = agent
        self._vetoes = vetoes
        started = any(isinstance(event, ConversationStarted) for event in events)
        start = () if started else (ConversationStarted(agent.name, digest(agent)),)
        self.state = replay((*start, *events))

    def when(self, *events: Event) -> tuple[Event, ...]:
        """What the agent does after `events`, until it is somebody else's move."""
        self.state = replay(events, self.state)
        done: list[Event] = []
        while missing := decide(self._agent, self.state, self._vetoes):
            assert len(done) < DECISIONS_MAX, f"the agent never stops deciding: {done[-3:]}"
            done.append(missing[0])
            self.state = evolve(self.state, missing[0])
        return tuple(done)


# -- conversations ------------------------------------------------------------------------------


class Clock:
    """Time that passes only when told, and a millisecond at each look."""

    def __init__(self, begin: datetime = datetime(2026, 1, 1, 9, tzinfo=UTC)) -> None:
        self.at = begin

    def __call__(self) -> datetime:
        self.at += timedelta(milliseconds=1)
        return self.at

    def wait_until(self, due: datetime) -> None:
        self.at = max(self.at, due)


class Passages:
    """Knowledge that answers every search with the same passages; `collections` are all it has."""

    def __init__(self, *passages: Passage, collections: Iterable[str] = ("handbook",)) -> None:
        self.queries: list[str] = []
        self._passages = passages
        self._collections = frozenset(collections)

    async def search(
        self, collections: Sequence[str], query: str, k: int, /
    ) -> tuple[Passage, ...]:
        for name in collections:
            if name not in self._collections:
                known = ", ".join(sorted(self._collections)) or "none"
                raise CollectionUnknown(f"collection {name!r}: unknown (known: {known})")
        self.queries.append(query)
        return self._passages[:k]


class Delivery(Struct, frozen=True, order=True):
    """An entry to be handed to the shell when it is `due`."""

    due: datetime
    number: int
    position: int
    deliveries: int


class Rest(Struct, frozen=True):
    """A conversation in which nothing moves any more."""

    entries: tuple[Entry, ...]
    state: Conversation

    @property
    def events(self) -> tuple[Event, ...]:
        return tuple(entry.event for entry in self.entries)

    @property
    def kinds(self) -> tuple[str, ...]:
        return tuple(kind(event) for event in self.events)

    @property
    def answers(self) -> tuple[ResponseGiven, ...]:
        return tuple(event for event in self.events if isinstance(event, ResponseGiven))

    @property
    def answer(self) -> str:
        """The latest answer's text, empty when there is none."""
        return self.answers[-1].text if self.answers else ""


class Arrangement:
    """Everything that runs a conversation, in memory: log, agents, timers, workers, one shell.

    What a tool raises that is no Exception kills the worker: the step is delivered again.

    `replies` is the script of the model "scripted"; `models` adds or replaces models by name.
    """

    def __init__(
        self,
        *,
        replies: Iterable[Reply | Exception] = (),
        models: Mapping[str, Model] | None = None,
        tools: Iterable[Tool] = (),
        knowledge: Knowledge | None = None,
        vetoes: Sequence[Veto] = (),
        log: MemoryLog | None = None,
        sandboxes: Mapping[str, Sandbox] | None = None,
    ) -> None:
        self.clock = Clock()
        self.log = log or MemoryLog(self.clock)
        self.agents = MemoryAgents()
        self.timers = MemoryTimers()
        self.routes = MemoryShelf()
        self.worlds = Worlds(self.routes, self.clock)
        self.model = ScriptedModel(replies)
        self.desk = Desk(self.clock)
        self.files = MemoryFiles()
        self.approvals = Approvals(self.log, self.clock)
        tools = tuple(tools)
        self._specs = {tool.spec.name: tool.spec for tool in tools}
        self.workers = workers_of(
            models={"scripted": self.model, **(models or {})},
            tools=tools,
            files=self.files,
            sandboxes=sandboxes,
            knowledge=knowledge or Passages(collections=()),
        )
        self._vetoes = vetoes
        self._shells = 0
        self._seen = 0
        self._queue: list[Delivery] = []
        self._numbers = count()
        self.shell = self.restart()

    def restart(self) -> Shell:
        """A new process with nothing in memory: what a crash leaves is the log."""
        self._shells += 1
        self.desk = Desk(self.clock)
        self.shell = Shell(
            self.log,
            self.agents,
            self.timers,
            self.workers,
            name=f"w{self._shells}",
            clock=self.clock,
            vetoes=self._vetoes,
            desk=self.desk,
            world=self.worlds,
        )
        return self.shell

    async def start(self, agent: Agent, conversation: str = "c1") -> None:
        """A conversation with this agent, pinned as it would be by `stepfold serve`."""
        pinned = await self.agents.put(resolve(agent, self._specs))
        await self.append(conversation, ConversationStarted(agent.name, pinned))

    async def appoint(self, routes: Routes) -> None:
        """From now on models are chosen by this table."""
        await self.routes.appoint(encode_routes(routes))
        await self.worlds.look()

    async def say(self, text: str, conversation: str = "c1", *, message: str = "") -> None:
        await self.append(conversation, MessageReceived(text, message=message), key=message)

    async def cancel(self, conversation: str = "c1", reason: str = "asked to") -> None:
        """End the running turn, if there is one."""
        turn = (await self.rest(conversation)).state.turn
        if turn is not None:
            await self.append(conversation, TurnCancelled(turn.number, reason))

    async def append(self, conversation: str, event: Event, *, key: str = "") -> Entry:
        """What comes from outside. The same `key` is the same step."""
        key = key or f"{len(self.log.steps) + 1}"
        draft = first(CUSTOMER, conversation, event, by="test", key=key)
        while True:
            after = (await self.log.tail(CUSTOMER, conversation)).position
            try:
                return (await self.log.append([draft], after=after))[0]
            except LogConflict:
                continue

    async def waiting(self, conversation: str = "c1") -> tuple[Waiting, ...]:
        """The calls that people are asked about."""
        return await self.approvals.waiting(CUSTOMER, conversation)

    async def approve(self, person: str = "ops", conversation: str = "c1") -> None:
        """`person` agrees to every call that waits."""
        for each in await self.waiting(conversation):
            request = each.agreement.request
            await self.approvals.grant(
                (CUSTOMER, conversation), request.call, digest=request.digest, person=person
            )

    async def run_to_rest(self, *, past_approvals: bool = False) -> None:
        """Deliver whatever has a consumer until nothing moves any more, letting time pass; but not
        the time that people have for an approval, unless `past_approvals`.
        """
        horizon = self.clock.at + timedelta(seconds=HORIZON_S)
        for _ in range(DELIVERIES_MAX):
            self._look()
            timer = await self._next_timer(past_approvals=past_approvals)
            if self._queue and (timer is None or self._queue[0].due <= timer[0]):
                if self._queue[0].due > horizon:
                    return
                await self._deliver(heapq.heappop(self._queue))
            elif timer is not None:
                await self._fire(*timer)
            else:
                return
        raise AssertionError(f"nothing came to rest within {DELIVERIES_MAX} deliveries")

    async def rest(self, conversation: str = "c1") -> Rest:
        entries = await self.log.read(CUSTOMER, conversation)
        return Rest(tuple(entries), replay(entry.event for entry in entries))

    def _look(self) -> None:
        """Queue the entries that are new since the last look and have a consumer."""
        for stored in self.log.steps[self._seen :]:
            self._seen = stored.position
            if stored.subject.split(".", 3)[3] in DELIVERED:
                self._put(self.clock.at, stored.position, 1)

    def _put(self, due: datetime, position: int, deliveries: int) -> None:
        heapq.heappush(self._queue, Delivery(due, next(self._numbers), position, deliveries))

    async def _deliver(self, delivery: Delivery) -> None:
        self.clock.wait_until(delivery.due)
        stored = self.log.steps[delivery.position - 1]
        entry = decode(stored.subject, stored.payload, position=stored.position, at=stored.at)
        again_s: float | None = 0.0
        try:
            again_s = await self.shell.take(entry, deliveries=delivery.deliveries)
        finally:
            if again_s is not None:
                due = self.clock.at + timedelta(seconds=again_s)
                self._put(due, delivery.position, delivery.deliveries + 1)

    async def _next_timer(self, *, past_approvals: bool) -> tuple[datetime, str, str, int] | None:
        """The first timer whose turn still runs."""
        for (customer, conversation, turn), due in sorted(
            self.timers.due.items(), key=lambda timer: timer[1]
        ):
            state = (await self.rest(conversation)).state
            if state.turn is not None and state.turn.pending and not past_approvals:
                continue
            if state.turn is not None and state.turn.number == turn and not state.stopped:
                return due, customer, conversation, turn
            if state.turns >= turn:
                del self.timers.due[customer, conversation, turn]
        return None

    async def _fire(self, due: datetime, customer: str, conversation: str, turn: int) -> None:
        self.clock.wait_until(due)
        del self.timers.due[customer, conversation, turn]
        await self.shell.expire(customer, conversation, turn)


async def run_to_rest(
    agent: Agent,
    *said: str,
    replies: Iterable[Reply | Exception] = (),
    models: Mapping[str, Model] | None = None,
    tools: Iterable[Tool] = (),
    knowledge: Knowledge | None = None,
    vetoes: Sequence[Veto] = (),
) -> Rest:
    """A conversation in which a contact says one thing after the other, each run to rest."""
    arrangement = Arrangement(
        replies=replies, models=models, tools=tools, knowledge=knowledge, vetoes=vetoes
    )
    await arrangement.start(agent)
    for text in said:
        await arrangement.say(text)
        await arrangement.run_to_rest()
    return await arrangement.rest()


def workers_of(
    *,
    models: Mapping[str, Model],
    tools: Iterable[Tool] = (),
    knowledge: Knowledge | None = None,
    files: Files | None = None,
    sandboxes: Mapping[str, Sandbox] | None = None,
) -> Mapping[str, Worker]:
    """The worker of each kind of request."""
    by_name = {tool.spec.name: tool for tool in tools}
    asker = Asker(models, files=files)
    return {
        "reason.requested": Reason(asker, {name: tool.spec for name, tool in by_name.items()}),
        "tool.requested": RunTool(by_name, files),
        "code.requested": RunCode(sandboxes or {}, files),
        "retrieval.requested": Retrieve(knowledge or Passages(collections=())),
        "generation.requested": Generate(asker),
    }

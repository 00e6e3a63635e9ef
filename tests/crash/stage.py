"""What a crash test plays on: a real server, worker processes, contacts, and what must hold."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from stepfold.app import Opened, opened
from stepfold.events.envelope import Entry, first, kind
from stepfold.events.event import (
    Generated,
    GenerationFailed,
    GenerationRequested,
    MessageReceived,
    Reasoned,
    ReasonFailed,
    ReasonRequested,
    ResponseGiven,
    RetrievalRequested,
    ToolOutcome,
    ToolRequested,
    ToolUnknown,
    TurnAbandoned,
    TurnCancelled,
    Unreadable,
)
from stepfold.events.transcript import Heard
from stepfold.events.wire import decode
from stepfold.handlers.inbox import Inbox, Message
from stepfold.policy.agent import Agent
from stepfold.projections.conversation import replay
from stepfold.projections.state import Conversation
from stepfold.settings import Settings
from stepfold.streams.jetstream import JetStreamLog
from stepfold.streams.log import LogUnavailable
from tests.crash.forked import Worker
from tests.crash.worker import AGENT, Plan, at_work
from tests.servers import Server
from tests.waiting import eventually

CUSTOMER = "acme"
REQUESTS = (ReasonRequested, ToolRequested, RetrievalRequested, GenerationRequested)
ENDS = (ResponseGiven, TurnAbandoned, TurnCancelled)
OUTCOMES = (*ToolOutcome.__args__, Reasoned, ReasonFailed, Generated, GenerationFailed)
SLACK_S = 0.1
"""Reading the log and asking the model are not one act."""


class Stage:
    def __init__(self, server: Server, folder: Path, found: Opened, inbox: Inbox) -> None:
        self.server = server
        self.log = found.log
        self.client = found.client
        self.inbox = inbox
        self._effects = folder / "effects"
        self._effects.touch()
        self._folder = folder
        self._workers: list[subprocess.Popen[str]] = []
        self._forked: list[Worker] = []

    @classmethod
    @asynccontextmanager
    async def on(cls, server: Server, folder: Path, agent: Agent = AGENT) -> AsyncIterator[Stage]:
        async with opened(Settings(folder=folder, nats_url=server.url)) as found:
            hasty = replace(found, log=JetStreamLog(found.client, timeout_s=1))
            stage = cls(server, folder, hasty, await hasty.inbox(agent))
            try:
                yield stage
            finally:
                stage.clear()

    # -- workers --------------------------------------------------------------------------------

    def worker(self, **plan: Any) -> subprocess.Popen[str]:
        """A worker process, which may be told where to die."""
        told = msgspec.json.encode(Plan(url=self.server.url, effects=str(self._effects), **plan))
        number = len(self._workers)
        with (self._folder / f"worker{number}.log").open("ab") as said:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.crash.worker", told.decode()],
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
            )
        self._workers.append(process)
        return process

    def forked(self, **plan: Any) -> Worker:
        """The same, from a server of processes that has imported everything already."""
        told = Plan(url=self.server.url, effects=str(self._effects), **plan)
        worker = Worker(told, self._folder / f"worker{len(self._forked)}f.log")
        self._forked.append(worker)
        return worker

    @asynccontextmanager
    async def working(self, **plan: Any) -> AsyncIterator[None]:
        """A worker that does not die, in this process: it starts sooner."""
        told = Plan(url=self.server.url, effects=str(self._effects), **plan)
        async with at_work(told):
            yield

    async def ready(self, *workers: subprocess.Popen[str]) -> None:
        for worker in workers:
            assert worker.stdout is not None
            line = await asyncio.to_thread(worker.stdout.readline)
            assert line == "ready\n", self.said()

    async def ends(self, worker: subprocess.Popen[str], within_s: float = 20) -> int:
        """How a worker ended: its exit code, or minus the signal."""
        await eventually(lambda: worker.poll() is not None, within_s, what="the worker ends")
        return int(worker.returncode)

    def clear(self) -> None:
        for forked in self._forked:
            forked.clear()
        for worker in self._workers:
            worker.kill()
            worker.wait()
            if worker.stdout is not None:
                worker.stdout.close()

    def said(self) -> str:
        """What the workers wrote to their standard error."""
        return "\n".join(path.read_text() for path in sorted(self._folder.glob("worker*.log")))

    # -- contacts -------------------------------------------------------------------------------

    async def say(self, conversation: str, number: int = 1) -> Entry:
        """The question names the conversation and the turn, so that asks can be told apart."""
        text = f"{conversation}/{number}"
        return await self.inbox.receive(Message(CUSTOMER, conversation, text, text))

    async def say_until_acknowledged(self, conversation: str, number: int) -> Entry:
        while True:
            try:
                return await self.say(conversation, number)
            except LogUnavailable:
                continue

    async def generate(self, conversation: str) -> None:
        """One step of the direct path, named as its conversation."""
        schema = {"type": "object"}
        request = GenerationRequested(conversation, "t", conversation, schema, "counting")
        draft = first(CUSTOMER, conversation, request, by="test", key=conversation)
        await self.log.append([draft], after=0)

    async def entries(self, conversation: str) -> list[Entry]:
        return await self.log.read(CUSTOMER, conversation)

    async def state(self, conversation: str) -> Conversation:
        return replay(entry.event for entry in await self.entries(conversation))

    async def kinds(self, conversation: str) -> list[str]:
        return [kind(entry.event) for entry in await self.entries(conversation)]

    async def rest(self, conversations: Iterable[str], within_s: float = 30) -> None:
        """Wait until nothing is open in any of them, and every message is heard."""
        for conversation in conversations:
            await eventually(
                partial(self._rests, conversation),
                within_s,
                what=f"{conversation} comes to rest; {self.said()}",
            )

    async def _rests(self, conversation: str) -> bool:
        try:
            entries = await self.entries(conversation)
        except LogUnavailable:
            return False
        state = replay(entry.event for entry in entries)
        return bool(entries) and not (state.turn or state.unheard or state.open)

    # -- what must hold -------------------------------------------------------------------------

    @property
    def lines(self) -> list[str]:
        """What was done, in order; when and by which process stands behind the @."""
        return self._effects.read_text().splitlines()

    @property
    def asked(self) -> Counter[str]:
        """How often each call was asked of the model: conversation/turn and call."""
        return Counter(
            line[6:].partition(" @ ")[0] for line in self.lines if line.startswith("asked ")
        )

    @property
    def ran(self) -> Counter[str]:
        """How often each tool call ran."""
        return Counter(
            line[4:].partition(" @ ")[0] for line in self.lines if line.startswith("ran ")
        )

    def by_process(self, what: str) -> Counter[str]:
        """How many lines of a kind each worker process has left."""
        return Counter(line.split()[-1] for line in self.lines if line.startswith(what))

    async def answers(self, conversation: str) -> list[str]:
        entries = await self.entries(conversation)
        return [e.event.text for e in entries if isinstance(e.event, ResponseGiven)]

    async def unrecorded(self) -> set[str]:
        """Calls that were asked of the model, and whose answers are not in the log."""
        return set(self.asked) - set(await self._recorded())

    async def asked_although_recorded(self) -> set[str]:
        """Calls that were asked of the model when their answer had been in the log for SLACK_S."""
        recorded = await self._recorded()
        asks = (line[6:].split(" @ ") for line in self.lines if line.startswith("asked "))
        return {call for call, when in asks if float(when.split()[0]) > recorded[call] + SLACK_S}

    async def _recorded(self) -> dict[str, float]:
        """When the server took each answer of the model."""
        return {
            f"{entry.conversation}/{entry.event.turn} {entry.event.call}": stored.at.timestamp()
            async for batch in self.log.scan()
            for stored in batch
            for entry in (decode(stored.subject, stored.payload, position=1, at=stored.at),)
            if isinstance(entry.event, Reasoned)
        }

    async def unseen(self, conversations: Iterable[str]) -> set[str]:
        """Calls of tools that have started, and whose outcomes are not in the log."""
        states = {name: await self.state(name) for name in conversations}
        return {f"{name}/{call}" for name, state in states.items() for call in state.begun}

    async def unknown(self, conversations: Iterable[str]) -> set[str]:
        """Calls of tools that were given up: started, and their effect is not known."""
        return {
            f"{name}/{e.event.call}"
            for name in conversations
            for e in await self.entries(name)
            if isinstance(e.event, ToolUnknown)
        }

    async def each_step_once(self, conversation: str) -> None:
        """Requests and outcomes once each, in pairs; a turn ends once; a whole chain."""
        entries = await self.entries(conversation)
        assert not any(isinstance(entry.event, Unreadable) for entry in entries)
        requests = Counter(e.event.call for e in entries if isinstance(e.event, REQUESTS))
        outcomes = Counter(e.event.call for e in entries if isinstance(e.event, OUTCOMES))
        assert set(requests.values()) <= {1}, requests
        assert set(outcomes.values()) <= {1}, outcomes
        assert requests == outcomes
        ends = Counter(e.event.turn for e in entries if isinstance(e.event, ENDS))
        assert set(ends.values()) <= {1}, ends
        ids = Counter(entry.id for entry in entries)
        assert set(ids.values()) == {1}, ids

    async def every_message_is_answered(self, conversation: str) -> None:
        """Each was heard, once and in order, and the last answer is to the last of them."""
        entries = await self.entries(conversation)
        received = [e.event.text for e in entries if isinstance(e.event, MessageReceived)]
        state = replay(entry.event for entry in entries)
        assert [i.text for i in state.transcript if isinstance(i, Heard)] == received
        assert (await self.answers(conversation))[-1] == f"answer to {received[-1]}"

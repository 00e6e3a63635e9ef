"""One world: a few processes share a log, and everything that can happen between two effects does.

All that moves stops at gates. The seed decides who goes on, when a process dies, what is delivered
twice, out of order or late, and when time passes. Faults are limited; after the last of them every
conversation must come to rest by itself.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from msgspec import Struct

from stepfold.events.envelope import Draft, Entry, first
from stepfold.events.event import (
    ApprovalRequested,
    ConversationStarted,
    Event,
    GenerationRequested,
    MessageReceived,
    TurnCancelled,
)
from stepfold.events.wire import decode
from stepfold.handlers.asking import Asker
from stepfold.handlers.generate import Generate
from stepfold.handlers.reason import Reason
from stepfold.handlers.retrieve import Retrieve
from stepfold.handlers.shell import Shell
from stepfold.handlers.tool import RunTool
from stepfold.handlers.work import Desk, Later
from stepfold.policy.agent import digest
from stepfold.projections.conversation import evolve
from stepfold.projections.state import EMPTY, Conversation
from stepfold.providers.model import Prompt
from stepfold.streams.log import LogConflict, LogUnavailable
from stepfold.streams.memory import MemoryAgents, MemoryLog, MemoryTimers
from stepfold.testing import DELIVERED
from tests.worlds import doubles, laws
from tests.worlds.loop import VirtualLoop
from tests.worlds.people import People
from tests.worlds.plan import POISON, Move, Plan, draw
from tests.worlds.tools import Far, tools

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
CUSTOMER = "acme"
MOVES_MAX = 20_000
AT_ONCE = 4
ACTING = ("tool started", "tool finished", "looking up", "looked up")
"""Gates where a process that dies leaves an effect in doubt."""
Tell = Callable[[str], None]


class Dead(BaseException):
    """The process that did this has died."""


class Job:
    """A step to be handed to a process, or (`turn`) a timer that is due, and how often it was."""

    def __init__(self, conversation: str, position: int = 0, turn: int = 0) -> None:
        self.conversation = conversation
        self.position = position
        self.turn = turn
        self.deliveries = 0
        self.begun_at = 0

    def __str__(self) -> str:
        return f"step {self.position}" if self.position else f"timer of turn {self.turn}"


class Report(Struct, frozen=True):
    seed: int
    violations: tuple[str, ...]
    counts: Counter[str]


class Process:
    """A worker process: it has its own shell, desk and cache; it shares nothing but the log."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.alive = True
        self.tasks: dict[asyncio.Task[None], Job] = {}
        self.asked: set[tuple[str, str]] = set()
        model, clock = doubles.WorldModel(self), world.clock
        models = {"m1": model, "m2": model}
        self.shell = Shell(
            doubles.WorldLog(self),
            doubles.WorldAgents(self),
            doubles.WorldTimers(self),
            {
                "reason.requested": Reason(Asker(models)),
                "tool.requested": RunTool(tools(self)),
                "retrieval.requested": Retrieve(doubles.WorldKnowledge(self)),
                "generation.requested": Generate(Asker(models)),
            },
            name=name,
            clock=clock,
            vetoes=world.plan.vetoes,
            desk=Desk(clock),
            grace_s=world.plan.grace_s,
        )

    async def gate(self, what: str) -> bool:
        """Wait until the world lets this go on. True = the log is away, where that can be."""
        if not self.alive:
            raise Dead
        return await self.world.park(self, what)


class World:
    def __init__(
        self, seed: int, *, log: MemoryLog | None = None, tell: Tell | None = None
    ) -> None:
        self.seed = seed
        self.chance = random.Random(seed)
        self.plan: Plan = draw(self.chance)
        self.loop = VirtualLoop()  # type: ignore[abstract]
        self.log = log or MemoryLog(self.clock)
        self.agents = MemoryAgents(self.plan.agent)
        self.timers = MemoryTimers()
        self.counts: Counter[str] = Counter(worlds=1)
        self.violations: list[str] = []
        self.far = Far()
        self.parked: list[tuple[asyncio.Future[bool], Process | People, str]] = []
        self.due: list[Job] = []
        self.done: list[Job] = []
        self.states: dict[str, Conversation] = defaultdict(lambda: EMPTY)
        self.runs: Counter[str] = Counter()
        self.deliveries: dict[int, int] = defaultdict(int)
        self.timed: set[tuple[str, int]] = set()
        self.poisoned: set[str] = set()
        self._faults = self.plan.faults
        self._moves = list(self.plan.moves)
        self.expires = any(move == "expire" for _, move in self._moves)
        self._seen = 0
        self._said = 0
        self._tell = tell
        self._processes = [Process(self, f"w{n}") for n in range(self.plan.processes)]
        self._people = People(self)

    def clock(self) -> datetime:
        return BEGIN + timedelta(seconds=self.loop.time())

    def run(self) -> Report:
        random.seed(self.seed)
        with self.loop:
            self._to_rest()
            for conversation in sorted(self.poisoned):
                self._outside(conversation, "say")
            self._to_rest()
            self.violations += laws.broken(self)
            self.counts["effects"] = self.far.done.total()
            for process in self._processes:
                self._kill(process)
            self._people.leave()
            self.loop.settle()
        self.violations += [
            f"nobody caught {error.get('exception')!r}: {error.get('message')}"
            for error in self.loop.errors
            if not isinstance(error.get("exception"), Dead)
        ]
        return Report(self.seed, tuple(self.violations), self.counts)

    def _to_rest(self) -> None:
        for _ in range(MOVES_MAX):
            self.loop.settle()
            self._look()
            if not self._move():
                return
        self.violations.append(f"nothing came to rest within {MOVES_MAX} moves")

    # -- who goes next --------------------------------------------------------------------------

    def _move(self) -> bool:
        draw = self.chance.random()
        if self._faults and draw < 0.04:
            self._faults -= 1
            self._fault()
        elif self._moves and draw < 0.14:
            self._outside(*self._moves.pop())
        elif draw < 0.15 and self.plan.trouble:
            return self._pass_time() or self._go_on()
        else:
            return self._go_on()
        return True

    def _go_on(self) -> bool:
        """Let one of those who wait at a gate go on, or hand out one of the steps that are due."""
        choice = int(self.chance.random() * (len(self.parked) + len(self.due)))
        if choice < len(self.parked):
            _, who, what = self.parked[choice]
            if what in ACTING and isinstance(who, Process) and self._doubt(who):
                return True
            self._release(choice, away=False)
        elif self.due:
            self._deliver(choice - len(self.parked))
        elif self._moves:
            self._outside(*self._moves.pop())
        else:
            return self._pass_time()
        return True

    def _release(self, choice: int, *, away: bool) -> None:
        future, process, what = self.parked.pop(choice)
        if future.done():
            return
        self._say(f"{process.name} goes on: {what}{', but the log is away' if away else ''}")
        future.set_result(away)

    def _deliver(self, choice: int) -> None:
        free = [process for process in self._processes if len(process.tasks) < AT_ONCE]
        if not free:
            return
        job = self.due.pop(choice)
        process = self.chance.choice(free)
        job.deliveries += 1
        job.begun_at = len(self.log.steps)
        self.deliveries[job.position] = max(self.deliveries[job.position], job.deliveries)
        self.counts["deliveries"] += 1
        self._say(f"{process.name} is handed {job}, delivery {job.deliveries}")
        task = self.loop.create_task(self._handle(process, job))
        process.tasks[task] = job
        task.add_done_callback(lambda task: self._ended(process, task))

    async def _handle(self, process: Process, job: Job) -> None:
        again_s = await (self._expire if job.turn else self._take)(process, job)
        await process.gate("acknowledge")
        if again_s is None:
            self.done.append(job)
            return
        self._say(f"{process.name} gives {job} back for {again_s:.2f} s")
        self.loop.call_later(again_s, self.due.append, job)

    async def _take(self, process: Process, job: Job) -> float | None:
        stored = self.log.steps[job.position - 1]
        entry = decode(stored.subject, stored.payload, position=stored.position, at=stored.at)
        return await process.shell.take(entry, deliveries=job.deliveries)

    async def _expire(self, process: Process, job: Job) -> float | None:
        try:
            await process.shell.expire(CUSTOMER, job.conversation, job.turn)
        except (Later, LogUnavailable):
            return 1.0
        return None

    def _ended(self, process: Process, task: asyncio.Task[None]) -> None:
        process.tasks.pop(task, None)
        if not task.cancelled() and isinstance(task.exception(), Exception):
            self.violations.append(f"the shell of {process.name} raised {task.exception()!r}")

    def _pass_time(self) -> bool:
        due = self.loop.next_due()
        due = self._too_late() if due is None else due
        if due is None:
            return False
        self.loop.advance(due)
        for (_, conversation, turn), at in list(self.timers.due.items()):
            if at <= self.clock():
                del self.timers.due[CUSTOMER, conversation, turn]
                self.due.append(Job(conversation, turn=turn))
        return True

    def _too_late(self) -> float | None:
        """When the time of people who are asked is up, where nothing else moves any more."""
        asked = (
            (due - BEGIN).total_seconds()
            for (_, conversation, number), due in self.timers.due.items()
            for turn in (self.states[conversation].turn,)
            if turn is not None and turn.number == number and turn.pending
        )
        return min(asked, default=None)

    # -- what goes wrong ------------------------------------------------------------------------

    def _fault(self) -> None:
        draw = self.chance.random()
        if draw < 0.45:
            busy = [process for process in self._processes if process.tasks]
            if busy:
                self._crash(self.chance.choice(busy))
        elif draw < 0.6 and self.parked:
            self.counts["log away"] += 1
            self._release(self.chance.randrange(len(self.parked)), away=True)
        elif draw < 0.8 and self.done:
            self._redeliver(self.chance.choice(self.done))
        else:
            running = [job for process in self._processes for job in process.tasks.values()]
            if running:
                self._redeliver(self.chance.choice(running))

    def _doubt(self, process: Process) -> bool:
        """In the middle of an effect its process dies, or others are handed the call as well."""
        draw = self.chance.random()
        if not self._faults or not process.tasks or draw > 0.4:
            return False
        self._faults -= 1
        if draw < 0.25:
            self._crash(process)
        else:
            self._redeliver(self.chance.choice(list(process.tasks.values())))
        return True

    def _crash(self, process: Process) -> None:
        """It dies wherever it is; what it had not acknowledged is handed to others."""
        self.counts["crashes"] += 1
        at = [what for _, other, what in self.parked if other is process]
        self._say(f"{process.name} dies at {at}")
        self.due += process.tasks.values()
        self._kill(process)
        place = self._processes.index(process)
        self._processes[place] = Process(self, f"{process.name}'")

    def _kill(self, process: Process) -> None:
        process.alive = False
        for task in list(process.tasks):
            task.cancel()
        for future, other, _ in self.parked:
            if other is process:
                future.cancel()
        self.parked = [parked for parked in self.parked if parked[1] is not process]

    def _redeliver(self, job: Job) -> None:
        self.counts["redeliveries"] += 1
        again = Job(job.conversation, job.position, job.turn)
        again.deliveries = job.deliveries
        self.due.append(again)

    # -- what comes from outside ----------------------------------------------------------------

    def _outside(self, conversation: str, move: Move) -> None:
        self._say(f"{conversation} from outside: {move}")
        state = self.states[conversation]
        match move:
            case "say" | "repeat":
                self._said += move == "say"
                text = f"m{self._said}"
                self.put(conversation, MessageReceived(text, message=text), text)
            case "cancel":
                turn = state.turn.number if state.turn else state.turns
                self.put(conversation, TurnCancelled(turn, "asked to"), f"{len(self.log.steps)}")
            case "generate":
                call = f"g{len(self.log.steps)}"
                event = GenerationRequested(call, "sort", "x", {}, "m1")
                self.put(conversation, event, call)
            case "expire":
                self.due.append(Job(conversation, turn=state.turns or 1))
            case _:
                self._poison(conversation, move)

    def put(self, conversation: str, event: Event, key: str) -> None:
        drafts = [first(CUSTOMER, conversation, event, by="outside", key=key)]
        if self.states[conversation] is EMPTY:
            started = ConversationStarted(self.plan.agent.name, digest(self.plan.agent))
            drafts.insert(0, first(CUSTOMER, conversation, started, by="outside", key="start"))
        positions = self.log._of[CUSTOMER, conversation]
        after = positions[-1] if positions else 0
        for draft in drafts:
            after = self.log._append(draft, after).position
        self._look()

    def _poison(self, conversation: str, move: Move) -> None:
        assert move in POISON
        self.poisoned.add(conversation)
        where = f"steps.{CUSTOMER}.{conversation}"
        match move:
            case "garbage":
                self.log.inject(f"{where}.message.received", b"\xff{")
            case "stranger":
                draft = first(CUSTOMER, conversation, MessageReceived("x"), by="x", key="x")
                event = b'{"type":"dance.danced/1"}'
                payload = b'{"id":"%s","at":"2026-01-01T00:00:00Z","after":%d,"event":%s}'
                positions = self.log._of[CUSTOMER, conversation] or [0]
                body = payload % (draft.id.encode(), positions[-1], event)
                self.log.inject(f"{where}.dance.danced", body)
            case _:
                draft = first(CUSTOMER, conversation, MessageReceived("y"), by="x", key="y")
                begun = bool(self.log._of.get((CUSTOMER, conversation)))
                after = self.chance.choice((0, 999_999)) if begun else 999_999
                body = laws.encode(draft, at=self.clock(), after=after)
                self.log.inject(f"{where}.message.received", body)

    # -- what the world sees --------------------------------------------------------------------

    async def park(self, who: Process | People, what: str) -> bool:
        future: asyncio.Future[bool] = self.loop.create_future()
        self.parked.append((future, who, what))
        return await future

    async def append(self, drafts: Sequence[Draft], after: int) -> tuple[Entry, ...]:
        try:
            return await self.log.append(drafts, after=after)
        except LogConflict:
            self.counts["conflicts"] += 1
            raise

    def _look(self) -> None:
        """Fold what is new in the log, and hand out what has a consumer."""
        for stored in self.log.steps[self._seen :]:
            self._seen = stored.position
            entry = decode(stored.subject, stored.payload, position=stored.position, at=stored.at)
            self._say(f"  {entry.position:3} {entry.conversation} {entry.event}")
            conversation = entry.conversation
            self.states[conversation] = evolve(self.states[conversation], entry.event)
            if stored.subject.split(".", 3)[3] in DELIVERED:
                self.due.append(Job(conversation, stored.position))
            if isinstance(entry.event, ApprovalRequested):
                self.counts["people asked"] += 1
                self._people.asked(entry, entry.event)

    def asked(self, process: Process, prompt: Prompt) -> None:
        self.counts["model calls"] += 1
        task = asyncio.current_task(self.loop)
        job = process.tasks.get(task) if task else None
        self.violations += laws.prompt(self, process, job, prompt)

    def ran(self, process: Process, name: str, call: str) -> None:
        self.counts["tool runs"] += 1
        self.counts["taken up"] += self.runs[call] > 0
        self.runs[call] += 1
        self.violations += laws.run(self, process, name, call)

    def _say(self, line: str) -> None:
        if self._tell:
            self._tell(line)

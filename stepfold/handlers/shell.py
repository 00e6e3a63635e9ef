"""The loop around the pure core: bring the state up to date, work, decide, append, acknowledge.

A request is acknowledged only after its outcome, and what is decided from it, are in the log. A
crash anywhere before that redelivers the request, and whatever is in the log by then is not done
again. So no outcome has to be delivered to anybody, and deciding costs no extra hop.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from stepfold.events.envelope import Draft, Entry, first, follow, kind
from stepfold.events.event import (
    ApprovalExpired,
    ApprovalRequested,
    ConversationStopped,
    Event,
    ReasonRequested,
    Request,
    ToolRefused,
    ToolRequested,
    ToolStarted,
    TurnExpired,
    Unreadable,
)
from stepfold.handlers.choosing import World
from stepfold.handlers.decide import BY, Veto, decide
from stepfold.handlers.patience import Patience
from stepfold.handlers.states import Known, States, advance
from stepfold.handlers.work import BUSY_S, Desk, Later, is_over
from stepfold.handlers.worker import Acting, Worker
from stepfold.policy.agent import Agent
from stepfold.projections.state import Turn
from stepfold.streams.log import Agents, Log, LogConflict, LogRefused, LogUnavailable, Timers

POISON_MAX = 4
"""After so many failures of the shell itself on one step, its conversation is stopped."""
ROUNDS_MAX = 1_000
"""How often an append may lose against others before the step is tried again later."""
FUTURE_S = 30.0
UNAVAILABLE_S = 1.0
HOLD_S = 0.2
HOLDS_MAX = 10_000
"""How often a start or an outcome is tried again while the log is away, before it is given back."""
BACKOFF_S_MAX = 30.0

WorldOf = Callable[[str, str, str], World]
"""What a decision knows beside the conversation: of customer, conversation and agent, now."""

NOBODY = Agent(name="", models=())
"""The agent of a conversation that has none: a generation is not part of a loop."""
log = logging.getLogger("stepfold.shell")


class Shell:
    """`workers` by kind of request; `name` is this process's own, never used again by another.

    With `grace_s` a turn gets its durable timer only after so many seconds (handlers/patience.py).
    """

    def __init__(  # noqa: PLR0913  (what the loop needs of the world, by name)
        self,
        steps: Log,
        agents: Agents,
        timers: Timers,
        workers: Mapping[str, Worker],
        *,
        name: str,
        clock: Callable[[], datetime],
        vetoes: Sequence[Veto] = (),
        desk: Desk | None = None,
        grace_s: float = 0,
        world: WorldOf | None = None,
    ) -> None:
        self._log = steps
        self._agents = agents
        self._patience = Patience(timers, self.runs, grace_s) if grace_s else None
        self._durable = timers
        self._timers: Timers = self._patience or timers
        self._workers = workers
        self._name = name
        self._clock = clock
        self._vetoes = vetoes
        self._world = world or _no_routes
        self._desk = desk or Desk(clock)
        self._states = States(steps)
        self._pinned: dict[str, Agent] = {}

    async def take(self, entry: Entry, *, deliveries: int = 1) -> float | None:
        """Handle a delivered step. None = acknowledge it; else deliver it again in so many seconds.

        A step that cannot be handled stops its own conversation, with the reason, and no other.
        """
        try:
            await self.handle(entry, deliveries=deliveries)
        except Later as later:
            return later.delay_s
        except LogUnavailable as error:
            log.warning("step %d waits: %s", entry.position, error)
            return UNAVAILABLE_S + random.random()
        except Exception as error:
            log.exception("step %d of %s/%s failed", entry.position, *entry.key)
            return await self._failed(entry, error, deliveries)
        return None

    async def handle(self, entry: Entry, *, deliveries: int = 1) -> None:
        """Work on a request, then decide. A step that was delivered before may have got its outcome
        from another worker: only the log knows, so that the cache is not enough.
        """
        again = deliveries > 1
        known = await (self._states.refresh(*entry.key) if again else self._states.including(entry))
        if known.state.stopped or known.state.origin:
            return
        known = await self._expire_if_late(known, *entry.key)
        event = entry.event
        worker = None if known.state.unreadable else self._workers.get(kind(event))
        if worker is not None and isinstance(event, Request) and event.call in known.state.open:
            known = await self._work(worker, entry, event, known, deliveries)
        known = await self._decide(known)
        if known.state.unreadable and not known.state.stopped:
            await self._give_up(entry, known.state.unreadable)

    async def fire(
        self, customer: str, conversation: str, turn: int, *, deliveries: int = 1
    ) -> float | None:
        """Handle a timer that fired. None = acknowledge it; else deliver it again."""
        try:
            await self.expire(customer, conversation, turn)
        except Later as later:
            return later.delay_s
        except LogUnavailable as error:
            log.warning("the timer of %s/%s waits: %s", customer, conversation, error)
            return UNAVAILABLE_S + random.random()
        except Exception as error:
            log.exception("the timer of %s/%s failed", customer, conversation)
            last = self._states.cached(customer, conversation).last
            return await self._failed(last, error, deliveries) if last else BACKOFF_S_MAX
        return None

    async def runs(self, customer: str, conversation: str, turn: int) -> bool:
        """Is this turn still running, by its own clock and not by that of people who are asked?"""
        known = self._states.cached(customer, conversation)
        if not known.position or (known.state.turn and known.state.turn.number == turn):
            known = await self._states.refresh(customer, conversation)
        running = known.state.turn
        return running is not None and running.number == turn and not running.pending

    async def close(self) -> None:
        """Before this process ends: nothing that it alone knows may be forgotten."""
        if self._patience is not None:
            await self._patience.close()

    async def _expire_if_late(self, known: Known, customer: str, conversation: str) -> Known:
        """A turn past its time ends with its next step, even if its timer was never set."""
        turn = known.state.turn
        if turn is None or turn.expired:
            return known
        due = await self._due(known)
        if due is None or self._clock() <= due:
            return known
        await self.expire(customer, conversation, turn.number)
        return self._states.cached(customer, conversation)

    async def expire(self, customer: str, conversation: str, turn: int) -> None:
        """A turn's timer fired. It counts only when that turn is still running. While people are
        asked, it is their time that runs, not the turn's.
        """
        known = await self._states.refresh(customer, conversation)
        for _ in range(ROUNDS_MAX):
            running = known.state.turn
            if known.state.stopped:
                return
            if known.state.unreadable and known.last is not None:
                await self._give_up(known.last, known.state.unreadable)
                return
            if running is None or running.number != turn or known.cause is None:
                await self._decide(known)  # who ended it may have died before what follows
                return
            late = _too_late(known, self._clock())
            due = await self._due(known)
            early = due is not None and self._clock() < due
            if running.expired or (early and not late):
                if early and due is not None:
                    await self._durable.set(customer, conversation, turn, due)
                await self._decide(known)
                return
            event = ApprovalExpired(late, turn) if late else TurnExpired(turn)
            known, _ = await self._append(known, follow(known.cause, "timer", (event,)))
        raise Later(BUSY_S, f"lost {ROUNDS_MAX} races in one conversation")

    async def _due(self, known: Known) -> datetime | None:
        """When the time is up: of the first that people are asked, else of the turn."""
        if known.waits:
            return min(known.waits.values())
        if known.opened is None:
            return None
        agent = await self._agent(known)
        return known.opened + timedelta(seconds=agent.limits.turn_s)

    async def _decide(self, known: Known) -> Known:
        """Append what is missing, one step after the other, until it is somebody else's move."""
        for _ in range(ROUNDS_MAX):
            agent = await self._agent(known)
            if known.cause is None:
                return known
            cause = known.cause
            world = self._world(cause.customer, cause.conversation, known.state.agent)
            events = decide(agent, known.state, self._vetoes, world)
            if not events:
                return known
            drafts = follow(cause, BY, events[:1])
            await self._set_timer(agent, known, drafts[0])
            known, _ = await self._append(known, drafts)
        raise Later(BUSY_S, f"lost {ROUNDS_MAX} races in one conversation")

    async def _set_timer(self, agent: Agent, known: Known, draft: Draft) -> None:
        """Before the turn opens: a timer of a turn that never was does no harm, a turn without one
        might wait for ever. And before people are asked, and when they have answered.
        """
        turn, event = known.state.turn, draft.event
        due = self._clock() + timedelta(seconds=agent.limits.turn_s)
        where = draft.customer, draft.conversation
        if turn is None and isinstance(event, ReasonRequested):
            await self._timers.set(*where, event.turn, due)
        elif isinstance(event, ApprovalRequested):
            asked = self._clock() + timedelta(seconds=event.expires_s)
            await self._durable.set(*where, event.turn, min([asked, *known.waits.values()]))
        elif isinstance(event, ToolRequested | ToolRefused) and _answered(turn, event.call):
            await self._durable.set(*where, event.turn, due)

    async def _work(
        self, worker: Worker, entry: Entry, request: Request, known: Known, deliveries: int
    ) -> Known:
        recorded = False
        self._desk.take(entry, request)
        try:
            known = self._states.latest(entry.key, known)
            if request.call not in known.state.open:  # another delivery was done meanwhile
                return known
            agent = await self._agent(known)
            outcome = self._desk.outcome(worker, entry, request, known, agent, deliveries)
            if outcome is None and request.call not in known.state.begun:
                outcome = worker.forbid(entry, known.state, agent)
            elif outcome is None:
                self._leave_alone(worker, request, known, agent)
            if outcome is None:
                before = known
                known = await self._begin(worker, entry, request, known)

                async def refresh() -> Known:
                    return await self._states.refresh(*entry.key)

                outcome = await self._desk.run(
                    worker, entry, request, before, agent, refresh, deliveries
                )
            known = await self._record(worker, entry, request, outcome, known)
            recorded = True
            return known
        finally:
            self._desk.leave(entry, request, recorded=recorded)

    def _leave_alone(self, worker: Worker, request: Request, known: Known, agent: Agent) -> None:
        """A call that another process started may still run there, for all that anybody knows."""
        start = known.starts.get(request.call)
        if start is None or start.worker == self._name or not isinstance(worker, Acting):
            return
        rests = start.at + timedelta(seconds=worker.first_run_s(request, agent)) - self._clock()
        if rests > timedelta(0):
            raise Later(rests.total_seconds(), "its first run may still be under way")

    async def _begin(self, worker: Worker, entry: Entry, request: Request, known: Known) -> Known:
        """Record that a call with an effect starts. Only who wins this append may go on, and only
        if nobody has taken it for lost while the log was away.
        """
        if not isinstance(worker, Acting) or not isinstance(request, ToolRequested):
            return known
        before = known.starts.get(request.call)
        again = request.call in known.state.begun
        started = ToolStarted(request.call, request.turn, self._name)
        number = f"/{before.number + 1}" if before else ""
        drafts = follow(entry, f"{worker.by}/{self._name}{number}", (started,))
        for _ in range(ROUNDS_MAX):
            known, mine = await self._hold(known, drafts)
            if mine and request.call in known.state.open:
                return known
            if known.starts.get(request.call) != before or request.call not in known.state.open:
                raise Later(BUSY_S, "another worker has it")
            if is_over(known, request) and not again:
                raise Later(0.0, "its turn ended before it began")
        raise Later(BUSY_S, f"lost {ROUNDS_MAX} races in one conversation")

    async def _record(
        self, worker: Worker, entry: Entry, request: Request, outcome: Event, known: Known
    ) -> Known:
        """Append the outcome, unless the request has got one meanwhile: it gets exactly one."""
        drafts = follow(entry, worker.by, (outcome,))
        for _ in range(ROUNDS_MAX):
            if request.call not in known.state.open:
                return known
            try:
                known, _ = await self._hold(known, drafts)
            except LogRefused as error:
                instead = worker.failed(request, "too_large", str(error), retryable=False)
                drafts = follow(entry, worker.by, (instead,))
            except UnicodeEncodeError as error:
                why = f"its outcome holds what is no character: {error.reason}"
                instead = worker.failed(request, "bug", why, retryable=False)
                drafts = follow(entry, worker.by, (instead,))
        raise Later(BUSY_S, f"lost {ROUNDS_MAX} races in one conversation")

    async def _hold(self, known: Known, drafts: Sequence[Draft]) -> tuple[Known, bool]:
        """`_append`, waiting for a log that is away. Given back meanwhile, the step would go to
        another worker: a start in doubt would count as lost, and what ran would run again.
        """
        for _ in range(HOLDS_MAX):
            try:
                return await self._append(known, drafts)
            except LogUnavailable as error:
                log.warning("%s/%s holds: %s", drafts[0].customer, drafts[0].conversation, error)
                await asyncio.sleep(HOLD_S)
        return await self._append(known, drafts)

    async def _append(self, known: Known, drafts: Sequence[Draft]) -> tuple[Known, bool]:
        """The state after the append and True; or, when somebody else was first, the state as it is
        now and False.
        """
        key = drafts[0].customer, drafts[0].conversation
        try:
            entries = await self._log.append(drafts, after=known.position)
        except LogConflict:
            return await self._states.refresh(*key), False
        if entries[0].after != known.position:
            return await self._states.refresh(*key), True
        return self._states.keep(key, advance(known, entries)), True

    async def _agent(self, known: Known) -> Agent:
        digest = known.state.digest
        if not digest:
            return NOBODY
        if digest not in self._pinned:
            self._pinned[digest] = await self._agents.get(digest)
        return self._pinned[digest]

    async def _failed(self, entry: Entry, error: Exception, deliveries: int) -> float | None:
        if deliveries < POISON_MAX:
            return min(BACKOFF_S_MAX, 0.1 * 4.0**deliveries) * (0.5 + random.random())
        try:
            await self._stop(entry, f"{type(error).__name__}: {error}")
        except (Later, LogUnavailable):
            return BUSY_S
        return None

    async def _give_up(self, entry: Entry, unreadable: Unreadable) -> None:
        """Wait for a newer worker where one may help; else bury what cannot be read."""
        if unreadable.known:
            raise Later(FUTURE_S, unreadable.reason)
        steps = await self._log.read(*entry.key)
        culprits = (step for step in steps if isinstance(step.event, Unreadable))
        await self._stop(next(culprits, entry), unreadable.reason)

    async def _stop(self, entry: Entry, reason: str) -> None:
        """Bury the step and stop its conversation, with the reason; once, others may be at it."""
        await self._log.bury(entry, reason)
        event = entry.event
        what = event.kind if isinstance(event, Unreadable) else kind(event)
        stopped = ConversationStopped(reason, entry.id, what)
        draft = first(*entry.key, stopped, by="shell", key=str(entry.position))
        for _ in range(ROUNDS_MAX):
            since = await self._log.read(*entry.key, after=entry.position)
            if any(isinstance(step.event, ConversationStopped) for step in since):
                return
            after = since[-1].position if since else entry.position
            try:
                await self._log.append([draft], after=after)
            except LogConflict:
                continue
            log.error("conversation %s/%s is stopped: %s", *entry.key, reason)
            return
        raise Later(BUSY_S, f"lost {ROUNDS_MAX} races in one conversation")


def _answered(turn: Turn | None, call: str) -> bool:
    """Had people been asked about this call, and is nobody asked about any by now?"""
    return turn is not None and call in turn.agreements and not turn.pending


def _too_late(known: Known, now: datetime) -> str:
    """A call that people were asked about and did not agree to in time; empty: there is none."""
    return next((call for call, due in known.waits.items() if now >= due), "")


def _no_routes(customer: str, conversation: str, agent: str) -> World:
    return World(customer, conversation=conversation)

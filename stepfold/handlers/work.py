"""One request, worked on once: what must not run does not, what ran is not run again.

The outcome of work that ran stays here until it is in the log, so that a log that is away for a
minute costs a minute, not a second call.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from stepfold.events.envelope import Entry
from stepfold.events.event import Event, GenerationRequested, ReasonRequested, Request
from stepfold.handlers.states import Known
from stepfold.handlers.watch import Watch
from stepfold.handlers.worker import Acting, Worker
from stepfold.policy.agent import Agent
from stepfold.tools.unsure import Unsure

DELIVERIES_MAX = 12
"""After so many deliveries of a request without an outcome, its worker is given up on."""
BUSY_S = 5.0
RECOVERIES_MAX = 3
"""How often a call whose effect is unsure is taken up again, where its rule permits that."""
WATCH_S = 2.0
"""How often long work looks whether its turn is still wanted."""

Refresh = Callable[[], Awaitable[Known]]
log = logging.getLogger("stepfold.work")


class Later(Exception):
    """Not now: deliver the step again in `delay_s` seconds."""

    def __init__(self, delay_s: float, why: str) -> None:
        super().__init__(why)
        self.delay_s = delay_s


class Desk:
    """What one process has in hand: the calls that run, and outcomes not yet in the log."""

    def __init__(self, clock: Callable[[], datetime], *, watch_s: float = WATCH_S) -> None:
        self._clock = clock
        self._watch_s = watch_s
        self._running: set[tuple[str, str, str]] = set()
        self._outcomes: dict[tuple[str, str, str], Event] = {}

    def take(self, entry: Entry, request: Request) -> None:
        """Later when this process already has it in hand."""
        handle = (*entry.key, request.call)
        if handle in self._running:
            raise Later(BUSY_S, f"call {request.call} is running here")
        self._running.add(handle)

    def leave(self, entry: Entry, request: Request, *, recorded: bool) -> None:
        handle = (*entry.key, request.call)
        self._running.discard(handle)
        if recorded:
            self._outcomes.pop(handle, None)

    def outcome(
        self,
        worker: Worker,
        entry: Entry,
        request: Request,
        known: Known,
        agent: Agent,
        deliveries: int,
    ) -> Event | None:
        """The outcome of a request that ran, or that must not run; None when it is to run now."""
        handle = (*entry.key, request.call)
        if handle in self._outcomes:
            return self._outcomes[handle]
        if request.call in known.state.begun:
            if _recovers(worker, request, agent, "lost") and deliveries <= DELIVERIES_MAX:
                return None
            why = "it had started when its worker died; whether it took effect is not known"
            return worker.failed(request, "lost", why, retryable=False)
        if is_over(known, request):
            why = "its turn was over before it began"
            return worker.failed(request, "over", why, retryable=False)
        if deliveries > DELIVERIES_MAX:
            why = f"given up after {deliveries} deliveries: no worker came back from it"
            return worker.failed(request, "given_up", why, retryable=False)
        self._wait_until_due(entry, request)
        return None

    def _wait_until_due(self, entry: Entry, request: Request) -> None:
        if not isinstance(request, ReasonRequested | GenerationRequested) or not request.delay_s:
            return
        wait_s = (entry.at + timedelta(seconds=request.delay_s) - self._clock()).total_seconds()
        if wait_s > 0:
            raise Later(wait_s * (1 + 0.2 * random.random()), "it backs off")

    async def run(
        self,
        worker: Worker,
        entry: Entry,
        request: Request,
        known: Known,
        agent: Agent,
        refresh: Refresh,
        deliveries: int = 1,
    ) -> Event:
        """Run the worker within its time, as long as its turn is wanted. A tool that has started is
        not interrupted by a cancel: half an effect is worse than one too many.
        """
        watch = None
        taken_up = isinstance(worker, Acting) and request.call in known.state.begun
        try:
            async with asyncio.timeout(agent.limits.call_s) as limit:
                if not isinstance(worker, Acting):
                    watch = self._watch(request, limit, refresh)
                    outcome = await worker.run(entry, known.state, agent)
                elif taken_up:
                    outcome = await worker.recover(entry, known.state, agent)
                else:
                    outcome = await worker.run(entry, known.state, agent)
        except (TimeoutError, Unsure) as error:
            if _recovers(worker, request, agent, "timeout") and deliveries < RECOVERIES_MAX:
                raise Later(BUSY_S, "whether it took effect is looked at again") from error
            if not limit.expired():
                outcome = worker.failed(request, "timeout", _unseen(error), retryable=True)
            else:
                over = watch is not None and watch.over
                outcome = _out_of_time(worker, request, agent, over=over)
        except Exception as error:
            why = f"{type(error).__name__}: {error}"
            log.exception("worker %r failed on %s/%s %s", worker.by, *entry.key, request.call)
            outcome = worker.failed(request, "bug", why, retryable=False)
        finally:
            if watch is not None:
                watch.stop()
        self._outcomes[(*entry.key, request.call)] = outcome
        return outcome

    def _watch(self, request: Request, limit: asyncio.Timeout, refresh: Refresh) -> Watch:
        async def over() -> bool:
            return is_over(await refresh(), request)

        return Watch(over, limit, self._watch_s)


def _unseen(error: TimeoutError | Unsure) -> str:
    if isinstance(error, Unsure):
        return str(error)
    return f"the worker itself timed out: {str(error) or 'it does not say where'}"


def _recovers(worker: Worker, request: Request, agent: Agent, reason: str) -> bool:
    return isinstance(worker, Acting) and worker.recovers(request, agent, reason)


def is_over(known: Known, request: Request) -> bool:
    """Does nobody wait for this request any more? Its turn ended, or another one runs."""
    if isinstance(request, GenerationRequested):
        return False
    if isinstance(request, ReasonRequested) and request.shadow:
        return False
    turn = known.state.turn
    return turn is None or turn.number != request.turn


def _out_of_time(worker: Worker, request: Request, agent: Agent, *, over: bool) -> Event:
    if over:
        return worker.failed(request, "cancelled", "its turn ended while it ran", retryable=False)
    why = f"no outcome within {agent.limits.call_s:g} s"
    return worker.failed(request, "timeout", why, retryable=True)

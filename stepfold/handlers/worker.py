"""The contract of a worker: one request in, one outcome out. It never decides."""

from __future__ import annotations

import time
from typing import Protocol

from stepfold.events.envelope import Entry
from stepfold.events.event import Event, Request
from stepfold.policy.agent import Agent
from stepfold.projections.conversation import Conversation


class Worker(Protocol):
    """`by` signs the outcome. With `intent`, a start is recorded before `run`, and nobody ever runs
    a call again that had started.
    """

    by: str
    intent: bool

    async def run(self, entry: Entry, state: Conversation, agent: Agent) -> Event:
        """The outcome of the request in `entry`. It may raise: then `failed` says it."""
        ...

    def forbid(self, request: Request, agent: Agent) -> Event | None:
        """The outcome of a request that may not run, asked before anything starts; else None."""
        ...

    def failed(self, request: Request, reason: str, detail: str, *, retryable: bool) -> Event:
        """The outcome when there was none: time-outs, cancelled turns, dead workers, bugs."""
        ...


def since(begin: float) -> float:
    """Milliseconds since `begin`, a reading of `time.perf_counter`."""
    return round((time.perf_counter() - begin) * 1000, 3)

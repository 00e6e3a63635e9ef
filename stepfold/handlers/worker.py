"""The contract of a worker: one request in, one outcome out. It never decides."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from typing import Protocol

from stepfold.events.envelope import Entry
from stepfold.events.event import Event, Request
from stepfold.policy.agent import Agent
from stepfold.projections.state import Conversation


class Worker(Protocol):
    """`by` signs the outcome."""

    by: str

    async def run(self, entry: Entry, state: Conversation, agent: Agent) -> Event:
        """The outcome of the request in `entry`. It may raise: then `failed` says it."""
        ...

    def forbid(self, entry: Entry, state: Conversation, agent: Agent) -> Event | None:
        """The outcome of a request that may not run, asked before anything starts; else None."""
        ...

    def failed(self, request: Request, reason: str, detail: str, *, retryable: bool) -> Event:
        """The outcome when there was none: time-outs, cancelled turns, dead workers, bugs."""
        ...


class Acting(ABC):
    """What a worker also is whose work has effects: a start is recorded before it runs, and nobody
    runs a call again that had started, unless its own rule says how.
    """

    @abstractmethod
    def recovers(self, request: Request, agent: Agent, reason: str) -> bool:
        """May a call that had started, and was `lost` or ran into its `timeout`, be taken up?"""

    @abstractmethod
    def first_run_s(self, request: Request, agent: Agent) -> float:
        """How long after its start a call must be left alone, in case its worker still lives."""

    @abstractmethod
    async def recover(self, entry: Entry, state: Conversation, agent: Agent) -> Event:
        """The outcome of a call that had started, and whose end nobody saw."""


def since(begin: float) -> float:
    """Milliseconds since `begin`, a reading of `time.perf_counter`."""
    return round((time.perf_counter() - begin) * 1000, 3)

"""Searches the knowledge. One `RetrievalRequested` in, one outcome out."""

from __future__ import annotations

import time

from stepfold.events.envelope import Entry
from stepfold.events.event import (
    Event,
    Request,
    RetrievalFailed,
    RetrievalRequested,
    RetrievalReturned,
)
from stepfold.handlers.rerank import Best, Ranking
from stepfold.handlers.worker import since
from stepfold.knowledge.errors import KnowledgeError
from stepfold.knowledge.knowledge import Knowledge
from stepfold.policy.agent import Agent
from stepfold.projections.state import Conversation


class Retrieve:
    by = "retrieve"

    def __init__(self, knowledge: Knowledge, ranking: Ranking | None = None) -> None:
        self._knowledge = knowledge
        self._ranking = ranking

    async def run(self, entry: Entry, state: Conversation, agent: Agent) -> Event:
        request = entry.event
        assert isinstance(request, RetrievalRequested)
        begin = time.perf_counter()
        ranking = self._ranking
        k = ranking.wanted(entry, agent.name) if ranking else request.passages_max
        try:
            passages = await self._knowledge.search(request.collections, request.query, k)
        except KnowledgeError as error:
            return RetrievalFailed(request.call, request.turn, str(error), since(begin))
        best = Best(passages)
        if ranking:
            best = await ranking.best(entry, agent.name, passages)
        return RetrievalReturned(
            request.call, request.turn, best.passages, since(begin), best.spent
        )

    def forbid(self, entry: Entry, state: Conversation, agent: Agent) -> Event | None:
        request = entry.event
        assert isinstance(request, RetrievalRequested)
        others = [name for name in request.collections if name not in agent.collections]
        if not others:
            return None
        why = f"agent {agent.name!r} does not search the collection {others[0]!r}"
        return RetrievalFailed(request.call, request.turn, why)

    def failed(self, request: Request, reason: str, detail: str, *, retryable: bool) -> Event:
        assert isinstance(request, RetrievalRequested)
        return RetrievalFailed(request.call, request.turn, detail)

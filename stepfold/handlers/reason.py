"""Asks a model. One `ReasonRequested` in, one `Reasoned` or `ReasonFailed` out."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from stepfold.events.envelope import Entry
from stepfold.events.event import Event, ReasonFailed, ReasonRequested, Request
from stepfold.handlers.asking import Asker, Failed
from stepfold.handlers.prompt import prompt, reasoned
from stepfold.policy.agent import Agent
from stepfold.policy.toolspec import ToolSpec
from stepfold.projections.conversation import Conversation

NO_SPECS: Mapping[str, ToolSpec] = {}


class Reason:
    """`specs` are what models are told of the tools."""

    by = "reason"
    intent = False

    def __init__(self, asker: Asker, specs: Mapping[str, ToolSpec] = NO_SPECS) -> None:
        self._asker = asker
        self._specs = specs

    async def run(self, entry: Entry, state: Conversation, agent: Agent) -> Event:
        request = entry.event
        assert isinstance(request, ReasonRequested)
        asked = prompt(agent, state, request, self._specs)
        turn, attempt = request.turn, request.attempt
        told = await self._asker.ask(
            entry, request.model, asked, turn=turn, attempt=attempt, agent=agent.name
        )
        if isinstance(told, Failed):
            return _failed(request, told)
        answer = reasoned(request, told.reply, elapsed_ms=told.elapsed_ms, passages=state.passages)
        return replace(answer, first_ms=told.first_ms) if told.first_ms else answer

    def forbid(self, request: Request, agent: Agent) -> Event | None:
        return None

    def failed(self, request: Request, reason: str, detail: str, *, retryable: bool) -> Event:
        assert isinstance(request, ReasonRequested)
        return ReasonFailed(
            call=request.call,
            turn=request.turn,
            model=request.model,
            reason=reason,
            detail=detail,
            retryable=retryable,
            attempt=request.attempt,
        )


def _failed(request: ReasonRequested, told: Failed) -> ReasonFailed:
    error = told.error
    return ReasonFailed(
        call=request.call,
        turn=request.turn,
        model=request.model,
        reason=error.reason,
        detail=str(error),
        retryable=error.retryable,
        delay_s=error.delay_s,
        usage=error.usage,
        cost_usd=told.cost_usd,
        elapsed_ms=told.elapsed_ms,
        attempt=request.attempt,
        provider=told.provider,
        body=error.body,
        price=told.price,
        streamed=told.streamed,
    )

"""Asks a model. One `ReasonRequested` in, one `Reasoned` or `ReasonFailed` out."""

from __future__ import annotations

import time
from collections.abc import Mapping

from stepfold.events.envelope import Entry
from stepfold.events.event import Event, ReasonFailed, ReasonRequested, Request
from stepfold.handlers.prompt import prompt, reasoned
from stepfold.handlers.worker import since
from stepfold.policy.agent import Agent
from stepfold.projections.conversation import Conversation
from stepfold.providers.model import Model, ModelError


class Reason:
    by = "reason"
    intent = False

    def __init__(self, models: Mapping[str, Model]) -> None:
        self._models = models

    async def run(self, entry: Entry, state: Conversation, agent: Agent) -> Event:
        request = entry.event
        assert isinstance(request, ReasonRequested)
        model = self._models.get(request.model)
        if model is None:
            known = ", ".join(sorted(self._models)) or "none"
            detail = f"model {request.model!r} is not set up in this worker (known: {known})"
            return self.failed(request, "model_unknown", detail, retryable=True)
        begin = time.perf_counter()
        try:
            reply = await model.reply(prompt(agent, state, request))
        except ModelError as error:
            return _failed(request, error, begin)
        return reasoned(request, reply, elapsed_ms=since(begin))

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


def _failed(request: ReasonRequested, error: ModelError, begin: float) -> ReasonFailed:
    return ReasonFailed(
        call=request.call,
        turn=request.turn,
        model=request.model,
        reason=error.reason,
        detail=str(error),
        retryable=error.retryable,
        delay_s=error.delay_s,
        elapsed_ms=since(begin),
        attempt=request.attempt,
    )

"""The direct path. One `GenerationRequested` in, JSON that fits its schema or a failure out."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import msgspec

from stepfold.events.envelope import Entry
from stepfold.events.event import (
    Event,
    Generated,
    GenerationFailed,
    GenerationRequested,
    Request,
)
from stepfold.events.transcript import Heard
from stepfold.handlers.schema import mismatch
from stepfold.handlers.worker import since
from stepfold.policy.agent import Agent
from stepfold.projections.conversation import Conversation
from stepfold.providers.model import Model, ModelError, Prompt, Reply


class Generate:
    by = "generate"
    intent = False

    def __init__(self, models: Mapping[str, Model]) -> None:
        self._models = models

    async def run(self, entry: Entry, state: Conversation, agent: Agent) -> Event:
        request = entry.event
        assert isinstance(request, GenerationRequested)
        model = self._models.get(request.model)
        if model is None:
            known = ", ".join(sorted(self._models)) or "none"
            detail = f"model {request.model!r} is not set up in this worker (known: {known})"
            return self.failed(request, "model_unknown", detail, retryable=False)
        begin = time.perf_counter()
        try:
            reply = await model.reply(_prompt(request))
        except ModelError as error:
            return self.failed(request, error.reason, str(error), retryable=error.retryable)
        return _outcome(request, reply, since(begin))

    def forbid(self, request: Request, agent: Agent) -> Event | None:
        return None

    def failed(self, request: Request, reason: str, detail: str, *, retryable: bool) -> Event:
        assert isinstance(request, GenerationRequested)
        return GenerationFailed(request.call, reason, request.model, detail)


def _prompt(request: GenerationRequested) -> Prompt:
    text = request.input if isinstance(request.input, str) else _json(request.input)
    told = f"Task: {request.task}. Answer with JSON only, fitting this schema:"
    return Prompt(
        instructions=f"{told}\n{_json(request.schema)}",
        tools=(),
        transcript=(Heard(text),),
        call=request.call,
    )


def _outcome(request: GenerationRequested, reply: Reply, elapsed_ms: float) -> Event:
    model = reply.model or request.model
    try:
        output = msgspec.json.decode(reply.text)
    except msgspec.DecodeError as error:
        why: str | None = f"not JSON: {error}"
    else:
        why = mismatch(output, request.schema)
    if why:
        return GenerationFailed(
            call=request.call,
            reason="malformed",
            model=model,
            detail=why,
            usage=reply.usage,
            cost_usd=reply.cost_usd,
            elapsed_ms=elapsed_ms,
        )
    return Generated(request.call, output, model, reply.usage, reply.cost_usd, elapsed_ms)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()

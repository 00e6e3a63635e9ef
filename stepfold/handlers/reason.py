"""Asks a model. One `ReasonRequested` in, one `Reasoned` or `ReasonFailed` out."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from stepfold.events.envelope import Entry
from stepfold.events.event import Event, ReasonFailed, ReasonRequested, Request
from stepfold.events.values import Part, Refusal, Text, ToolCall
from stepfold.handlers.asking import Asker, Failed, Spoken
from stepfold.handlers.prompt import prompt, reasoned
from stepfold.policy.agent import Agent
from stepfold.policy.toolspec import ToolSpec
from stepfold.projections.state import Conversation
from stepfold.providers.model import Reply
from stepfold.providers.schemas import unnull

EMPTY = "empty"
NO_SPECS: Mapping[str, ToolSpec] = {}


class Reason:
    """`specs` are what models are told of the tools."""

    by = "reason"

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
        if _says_nothing(told.reply):
            return _empty(request, told)
        answer = reasoned(request, told.reply, elapsed_ms=told.elapsed_ms, passages=state.passages)
        answer = replace(answer, parts=tuple(self._meant(part) for part in answer.parts))
        return replace(answer, first_ms=told.first_ms) if told.first_ms else answer

    def _meant(self, part: Part) -> Part:
        """A call as it is meant: a strict form of a schema has nulls for what is left out."""
        spec = self._specs.get(part.name) if isinstance(part, ToolCall) else None
        if spec is None or not isinstance(part, ToolCall):
            return part
        return replace(part, arguments=unnull(part.arguments, spec.parameters))

    def forbid(self, entry: Entry, state: Conversation, agent: Agent) -> Event | None:
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


def _says_nothing(reply: Reply) -> bool:
    """Nothing for the contact and nothing to do. What a policy kept back is no accident."""
    return reply.finish not in ("content_filter", "refusal") and not any(
        isinstance(part, ToolCall | Refusal) or (isinstance(part, Text) and part.text.strip())
        for part in reply.all_parts()
    )


def _empty(request: ReasonRequested, told: Spoken) -> ReasonFailed:
    """It is worth asking again, and it was paid for."""
    reply = told.reply
    return ReasonFailed(
        call=request.call,
        turn=request.turn,
        model=request.model,
        reason=EMPTY,
        detail=f"the answer has no text and no call (finish: {reply.finish_word or reply.finish})",
        retryable=True,
        usage=reply.usage,
        cost_usd=reply.cost_usd,
        elapsed_ms=told.elapsed_ms,
        attempt=request.attempt,
        provider=reply.provider,
        price=reply.price,
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

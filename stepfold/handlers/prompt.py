"""What a model is shown when a `ReasonRequested` is answered, and what its reply becomes. Pure."""

from __future__ import annotations

from stepfold.events.event import Reasoned, ReasonRequested
from stepfold.events.values import Part, Text, Thinking, ToolCall
from stepfold.policy.agent import Agent
from stepfold.projections.conversation import Conversation
from stepfold.providers.model import Prompt, Reply


def prompt(agent: Agent, state: Conversation, request: ReasonRequested) -> Prompt:
    """Only the tools of the request are offered, whatever the agent's configuration says today."""
    return Prompt(
        instructions=agent.instructions,
        tools=request.tools,
        transcript=state.transcript,
        call=request.call,
    )


def reasoned(request: ReasonRequested, reply: Reply, *, elapsed_ms: float) -> Reasoned:
    """The reply as an event. Calls get our own names: providers repeat theirs."""
    parts: list[Part] = [Thinking(reply.thinking)] if reply.thinking else []
    if reply.text:
        parts.append(Text(reply.text, reply.citations))
    parts += [
        ToolCall(f"{request.call}.{number}", call.name, call.arguments, call.id)
        for number, call in enumerate(reply.calls, start=1)
    ]
    return Reasoned(
        call=request.call,
        turn=request.turn,
        model=reply.model or request.model,
        parts=tuple(parts),
        finish=reply.finish or ("tool_calls" if reply.calls else "stop"),
        provider=reply.provider,
        usage=reply.usage,
        cost_usd=reply.cost_usd,
        elapsed_ms=elapsed_ms,
        attempt=request.attempt,
    )

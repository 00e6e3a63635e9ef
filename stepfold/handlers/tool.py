"""Runs a tool. One `ToolRequested` in, one outcome out, after the shell recorded a `ToolStarted`.

A call whose arguments do not fit the tool's schema is refused before anything runs.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

import msgspec

from stepfold.events.envelope import Entry
from stepfold.events.event import (
    Event,
    Request,
    ToolFailed,
    ToolRefused,
    ToolRequested,
    ToolReturned,
    ToolUnknown,
)
from stepfold.events.traces import traceparent
from stepfold.handlers.schema import mismatch
from stepfold.handlers.worker import since
from stepfold.policy.agent import Agent
from stepfold.projections.conversation import Conversation
from stepfold.providers.schemas import unnull
from stepfold.tools.tool import Caller, Tool, ToolError, calling

UNSEEN = frozenset({"timeout", "cancelled", "lost"})
"""Reasons after which nobody can say whether the tool had its effect."""


class RunTool:
    by = "tool"
    intent = True

    def __init__(self, tools: Mapping[str, Tool]) -> None:
        self._tools = tools

    async def run(self, entry: Entry, state: Conversation, agent: Agent) -> Event:
        request = entry.event
        assert isinstance(request, ToolRequested)
        begin = time.perf_counter()
        key = f"{entry.customer}/{entry.conversation}/{request.call}"
        parent = traceparent(entry.trace, *entry.key, request.turn, entry.id)
        tool = self._tools[request.name]
        try:
            with calling(Caller(entry.customer, entry.conversation, traceparent=parent)):
                result = await tool.run(unnull(request.arguments, tool.spec.parameters), call=key)
        except ToolError as error:
            return ToolFailed(request.call, request.turn, str(error), since(begin))
        return ToolReturned(request.call, request.turn, msgspec.to_builtins(result), since(begin))

    def forbid(self, request: Request, agent: Agent) -> Event | None:
        assert isinstance(request, ToolRequested)
        why = self._why_not(request, agent)
        return ToolRefused(request.call, request.turn, request.name, why) if why else None

    def _why_not(self, request: ToolRequested, agent: Agent) -> str | None:
        """The second gate: whatever was requested, a configured tool with fitting arguments."""
        if request.name not in agent.tools:
            return f"tool {request.name!r} is not allowed for agent {agent.name!r}"
        tool = self._tools.get(request.name)
        if tool is None:
            known = ", ".join(sorted(self._tools)) or "none"
            return f"tool {request.name!r} is not set up in this worker (known: {known})"
        return mismatch(unnull(request.arguments, tool.spec.parameters), tool.spec.parameters)

    def failed(self, request: Request, reason: str, detail: str, *, retryable: bool) -> Event:
        assert isinstance(request, ToolRequested)
        if reason in UNSEEN:
            return ToolUnknown(request.call, request.turn, detail)
        return ToolFailed(request.call, request.turn, detail)

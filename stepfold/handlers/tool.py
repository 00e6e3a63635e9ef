"""Runs a tool. One `ToolRequested` in, one outcome out, after the shell recorded a `ToolStarted`.

The second gate stands here: whatever was requested, only what the pinned agent may do, with
arguments that fit, and with the agreement of people where it needs that, is run.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Any

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
from stepfold.events.values import Arguments, FileRef
from stepfold.handlers.asking import Files
from stepfold.handlers.decide import rule_for
from stepfold.handlers.worker import Acting, since
from stepfold.policy.agent import Agent
from stepfold.policy.effect import Recovery
from stepfold.policy.gate import Who, digest_of_call, grant_of, why_not
from stepfold.policy.grants import outgrown
from stepfold.policy.schema import mismatch
from stepfold.projections.state import Conversation, Turn
from stepfold.providers.schemas import unnull
from stepfold.streams.log import LogError
from stepfold.tools.tool import Caller, Reconciling, Tool, ToolError, calling
from stepfold.tools.unsure import Unsure

UNSEEN = frozenset({"timeout", "cancelled", "lost", "bug", "too_large"})
"""Reasons after which nobody can say whether the tool had its effect."""
log = logging.getLogger("stepfold.tool")


class RunTool(Acting):
    by = "tool"

    def __init__(self, tools: Mapping[str, Tool], files: Files | None = None) -> None:
        self._tools = tools
        self._files = files

    async def run(self, entry: Entry, state: Conversation, agent: Agent) -> Event:
        request = entry.event
        assert isinstance(request, ToolRequested)
        return await self._run(entry, request, _caller(entry, state))

    async def _run(self, entry: Entry, request: ToolRequested, caller: Caller) -> Event:
        begin = time.perf_counter()
        tool = self._tools[request.name]
        try:
            with calling(caller):
                async with asyncio.timeout(tool.spec.timeout_s or None) as limit:
                    result = await tool.run(_given(request, tool), call=_key(entry, request))
        except ToolError as error:
            return ToolFailed(request.call, request.turn, sound(str(error)), since(begin))
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise TimeoutError(f"no outcome within the tool's {tool.spec.timeout_s:g} s") from error
        return await self._returned(request, tool, result, begin)

    async def recover(self, entry: Entry, state: Conversation, agent: Agent) -> Event:
        """By its rule: once more with the same key, or only if a lookup says it did not happen.
        That nothing happened this time says nothing of the time before. What may not run any more,
        or is wanted by nobody, does not run again; but what happened is looked up.
        """
        request = entry.event
        assert isinstance(request, ToolRequested)
        tool, caller = self._tools[request.name], _caller(entry, state)
        over = state.turn is None or state.turn.number != request.turn
        why = "its turn is over" if over else self._not_again(request, tool, agent, entry)
        if _rule(request, tool, agent) == "reconcile" and isinstance(tool, Reconciling):
            begin = time.perf_counter()
            try:
                with calling(caller):
                    found = await tool.reconcile(_given(request, tool), call=_key(entry, request))
            except ToolError as error:
                why = f"it had started, and its lookup cannot tell what became of it: {error}"
                return ToolUnknown(request.call, request.turn, why)
            if found is not None:
                return await self._returned(request, tool, found, begin)
            if why:
                told = f"it did not happen, and is not tried again: {why}"
                return ToolFailed(request.call, request.turn, told)
            return await self._run(entry, request, caller)
        if why:
            told = f"it had started, and is not tried again: {why}"
            return self.failed(request, "lost", told, retryable=False)
        outcome = await self._run(entry, request, caller)
        if isinstance(outcome, ToolFailed) and tool.spec.effect != "read":
            raise Unsure(f"it had started before, and now it could not be done: {outcome.reason}")
        return outcome

    def first_run_s(self, request: Request, agent: Agent) -> float:
        """A lookup that says no means nothing while the first run may still be under way."""
        assert isinstance(request, ToolRequested)
        tool = self._tools.get(request.name)
        if tool is None or _rule(request, tool, agent) != "reconcile":
            return 0.0
        return min(tool.spec.timeout_s or agent.limits.call_s, agent.limits.call_s)

    def recovers(self, request: Request, agent: Agent, reason: str) -> bool:
        assert isinstance(request, ToolRequested)
        tool = self._tools.get(request.name)
        if tool is None or request.name not in agent.tools:
            return False
        if tool.spec.effect == "read":
            return reason == "lost"
        return _rule(request, tool, agent) != "never_repeat"

    def _not_again(
        self, request: ToolRequested, tool: Tool, agent: Agent, entry: Entry
    ) -> str | None:
        """The gate of a call that had started: what was agreed to was seen then."""
        grant = grant_of(agent, request.name)
        given = _given(request, tool)
        return (
            (outgrown(grant, tool.spec) if grant else None)
            or mismatch(given, tool.spec.parameters)
            or why_not(agent, request.name, given, _asks(entry, request))
        )

    async def _returned(
        self, request: ToolRequested, tool: Tool, result: Any, begin: float
    ) -> Event:
        told = msgspec.to_builtins(result)
        told = sound(told) if isinstance(told, str) else told
        misfit = mismatch(told, tool.spec.result)
        if misfit:
            why = f"it ran, but what it returned does not fit its schema: {misfit}"
            if tool.spec.effect == "read":
                return ToolFailed(request.call, request.turn, why, since(begin))
            return ToolUnknown(request.call, request.turn, why)
        told, file = await self._shortened(told, tool.spec.result_chars_max)
        return ToolReturned(request.call, request.turn, told, since(begin), file)

    async def _shortened(self, told: Any, most: int) -> tuple[Any, FileRef | None]:
        """The result as its event has it, and the file that holds the whole of a long one."""
        text = told if isinstance(told, str) else msgspec.json.encode(told).decode()
        if len(text) <= most:
            return told, None
        file = await self._kept(text, "text/plain" if text is told else "application/json")
        where = f"the whole is the file {file.name}" if file else "the rest is lost"
        return f"{text[:most]}\n[... {most} of {len(text)} characters; {where}]", file

    async def _kept(self, text: str, media: str) -> FileRef | None:
        if self._files is None:
            return None
        try:
            blob = await self._files.put(text.encode())
        except LogError as error:
            log.warning("a long result is cut, and its whole is not kept: %s", error)
            return None
        ending = "txt" if media == "text/plain" else "json"
        return FileRef(media, blob, name=f"result-{blob.removeprefix('sha256:')[:8]}.{ending}")

    def forbid(self, entry: Entry, state: Conversation, agent: Agent) -> Event | None:
        request = entry.event
        assert isinstance(request, ToolRequested)
        why = self._why_not(entry, request, state, agent)
        return ToolRefused(request.call, request.turn, request.name, why) if why else None

    def _why_not(
        self, entry: Entry, request: ToolRequested, state: Conversation, agent: Agent
    ) -> str | None:
        if request.name not in agent.tools:
            return f"tool {request.name!r} is not allowed for agent {agent.name!r}"
        tool = self._tools.get(request.name)
        if tool is None:
            known = ", ".join(sorted(self._tools)) or "none"
            return f"tool {request.name!r} is not set up in this worker (known: {known})"
        if why := self._not_again(request, tool, agent, entry):
            return why
        if not agent.grants:
            return None
        if state.turn is None or request.contact != state.turn.contact:
            return f"tool {request.name!r} was requested for another contact than this turn's"
        given = _given(request, tool)
        return _not_agreed(request, given, state.turn, agent, _asks(entry, request))

    def failed(self, request: Request, reason: str, detail: str, *, retryable: bool) -> Event:
        assert isinstance(request, ToolRequested)
        tool = self._tools.get(request.name)
        harmless = tool is not None and tool.spec.effect == "read"
        if reason in UNSEEN and not harmless:
            return ToolUnknown(request.call, request.turn, detail)
        return ToolFailed(request.call, request.turn, detail)


def _not_agreed(
    request: ToolRequested, given: Arguments, turn: Turn, agent: Agent, asks: Who
) -> str | None:
    """Why the agreement of people to exactly this call is missing; None when nothing is."""
    rule = rule_for(agent, turn, request.name, given, asks)
    if rule is None and not request.approval:
        return None
    agreement = turn.agreements.get(request.call)
    if agreement is None or not agreement.complete:
        return f"tool {request.name!r} needs approval, and nobody has approved this call"
    shown = agreement.request
    digests = {
        digest_of_call(asks, request.call, request.name, each)
        for each in (given, request.arguments, shown.arguments)
    }
    if digests != {shown.digest} or request.approval != shown.digest:
        return f"tool {request.name!r}: what was approved is another call than this"
    return None


def sound(text: str) -> str:
    """A text that can be written down: half a character that a stranger sent becomes a ?."""
    return text.encode("utf-8", "replace").decode()


def _asks(entry: Entry, request: ToolRequested) -> Who:
    return Who(entry.customer, request.contact, entry.conversation)


def _caller(entry: Entry, state: Conversation) -> Caller:
    request = entry.event
    assert isinstance(request, ToolRequested)
    parent = traceparent(entry.trace, *entry.key, request.turn, entry.id)
    turn = state.turn
    contact = request.contact or (turn.contact if turn and turn.number == request.turn else "")
    return Caller(entry.customer, entry.conversation, contact, parent)


def _given(request: ToolRequested, tool: Tool) -> Arguments:
    given: Arguments = unnull(request.arguments, tool.spec.parameters)
    return given


def _key(entry: Entry, request: ToolRequested) -> str:
    return f"{entry.customer}/{entry.conversation}/{request.call}"


def _rule(request: ToolRequested, tool: Tool, agent: Agent) -> Recovery:
    """What the agent was granted, as far as the tool still is so and can do it."""
    grant = agent.grants.get(request.name)
    granted: Recovery = grant.recovery if grant else "never_repeat"
    able = granted != "reconcile" or isinstance(tool, Reconciling)
    return granted if able and granted == tool.spec.recovery else "never_repeat"

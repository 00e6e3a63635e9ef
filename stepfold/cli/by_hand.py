"""One call of a tool as a worker would make it, without a log."""

from __future__ import annotations

import asyncio
import traceback
import uuid
from datetime import UTC, datetime
from typing import Any

import msgspec

from stepfold.events.envelope import Entry, first, record
from stepfold.events.event import (
    ConversationStarted,
    Event,
    MessageReceived,
    Reasoned,
    ReasonRequested,
    ToolRequested,
    ToolReturned,
)
from stepfold.events.values import Arguments, ToolCall
from stepfold.handlers.tool import RunTool
from stepfold.policy.agent import Agent, Limits, digest
from stepfold.policy.grants import resolve
from stepfold.projections.conversation import replay
from stepfold.projections.state import Conversation
from stepfold.streams.memory import MemoryFiles
from stepfold.tools.tool import Tool
from stepfold.tools.unsure import Unsure

BY_HAND = "by-hand"


async def run_by_hand(
    tool: Tool, given: Arguments, customer: str, contact: str
) -> tuple[Event, dict[str, Any]]:
    """What a worker would record; of a long result the whole as well."""
    spec = tool.spec
    limits = Limits(call_s=spec.timeout_s or Limits().call_s)
    asked = Agent(BY_HAND, models=(BY_HAND,), tools=(spec.name,), limits=limits)
    agent = resolve(asked, {spec.name: spec})
    files = MemoryFiles()
    worker = RunTool({spec.name: tool}, files)
    entry, state = _requested(agent, given, customer, contact)
    outcome = worker.forbid(entry, state, agent) or await _outcome(worker, entry, state, agent)
    if not isinstance(outcome, ToolReturned) or outcome.file is None:
        return outcome, {}
    kept = await files.get(outcome.file.blob)
    is_text = outcome.file.media == "text/plain"
    return outcome, {"result": kept.decode() if is_text else msgspec.json.decode(kept)}


def _requested(
    agent: Agent, given: Arguments, customer: str, contact: str
) -> tuple[Entry, Conversation]:
    """A conversation in which a model wants this one call; its key is new each time."""
    (name,) = agent.tools
    request = ToolRequested("r1.1", 1, name, given, contact=contact)
    calls = (ToolCall("r1.1", name, given),)
    state = replay(
        (
            ConversationStarted(agent.name, digest(agent), contact=contact),
            MessageReceived("", contact=contact, message="m1"),
            ReasonRequested("r1", 1, BY_HAND, agent.tools, heard=1),
            Reasoned("r1", 1, BY_HAND, calls, finish="tool_calls"),
            request,
        )
    )
    conversation = f"{BY_HAND}-{uuid.uuid4().hex[:12]}"
    draft = first(customer, conversation, request, by=BY_HAND, key="r1.1")
    return record(draft, position=5, at=datetime.now(UTC), after=4), state


async def _outcome(worker: RunTool, entry: Entry, state: Conversation, agent: Agent) -> Event:
    request = entry.event
    assert isinstance(request, ToolRequested)
    try:
        async with asyncio.timeout(agent.limits.call_s):
            return await worker.run(entry, state, agent)
    except TimeoutError as error:
        reason, why = "timeout", str(error) or f"no outcome within {agent.limits.call_s:g} s"
    except Unsure as error:
        reason, why = "timeout", str(error)
    except Exception as error:  # noqa: BLE001  (whatever a stranger's function brings about)
        reason, why = "bug", f"{type(error).__name__}: {error} ({_where(error)})"
    return worker.failed(request, reason, why, retryable=False)


def _where(error: BaseException) -> str:
    """The file and line that raised it."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{frame.filename}:{frame.lineno}"

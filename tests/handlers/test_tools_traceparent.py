"""What a tool is handed, so that what it calls is told below its own span."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from stepfold.events.envelope import Entry
from stepfold.events.event import ToolRequested, ToolReturned
from stepfold.events.traces import caller
from stepfold.handlers.tool import RunTool
from stepfold.observability import names
from stepfold.observability.spans import spans
from stepfold.projections.state import EMPTY
from stepfold.testing import AGENT
from stepfold.tools.tool import FunctionTool, ToolError, ToolSpec, traceparent
from tests.observability.made import CALLER_TRACE, TRACEPARENT, WHOLE, recorded


async def tell(arguments: dict[str, Any], call: str) -> str:
    """What it was handed, after others had their turn."""
    await asyncio.sleep(0)
    return traceparent()


async def fail(arguments: dict[str, Any], call: str) -> str:
    raise ToolError(traceparent())


def tool(function: Any = tell) -> RunTool:
    return RunTool({"find": FunctionTool(ToolSpec("find"), function)})


def requested(entries: list[Entry]) -> Entry:
    return next(entry for entry in entries if isinstance(entry.event, ToolRequested))


async def handed(entry: Entry, worker: RunTool) -> str:
    outcome = await worker.run(entry, EMPTY, AGENT)
    assert isinstance(outcome, ToolReturned)
    return str(outcome.result)


@pytest.mark.parametrize("trace", ["", TRACEPARENT], ids=["no caller", "a caller"])
async def test_a_tool_is_handed_the_span_that_is_told_of_it(trace: str) -> None:
    entries = recorded(WHOLE, trace=trace)

    found = await handed(requested(entries), tool())

    (span,) = (s for s in spans(entries) if s.attributes[names.KIND] == "TOOL")
    assert caller(found) == (span.trace, span.id)
    assert (span.trace == CALLER_TRACE) is bool(trace)


async def test_tools_that_run_at_once_are_handed_each_its_own() -> None:
    worker = tool()
    entry = requested(recorded(WHOLE))
    others = [replace(entry, id=f"step-{number}") for number in range(5)]

    found = await asyncio.gather(*(handed(other, worker) for other in others))

    assert len(set(found)) == len(others)


@pytest.mark.parametrize("function", [tell, fail])
async def test_outside_of_a_call_there_is_none(function: Any) -> None:
    await tool(function).run(requested(recorded(WHOLE)), EMPTY, AGENT)

    assert traceparent() == ""

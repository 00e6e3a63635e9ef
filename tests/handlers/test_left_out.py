"""Where a model was held to a strict schema, a null may stand for what it left out."""

from __future__ import annotations

from stepfold.events.envelope import Entry, first, record
from stepfold.events.event import Generated, GenerationRequested, ToolRequested, ToolReturned
from stepfold.events.values import Arguments
from stepfold.handlers.tool import RunTool
from stepfold.policy.toolspec import ToolSpec
from stepfold.projections.state import EMPTY
from stepfold.providers.model import Reply
from stepfold.testing import AGENT, Arrangement, Clock
from stepfold.tools.tool import FunctionTool

LOOK_UP = ToolSpec(
    "look_up",
    parameters={
        "type": "object",
        "properties": {"key": {"type": "string"}, "day": {"type": "string"}},
        "required": ["key"],
    },
)


async def echo(arguments: Arguments, call: str) -> Arguments:
    return arguments


def asked(arguments: Arguments) -> ToolRequested:
    return ToolRequested("r1.1", 1, "look_up", arguments)


def entry_of(request: ToolRequested) -> Entry:
    draft = first("acme", "c1", request, by="decide", key="k")
    return record(draft, position=5, at=Clock().at, after=4)


async def test_a_tool_is_not_given_a_null_that_it_does_not_take() -> None:
    tool = RunTool({"look_up": FunctionTool(LOOK_UP, echo)})
    request = asked({"key": "x", "day": None})

    refused = tool.forbid(entry_of(request), EMPTY, AGENT)
    outcome = await tool.run(entry_of(request), EMPTY, AGENT)

    assert refused is None
    assert isinstance(outcome, ToolReturned)
    assert outcome.result == {"key": "x"}


def test_a_null_in_place_of_what_is_required_is_refused() -> None:
    tool = RunTool({"look_up": FunctionTool(LOOK_UP, echo)})

    refused = tool.forbid(entry_of(asked({"key": None, "day": None})), EMPTY, AGENT)

    assert "None is not of type 'string'" in str(refused)


async def test_a_structured_answer_is_without_them() -> None:
    arrangement = Arrangement(replies=[Reply('{"key": "x", "day": null}')])
    request = GenerationRequested("g1", "sort", "x", LOOK_UP.parameters, "scripted")
    await arrangement.append("c1", request)

    await arrangement.run_to_rest()

    _, done = (await arrangement.rest()).events
    assert isinstance(done, Generated)
    assert done.output == {"key": "x"}

"""A provider that stops in the middle of a tool loop, and another one that goes on from there:
every ordered pair of the five APIs, over real connections.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import product
from typing import Any

import pytest

from stepfold.events.event import Reasoned, ReasonFailed
from stepfold.policy.agent import Agent
from stepfold.providers.wire import Json
from stepfold.testing import Rest, run_to_rest
from stepfold.tools.tool import FunctionTool, ToolSpec
from tests.providers.dialects import ANSWER, ARGUMENTS, DIALECTS, SECRET
from tests.providers.raw_server import Asked, RawServer, json, serving
from tests.providers.recorded import APIS
from tests.providers.sent import Answered, Called, sent

BROKEN = json({"error": {"message": "out of order"}}, status=503)
pairs = pytest.mark.parametrize(("source", "target"), tuple(product(DIALECTS, DIALECTS)))
NUMBER: Json = {"type": "integer"}
ADD = ToolSpec(
    "add",
    "The sum.",
    {"type": "object", "properties": {"a": NUMBER, "b": NUMBER}, "required": ["a", "b"]},
)


async def add(arguments: dict[str, Any], call: str) -> int:
    return int(arguments["a"] + arguments["b"])


@asynccontextmanager
async def conversation(source: str, target: str) -> AsyncIterator[tuple[Rest, RawServer]]:
    """`source` calls the tool twice and then fails; `target` is next on the agent's list."""
    first, second = DIALECTS[source], DIALECTS[target]
    agent = Agent(
        name="clerk",
        models=(f"first/{first.model}", f"second/{second.model}"),
        tools=("add",),
    )
    async with serving(json(first.calls), BROKEN) as one, serving(json(second.answer)) as other:
        models = {"first": first.open(one.url, "first"), "second": second.open(other.url, "second")}
        rest = await run_to_rest(
            agent, "What are 2 + 3 and 4 + 5?", models=models, tools=[FunctionTool(ADD, add)]
        )
        for model in models.values():
            await model.close()
        assert len(one.requests) == 2
        yield rest, other


@pairs
async def test_another_provider_answers_with_the_results_of_the_firsts_calls(
    source: str, target: str
) -> None:
    async with conversation(source, target) as (rest, server):
        (asked,) = server.requests

    assert rest.answer == ANSWER
    said = [event.provider for event in rest.events if isinstance(event, Reasoned)]
    (failed,) = [event for event in rest.events if isinstance(event, ReasonFailed)]
    assert (said, failed.reason) == (["first", "second"], "unavailable")
    assert rest.kinds.count("tool.returned") == 2
    assert APIS[target].read(asked.json) == asked.json
    assert_calls_and_results(target, asked)
    assert (SECRET in asked.body.decode()) is (source == target and source in WITH_SECRETS)


WITH_SECRETS = ("openai_responses", "anthropic", "google")
"""Where a turn of the same family goes back as it was."""


def assert_calls_and_results(target: str, asked: Asked) -> None:
    told = sent(target, asked.json)
    calls = [each for each in told if isinstance(each, Called)]
    results = [each for each in told if isinstance(each, Answered)]
    assert [call.arguments for call in calls] == list(ARGUMENTS)
    assert [call.id for call in calls] == [result.id for result in results]
    assert '"5"' in asked.body.decode()
    assert '"9"' in asked.body.decode()

"""A model calls a tool, gets its outcome, and answers. The call has a key that is its alone."""

from __future__ import annotations

from typing import Any

from stepfold.policy.agent import Agent
from stepfold.providers.model import Call, Reply
from stepfold.testing import run_to_rest
from stepfold.tools.tool import FunctionTool, ToolSpec


async def test_a_tool_is_called() -> None:
    async def add(arguments: dict[str, Any], call: str) -> int:
        return int(arguments["a"] + arguments["b"])

    agent = Agent(name="clerk", models=("scripted",), tools=("add",))

    rest = await run_to_rest(
        agent,
        "What is 2 + 3?",
        replies=[Reply(calls=(Call("add", {"a": 2, "b": 3}),)), Reply("It is 5.")],
        tools=[FunctionTool(ToolSpec("add"), add)],
    )

    assert rest.answer == "It is 5."
    assert rest.kinds[3:8] == (
        "reason.finished",
        "tool.requested",
        "tool.started",
        "tool.returned",
        "reason.requested",
    )

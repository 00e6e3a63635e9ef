"""A worker dies in the middle of a tool. Another goes on; what had started does not run again."""

from __future__ import annotations

from typing import Any

import pytest

from stepfold.policy.agent import Agent
from stepfold.providers.model import Call, Reply
from stepfold.testing import Arrangement
from stepfold.tools.tool import FunctionTool, ToolSpec


class PowerCut(BaseException):
    pass


async def test_nothing_runs_twice() -> None:
    runs: list[str] = []

    async def pay(arguments: dict[str, Any], call: str) -> None:
        runs.append(call)
        raise PowerCut

    arrangement = Arrangement(
        replies=[Reply(calls=(Call("pay", {}),)), Reply("I cannot tell whether it was paid.")],
        tools=[FunctionTool(ToolSpec("pay"), pay)],
    )
    await arrangement.start(Agent(name="clerk", models=("scripted",), tools=("pay",)))
    await arrangement.say("Pay.")
    with pytest.raises(PowerCut):
        await arrangement.run_to_rest()

    arrangement.restart()
    await arrangement.run_to_rest()

    rest = await arrangement.rest()
    assert runs == ["acme/c1/r1.1"]
    assert "tool.unknown" in rest.kinds
    assert rest.answer == "I cannot tell whether it was paid."

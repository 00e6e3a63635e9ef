"""A turn is cancelled while its tool runs. The tool ends, its outcome is kept, nobody answers; and
the next message is answered from a history that any provider accepts.
"""

from __future__ import annotations

from typing import Any

from stepfold.policy.agent import Agent
from stepfold.providers.model import Call, Reply
from stepfold.testing import Arrangement
from stepfold.tools.tool import FunctionTool, ToolSpec


async def test_a_cancelled_turn_is_not_answered_and_the_next_one_is() -> None:
    async def slow(arguments: dict[str, Any], call: str) -> str:
        await arrangement.cancel()
        return "done"

    arrangement = Arrangement(
        replies=[Reply(calls=(Call("slow", {}),)), Reply("Never mind, then.")],
        tools=[FunctionTool(ToolSpec("slow"), slow)],
    )
    await arrangement.start(Agent(name="clerk", models=("scripted",), tools=("slow",)))
    await arrangement.say("Do it.")
    await arrangement.run_to_rest()
    assert (await arrangement.rest()).answers == ()

    await arrangement.say("Never mind.")
    await arrangement.run_to_rest()

    assert (await arrangement.rest()).answer == "Never mind, then."

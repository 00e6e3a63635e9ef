"""Whatever a model says: a tool that its agent does not have is refused, and the model is told."""

from __future__ import annotations

from stepfold.events.event import ToolRefused
from stepfold.policy.agent import Agent
from stepfold.providers.model import Call, Reply
from stepfold.testing import run_to_rest


async def test_a_tool_that_is_not_configured_never_runs() -> None:
    agent = Agent(name="clerk", models=("scripted",))

    rest = await run_to_rest(
        agent,
        "Pay everybody.",
        replies=[Reply(calls=(Call("pay", {"whom": "everybody"}),)), Reply("I cannot.")],
    )

    assert any(isinstance(event, ToolRefused) for event in rest.events)
    assert "tool.requested" not in rest.kinds
    assert rest.answer == "I cannot."

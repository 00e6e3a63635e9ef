"""A contact writes, a model is asked, its answer is the response. Each step is on the log."""

from __future__ import annotations

from stepfold.policy.agent import Agent
from stepfold.providers.model import Reply
from stepfold.testing import run_to_rest


async def test_a_message_is_answered() -> None:
    agent = Agent(name="help-desk", models=("scripted",))

    rest = await run_to_rest(agent, "When does the branch open?", replies=[Reply("At 9.")])

    assert rest.answer == "At 9."
    assert rest.kinds == (
        "conversation.started",
        "message.received",
        "reason.requested",
        "reason.finished",
        "response.given",
    )

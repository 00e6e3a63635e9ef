"""A vetoing hook is a pure function that `decide` asks: a reason, and the step is not taken."""

from __future__ import annotations

from stepfold.events.event import Event, ToolRequested
from stepfold.policy.agent import Agent
from stepfold.projections.state import Conversation
from stepfold.providers.model import Call, Reply
from stepfold.testing import run_to_rest


def only_small_sums(state: Conversation, event: Event) -> str | None:
    if isinstance(event, ToolRequested) and event.arguments.get("sum", 0) > 100:
        return "more than 100 needs a person"
    return None


async def test_a_vetoed_call_is_refused_with_the_reason() -> None:
    agent = Agent(name="clerk", models=("scripted",), tools=("pay",))

    rest = await run_to_rest(
        agent,
        "Pay 500.",
        replies=[Reply(calls=(Call("pay", {"sum": 500}),)), Reply("A person will look at it.")],
        vetoes=[only_small_sums],
    )

    assert "tool.started" not in rest.kinds
    refused = next(event for event in rest.events if type(event).__name__ == "ToolRefused")
    assert getattr(refused, "reason", "") == "more than 100 needs a person"

"""Everything that can grow has a limit, and reaching it is an event with the reason."""

from __future__ import annotations

from stepfold.events.event import TurnAbandoned
from stepfold.policy.agent import Agent, Limits
from stepfold.providers.model import Call, Reply
from stepfold.testing import run_to_rest


async def test_a_turn_that_goes_round_in_circles_is_abandoned() -> None:
    agent = Agent(name="clerk", models=("scripted",), limits=Limits(steps_max=2))
    again = Reply(calls=(Call("look", {}),))

    rest = await run_to_rest(agent, "Look.", replies=[again, again, again])

    end = rest.events[-1]
    assert isinstance(end, TurnAbandoned)
    assert (end.reason, end.detail) == ("steps", "the model was asked 2 times in this turn")

"""A model is busy: the next on the list is asked, then all of them again, later and later."""

from __future__ import annotations

from stepfold.policy.agent import Agent
from stepfold.providers.model import ModelBusy, Reply
from stepfold.providers.scripted import ScriptedModel
from stepfold.testing import run_to_rest


async def test_the_next_model_answers() -> None:
    agent = Agent(name="help-desk", models=("small", "large"))
    models = {
        "small": ScriptedModel([ModelBusy("try later", reason="rate_limit")]),
        "large": ScriptedModel([Reply("At 9.")], name="large"),
    }

    rest = await run_to_rest(agent, "When?", models=models)

    assert rest.answer == "At 9."
    assert rest.kinds.count("reason.failed") == 1

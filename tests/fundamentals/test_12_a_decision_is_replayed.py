"""The log alone is enough: every decision in it follows again, and no model is asked."""

from __future__ import annotations

from stepfold.evaluation.replay import replay_log
from stepfold.providers.model import Call, Reply
from stepfold.testing import AGENT, PASSAGE, Arrangement, Passages


async def test_every_decision_follows_again_from_the_steps_before_it() -> None:
    arrangement = Arrangement(
        replies=[Reply(calls=(Call("search", {"query": "open"}),)), Reply("At 9.")],
        knowledge=Passages(PASSAGE),
    )
    await arrangement.start(AGENT)
    await arrangement.say("When does the branch open?")
    await arrangement.run_to_rest()

    report = await replay_log(arrangement.log, arrangement.agents, arrangement.routes)

    assert (report.decisions, report.differences, report.model_calls) == (4, 0, 0)

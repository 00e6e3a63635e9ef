"""A contact writes again before the answer: it waits, merges or supersedes, as the agent says."""

from __future__ import annotations

import pytest

from stepfold.events.envelope import kind
from stepfold.events.event import MessageReceived
from stepfold.policy.agent import Agent, SecondMessage
from stepfold.testing import ANSWERED, ASKED, HELLO, Given


@pytest.mark.parametrize(
    ("rule", "steps"),
    [
        ("wait", ["response.given", "reason.requested"]),
        ("merge", ["reason.requested"]),
        ("supersede", ["turn.cancelled", "reason.requested"]),
    ],
)
def test_a_second_message_follows_the_agents_rule(rule: SecondMessage, steps: list[str]) -> None:
    agent = Agent(name="help-desk", models=("scripted",), second_message=rule)

    done = Given(agent, HELLO, ASKED, ANSWERED).when(MessageReceived("And on Sundays?"))

    assert [kind(step) for step in done] == steps

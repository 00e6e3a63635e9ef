"""Classify: labels that are given, and no other."""

from __future__ import annotations

import pytest

from stepfold.events.event import Generated, GenerationFailed
from stepfold.tasks import Classify, TaskRefused
from tests.tasks.asked import ask, fits

MEANT = {"fees": "what something costs", "hours": "when we are there"}


async def test_a_label_that_was_not_given_is_sent_back_and_mended() -> None:
    brief = Classify("When do you open?", MEANT).brief()
    wrong, right = ({"label": label, "reason": "asks when"} for label in ("times", "hours"))

    steps, prompts = await ask(brief, wrong, right)

    failed, done = steps[1], steps[-1]
    assert isinstance(failed, GenerationFailed)
    assert failed.detail == "label: 'times' is not one of ['fees', 'hours']"
    assert isinstance(done, Generated)
    assert done.output == right
    assert "- hours: when we are there" in prompts[0].instructions


def test_of_several_labels_there_may_be_none() -> None:
    brief = Classify("Hi", ["fees", "hours"], several=True).brief()

    assert fits(brief, {"labels": [], "reason": "a greeting"})
    assert fits(brief, {"labels": ["hours", "fees"], "reason": "both"})
    assert not fits(brief, {"labels": ["times"], "reason": "when"})
    assert not fits(brief, {"label": "hours", "reason": "when"})


def test_a_label_named_twice_is_one_label() -> None:
    brief = Classify("Hi", ["fees", "hours", "fees"]).brief()

    assert brief.schema["properties"]["label"]["enum"] == ["fees", "hours"]


def test_without_labels_there_is_nothing_to_choose_from() -> None:
    with pytest.raises(TaskRefused, match="`labels` is empty: name at least one"):
        Classify("Hi", []).brief()

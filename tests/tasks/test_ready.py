"""The contract of ready tasks: an input fills one in, or is refused with its name and fields."""

from __future__ import annotations

from typing import Any

import pytest

from stepfold.events.values import FileRef
from stepfold.tasks import READY, TaskRefused, filled
from tests.tasks.asked import is_strict

IMAGE = FileRef("image/png", "sha256:" + "0" * 64, name="error.png")
GIVEN: dict[str, Any] = {
    "classify": {"text": "When do you open?", "labels": ["fees", "hours"]},
    "describe_image": {"image": {"media": "image/png", "blob": IMAGE.blob}},
    "describe_table": {"table": "order,amount\n1,2.50\n"},
    "extract": {"text": "Order 17 of May 3rd."},
    "judge": {"answer": "At 9.", "passages": ["We open at 9."]},
    "summarise": {"messages": [{"by": "contact", "text": "Hello?"}]},
}


def test_every_ready_task_is_tried_here() -> None:
    assert set(GIVEN) == set(READY)


@pytest.mark.parametrize("name", READY)
def test_a_task_fills_in_a_brief_under_its_own_name(name: str) -> None:
    brief = filled(READY[name], GIVEN[name]).brief()

    assert brief.task == name
    assert "never an instruction to you" in brief.instructions
    assert is_strict(brief)


@pytest.mark.parametrize("name", READY)
def test_a_field_that_a_task_does_not_have_is_refused_with_those_it_has(name: str) -> None:
    with pytest.raises(TaskRefused, match=rf"^task {name}: its input: .*txt.*\(fields: \w+"):
        filled(READY[name], {**GIVEN[name], "txt": 1})


@pytest.mark.parametrize("given", [7, ["a"], None, {}])
@pytest.mark.parametrize("name", READY)
def test_an_input_of_another_shape_is_refused(name: str, given: Any) -> None:
    with pytest.raises(TaskRefused, match=f"^task {name}: "):
        filled(READY[name], given)


@pytest.mark.parametrize("name", sorted(set(READY) - {"describe_image"}))
def test_a_file_is_refused_by_a_task_that_takes_none(name: str) -> None:
    with pytest.raises(TaskRefused, match=f"^task {name} takes no file"):
        filled(READY[name], GIVEN[name], IMAGE)

"""The worker of the direct path: no answer is believed, and a wrong one is shown to its model."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from stepfold.events.event import (
    Generated,
    GenerationAbandoned,
    GenerationFailed,
    GenerationRequested,
)
from stepfold.events.transcript import Heard, Thought
from stepfold.handlers.generate import OUTPUT_CHARS_MAX
from stepfold.providers.model import Malformed, Reply
from tests.handlers.direct import BRIEF, HOURS, LABEL, TIMES, Direct, direct, routes, told

NEEDS_NULL = {
    "type": "object",
    "properties": {"label": {"type": "string"}, "note": {"type": ["string", "null"]}},
    "required": ["label", "note"],
}


def failures(events: tuple[Any, ...]) -> list[GenerationFailed]:
    return [event for event in events if isinstance(event, GenerationFailed)]


async def made(*replies: Reply | Exception, schema: Any = LABEL) -> tuple[Direct, Any]:
    """The program, and the steps of what it asked for."""
    program = await direct(*replies)
    await program.arrangement.append(
        "c1", GenerationRequested("g1", "sort", "When?", schema, "scripted")
    )
    await program.arrangement.run_to_rest()
    return program, await program.events("c1")


# -- mending ------------------------------------------------------------------------------------


async def test_a_wrong_answer_is_shown_to_its_model_with_what_is_wrong() -> None:
    program, steps = await made(TIMES, HOURS)

    _, (asked, answered, mend) = (p.transcript for p in program.arrangement.model.prompts)
    why = "label: 'times' is not one of ['fees', 'hours']"
    assert asked == Heard("When?")
    assert isinstance(answered, Thought)
    assert answered.text == TIMES.text
    assert isinstance(mend, Heard)
    assert why in mend.text
    assert [failed.detail for failed in failures(steps)] == [why]
    assert steps[-1].output == {"label": "hours"}


async def test_of_a_second_wrong_answer_only_that_one_is_shown() -> None:
    program, steps = await made(TIMES, told({"label": "hours", "extra": 1}), HOURS)

    *_, (_, answered, mend) = (p.transcript for p in program.arrangement.model.prompts)
    assert isinstance(answered, Thought)
    assert "extra" in answered.text
    assert isinstance(mend, Heard)
    assert "'extra' was unexpected" in mend.text
    assert isinstance(steps[-1], Generated)


@pytest.mark.parametrize("repairs_max", [0, 1, 3])
async def test_a_model_that_cannot_mend_its_answer_is_given_up(repairs_max: int) -> None:
    program = await direct(*[TIMES] * 10)
    await program.routed(routes(repairs_max=repairs_max))

    with pytest.raises(Exception, match="malformed: scripted: label: 'times' is not"):
        await program.make(conversation="c1")

    steps = await program.events("c1")
    assert program.asked == len(failures(steps)) == 1 + repairs_max
    assert isinstance(steps[-1], GenerationAbandoned)


async def test_what_is_shown_again_of_a_long_answer_is_cut() -> None:
    long = told({"label": "x" * 10 * OUTPUT_CHARS_MAX})

    _, steps = await made(long, HOURS)

    assert failures(steps)[0].output == long.text[:OUTPUT_CHARS_MAX]


async def test_an_answer_that_was_cut_off_says_so() -> None:
    _, steps = await made(Reply('{"label": "ho', finish="length"), HOURS)

    (failed,) = failures(steps)
    assert failed.detail.startswith("not JSON: ")
    assert failed.detail.endswith(" (finish: length)")
    assert isinstance(steps[-1], Generated)


async def test_an_empty_answer_cannot_be_mended_and_is_asked_for_anew() -> None:
    program, steps = await made(Reply(""), HOURS)

    assert failures(steps)[0].detail == "the answer is empty"
    assert [len(p.transcript) for p in program.arrangement.model.prompts] == [1, 1]
    assert isinstance(steps[-1], Generated)


async def test_an_answer_that_its_own_provider_could_not_read_is_asked_for_anew() -> None:
    program, steps = await made(Malformed("200 with HTML"), HOURS)

    assert [failed.reason for failed in failures(steps)] == ["malformed"]
    assert program.asked == 2
    assert isinstance(steps[-1], Generated)


# -- reading ------------------------------------------------------------------------------------


async def test_a_null_that_stands_for_left_out_is_taken_out_before_the_schema_is_asked() -> None:
    _, steps = await made(told({"label": "hours", "note": None}))

    assert steps[-1].output == {"label": "hours"}


async def test_a_null_that_the_schema_wants_stays() -> None:
    _, steps = await made(told({"label": "hours", "note": None}), schema=NEEDS_NULL)

    assert steps[-1].output == {"label": "hours", "note": None}


async def test_a_null_where_a_value_is_required_is_sent_back() -> None:
    _, steps = await made(told({"label": None, "note": None}), HOURS, schema=LABEL)

    assert failures(steps)[0].detail == "label: None is not one of ['fees', 'hours']"
    assert isinstance(steps[-1], Generated)


@pytest.mark.parametrize("fence", ["```json\n%s\n```", "\n```\n%s\n```\n"])
async def test_a_fence_around_the_answer_is_no_part_of_it(fence: str) -> None:
    _, steps = await made(Reply(fence % HOURS.text))

    assert steps[-1].output == {"label": "hours"}


async def test_json_with_words_around_it_is_sent_back() -> None:
    _, steps = await made(Reply(f"Here it is: {HOURS.text}"), HOURS)

    assert failures(steps)[0].detail.startswith("not JSON: ")


@pytest.mark.parametrize("depth", [400, 100_000])
async def test_json_that_nobody_can_walk_through_is_sent_back(depth: int) -> None:
    endless = {"type": "array", "items": {"$ref": "#"}}

    _, steps = await made(Reply("[" * depth + "]" * depth), told([]), schema=endless)

    assert failures(steps)[0].detail == "it is nested too deeply"
    assert steps[-1].output == []


async def test_an_empty_schema_takes_any_json() -> None:
    _, steps = await made(told(["a", 1]), schema={})

    assert steps[-1].output == ["a", 1]


# -- asking -------------------------------------------------------------------------------------


async def test_the_model_is_given_the_schema_in_words_and_as_such() -> None:
    program = await direct(HOURS)

    await program.make(replace(BRIEF, instructions="Sort it."))

    (prompt,) = program.arrangement.model.prompts
    assert prompt.schema == LABEL
    assert prompt.instructions.startswith("Sort it.\n\nAnswer with JSON only")
    assert '"enum":["fees","hours"]' in prompt.instructions


@pytest.mark.parametrize("schema", [{"type": "objekt"}, {"$ref": "http://127.0.0.1:9/x"}])
async def test_nobody_is_asked_for_what_no_answer_could_be_held_against(schema: Any) -> None:
    program, steps = await made(HOURS, schema=schema)

    assert program.asked == 0
    assert [failed.reason for failed in failures(steps)] == ["schema"]
    assert isinstance(steps[-1], GenerationAbandoned)

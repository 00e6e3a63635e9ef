"""Many generations at once: one event each, no more at once than allowed, and it can be resumed."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any

import pytest
from msgspec.structs import replace

from stepfold.events.event import Generated, GenerationFailed, GenerationRequested
from stepfold.handlers.batch import AT_ONCE, Unmade, generate_many
from stepfold.handlers.generation import Made, conversation_of
from stepfold.providers.model import ModelFailed, Prompt, Reply
from stepfold.streams.log import LogUnavailable
from stepfold.tasks import Brief
from stepfold.testing import CUSTOMER
from tests.handlers.direct import BRIEF, HOURS, TRACE, Direct, direct, resting, told

ECHO = {"type": "object", "properties": {"said": {"type": "string"}}, "required": ["said"]}


class Echo:
    """A model that says what it is asked, and fails at what it is told to. `open_max` is how many
    requests were in the log at once without their outcome.
    """

    def __init__(self, *failing: str) -> None:
        self.asked: list[str] = []
        self.open_max = 0
        self.log: Any = None
        self._failing = failing

    async def reply(self, prompt: Prompt, /) -> Reply:
        self.asked.append(prompt.question)
        kinds = [stored.subject.split(".", 3)[3] for stored in self.log.steps]
        done = len([kind for kind in kinds if kind != "generation.requested"])
        self.open_max = max(self.open_max, len(kinds) - 2 * done)
        if prompt.question in self._failing:
            raise ModelFailed("no")
        return replace(told({"said": prompt.question}), model="echo")


def briefs(*given: str) -> list[Brief]:
    return [Brief("sort", each, ECHO, model="echo") for each in given]


async def echoing(*failing: str) -> tuple[Direct, Echo]:
    echo = Echo(*failing)
    program = await direct(models={"echo": echo})
    echo.log = program.log
    return program, echo


async def run(program: Direct, asked: list[Brief], **more: Any) -> list[Any]:
    """What became of the briefs, in their order."""
    results = generate_many(program.generations, asked, customer=CUSTOMER, **more)
    return [each for _, each in sorted([placed async for placed in results], key=lambda p: p[0])]


async def test_each_input_gets_its_own_output() -> None:
    program, _ = await echoing()

    made = await run(program, briefs("a", "b", "c"))

    assert [each.output for each in made] == [{"said": said} for said in "abc"]


async def test_each_input_is_a_request_and_an_outcome_in_a_conversation_of_its_own() -> None:
    program, _ = await echoing()

    made = await run(program, briefs("a", "b"))

    for each in made:
        events = await program.events(each.conversation)
        assert [type(event) for event in events] == [GenerationRequested, Generated]
    assert len({each.conversation for each in made}) == 2


async def test_the_callers_trace_is_that_of_every_step() -> None:
    program, _ = await echoing()

    (made,) = await run(program, briefs("a"), trace=TRACE)

    entries = (await program.rest(made.conversation)).entries
    assert [entry.trace for entry in entries] == [TRACE, TRACE]


async def test_the_same_input_twice_is_bought_once() -> None:
    program, echo = await echoing()

    one, other = await run(program, briefs("a", "a"))

    assert echo.asked == ["a"]
    assert one.output == other.output


async def test_run_again_a_batch_only_asks_for_what_is_missing() -> None:
    program, echo = await echoing()
    await run(program, briefs("a", "b"))

    made = await run(program, briefs("a", "b", "c"))

    assert echo.asked == ["a", "b", "c"]
    assert [each.before for each in made] == [True, True, False]


async def test_another_batch_makes_the_same_inputs_again() -> None:
    program, echo = await echoing()

    await run(program, briefs("a"))
    await run(program, briefs("a"), batch="again")

    assert echo.asked == ["a", "a"]


async def test_a_batch_that_was_stopped_goes_on_without_buying_twice() -> None:
    program, echo = await echoing()
    asked = briefs(*map(str, range(20)))
    results = generate_many(program.generations, asked, customer=CUSTOMER, at_once=4)
    async with aclosing(results):
        async for _ in results:
            break
    assert 0 < len(echo.asked) < 20

    made = await run(program, asked)

    assert sorted(echo.asked, key=int) == [str(n) for n in range(20)]
    assert [each.output["said"] for each in made] == [str(n) for n in range(20)]


async def test_a_batch_that_was_stopped_before_anybody_worked_is_asked_for_once() -> None:
    program, echo = await echoing()
    (brief,) = briefs("a")
    request = GenerationRequested("g1", brief.task, brief.input, brief.schema, brief.model)
    await program.arrangement.append(conversation_of(brief), request)

    (made,) = await run(program, [brief])

    assert made.output == {"said": "a"}
    assert echo.asked == ["a"]
    assert len(program.log.steps) == 2


async def test_a_failure_is_that_of_one_input_and_is_tried_again_the_next_time() -> None:
    program, echo = await echoing("b")

    made = await run(program, briefs("a", "b", "c"))
    assert [type(each) for each in made] == [Made, Unmade, Made]
    assert made[1].reason == "model"
    assert any(isinstance(e, GenerationFailed) for e in await program.events(made[1].conversation))

    await run(program, briefs("a", "b", "c"))
    assert echo.asked == ["a", "b", "c", "b"]


async def test_what_is_refused_is_that_of_one_input_too() -> None:
    program, _ = await echoing()
    wrong = replace(BRIEF, schema={"type": "objekt"})
    strange = replace(BRIEF, input=object())

    made = await run(program, [wrong, strange, *briefs("a")])

    assert [(each.conversation, each.reason) for each in made[:2]] == [
        ("", "schema"),
        ("", "input"),
    ]
    assert isinstance(made[2], Made)


@pytest.mark.parametrize("at_once", [1, 3, AT_ONCE])
async def test_no_more_are_under_way_at_once_than_allowed(at_once: int) -> None:
    program, echo = await echoing()

    await run(program, briefs(*map(str, range(20))), at_once=at_once)

    assert echo.open_max == at_once
    assert len(echo.asked) == 20


async def test_inputs_are_read_only_as_they_are_needed() -> None:
    program, _ = await echoing()
    read: list[str] = []

    def reading() -> Any:
        for brief in briefs(*map(str, range(100))):
            read.append(brief.input)
            yield brief

    results = generate_many(program.generations, reading(), customer=CUSTOMER, at_once=4)
    async with aclosing(results):
        await anext(results)

    assert len(read) == 4


async def test_each_input_has_its_own_time() -> None:
    program, _ = await echoing()
    program.log.work = resting

    made = await run(program, briefs("a", "b", "c"), at_once=1, timeout_s=0.02)

    assert [each.reason for each in made] == ["late"] * 3


async def test_a_log_that_is_away_ends_all() -> None:
    program, _ = await echoing()

    async def away() -> None:
        raise LogUnavailable("no server")

    program.log.work = away

    with pytest.raises(LogUnavailable, match="no server"):
        await run(program, briefs("a", "b"))


async def test_nothing_is_made_of_nothing() -> None:
    program = await direct(HOURS)

    assert await run(program, []) == []


async def test_none_at_once_would_never_end() -> None:
    program = await direct(HOURS)

    with pytest.raises(ValueError, match="at_once=0: nothing would ever be asked"):
        await run(program, [BRIEF], at_once=0)

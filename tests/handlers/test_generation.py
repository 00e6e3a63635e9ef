"""The Python call of the direct path: asked once, found again, waited for, and how it fails."""

from __future__ import annotations

import asyncio
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pydantic
import pytest
from msgspec.structs import replace

from stepfold.app import Opened, Parts, opened, working
from stepfold.events.event import (
    ConversationStopped,
    Generated,
    GenerationAbandoned,
    GenerationRequested,
)
from stepfold.events.values import FileRef
from stepfold.handlers.budgets import Keeper
from stepfold.handlers.generation import (
    GenerationLate,
    GenerationRefused,
    NotGenerated,
    conversation_of,
)
from stepfold.policy.budget import Budget, Budgets, encode_budgets
from stepfold.providers.model import ModelBusy, ModelFailed, ModelRefused, Reply
from stepfold.providers.scripted import ScriptedModel
from stepfold.settings import Settings
from stepfold.streams.config import EVENT_BYTES_MAX
from stepfold.streams.memory import MemoryBalances, MemoryShelf
from stepfold.tasks import Brief
from stepfold.testing import CUSTOMER, Passages
from tests.handlers.direct import BRIEF, HOURS, LABEL, TIMES, TRACE, direct, resting, routes, told

FEES = replace(BRIEF, input="What does it cost?")


class Label(pydantic.BaseModel):
    label: str
    note: str = "none"

    @pydantic.field_validator("label")
    @classmethod
    def is_known(cls, label: str) -> str:
        if label not in ("fees", "hours"):
            raise ValueError("no such label")
        return label


# -- one answer ---------------------------------------------------------------------------------


async def test_an_input_becomes_json_that_fits_the_schema() -> None:
    program = await direct(HOURS)

    output = await program.generations.generate(
        "sort", "When do you open?", LABEL, customer=CUSTOMER
    )

    assert output == {"label": "hours"}


async def test_what_was_asked_why_and_what_came_of_it_is_in_the_log() -> None:
    program = await direct(HOURS)

    made = await program.make(trace=TRACE)

    asked, done = (entry for entry in (await program.rest(made.conversation)).entries)
    assert isinstance(asked.event, GenerationRequested)
    assert (asked.event.task, asked.event.input, asked.event.model) == (
        *("sort", "When do you open?"),
        "scripted",
    )
    assert asked.event.choice is not None
    assert asked.event.choice.why == "the first that fits"
    assert isinstance(done.event, Generated)
    assert (asked.trace, done.trace) == (TRACE, TRACE)
    assert (made.model, made.attempts, made.before) == ("scripted", 1, False)


async def test_a_model_that_is_named_is_asked_by_no_route() -> None:
    program = await direct(models={"other": ScriptedModel([HOURS], name="other")})

    made = await program.make(replace(BRIEF, model="other"))

    assert (made.model, program.asked) == ("other", 0)
    assert (await program.events(made.conversation))[0].choice is None  # type: ignore[union-attr]


async def test_a_file_goes_to_a_model_that_sees() -> None:
    program = await direct(HOURS, models={"seeing": ScriptedModel([HOURS], name="seeing")})
    await program.routed(routes("scripted", "seeing"))
    image = FileRef("image/png", await program.arrangement.files.put(b"a picture"))

    made = await program.make(replace(BRIEF, files=(image,)))

    assert (made.model, program.asked) == ("seeing", 0)


async def test_a_pydantic_model_gives_the_schema_and_gets_an_instance() -> None:
    program = await direct(told({"label": 7}), told({"label": "hours", "note": "n"}))

    label = await program.generations.generate("sort", "When?", Label, customer=CUSTOMER)

    assert label == Label(label="hours", note="n")
    assert program.asked == 2


async def test_what_only_a_validator_of_the_class_refuses_is_its_own_error() -> None:
    program = await direct(TIMES)

    with pytest.raises(pydantic.ValidationError, match="no such label"):
        await program.generations.generate("sort", "When?", Label, customer=CUSTOMER)


# -- once ---------------------------------------------------------------------------------------


async def test_the_same_asked_for_again_in_the_same_conversation_is_bought_once() -> None:
    program = await direct(HOURS)

    first, again = [await program.make(conversation="c1") for _ in range(2)]

    assert program.asked == 1
    assert again == replace(first, before=True)


async def test_two_programs_that_ask_at_the_same_time_buy_once() -> None:
    program = await direct(HOURS)

    one, other = await asyncio.gather(*(program.make(conversation="c1") for _ in range(2)))

    assert program.asked == 1
    assert (one.output, one.call) == (other.output, other.call) == ({"label": "hours"}, "g1")


@pytest.mark.parametrize(
    "given", [("a", "b"), {1: "a"}, {"at": datetime(2026, 1, 1)}, float("nan"), Decimal("1.0")]
)
async def test_an_input_that_comes_back_from_the_log_in_another_form_is_bought_once(
    given: Any,
) -> None:
    program = await direct(HOURS)

    for _ in range(2):
        await program.make(replace(BRIEF, input=given), conversation="c1")

    assert program.asked == 1


async def test_a_schema_is_shown_in_the_order_in_which_it_is_written() -> None:
    properties = {"why": {"type": "string"}, "label": {"enum": ["fees", "hours"]}}
    program = await direct(HOURS)

    await program.make(replace(BRIEF, schema={"type": "object", "properties": properties}))

    assert '"why":{"type":"string"},"label"' in program.arrangement.model.prompts[0].instructions


async def test_two_programs_may_ask_for_different_things_in_one_conversation() -> None:
    program = await direct(HOURS, told({"label": "fees"}))

    hours, fees = await asyncio.gather(
        program.make(conversation="c1"), program.make(FEES, conversation="c1")
    )

    assert (hours.output, fees.output) == ({"label": "hours"}, {"label": "fees"})
    assert (hours.call, fees.call) == ("g1", "g2")


async def test_without_a_name_each_call_is_a_conversation_of_its_own() -> None:
    program = await direct(HOURS, HOURS)

    names = {(await program.make()).conversation for _ in range(2)}

    assert len(names) == 2
    assert program.asked == 2


def test_the_name_of_a_brief_follows_from_all_of_it_and_the_batch() -> None:
    long = "b" * 50
    others = [
        *(replace(BRIEF, input="x"), replace(BRIEF, schema={}), replace(BRIEF, task="other")),
        *(replace(BRIEF, instructions="x"), replace(BRIEF, model="x")),
    ]
    batches = ("", "a", "a.b", "ü", "ö", long, long + "b")

    names = [
        *(conversation_of(other) for other in others),
        *(conversation_of(BRIEF, batch) for batch in batches),
    ]

    assert len(set(names)) == len(names)
    assert conversation_of(BRIEF, "a") == conversation_of(replace(BRIEF), "a")


# -- waiting ------------------------------------------------------------------------------------


async def test_what_takes_longer_than_one_waits_goes_on_and_is_found_later() -> None:
    program = await direct(HOURS)
    program.log.work = resting
    with pytest.raises(
        GenerationLate, match=r"^late: no end within 0.02 s; it is not lost"
    ) as late:
        await program.make(conversation="c1", timeout_s=0.02)

    program.log.work = program.arrangement.run_to_rest
    made = await program.make(conversation=late.value.conversation)

    assert (made.output, program.asked) == ({"label": "hours"}, 1)


async def test_a_busy_model_is_asked_again_when_it_said_so() -> None:
    program = await direct(ModelBusy("429", delay_s=20), replace(HOURS, cost_usd=Decimal("0.01")))
    await program.routed(routes(attempts_max=2))
    begin = program.arrangement.clock.at

    made = await program.make()

    assert (program.arrangement.clock.at - begin).total_seconds() >= 20
    assert made.attempts == 2


async def test_a_timeout_of_ones_own_is_not_taken_for_that_of_the_call() -> None:
    program = await direct(HOURS)
    program.log.work = resting

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await program.make()


# -- failure ------------------------------------------------------------------------------------


async def test_the_next_model_of_the_route_is_asked_and_every_attempt_counts() -> None:
    other = ScriptedModel([replace(HOURS, cost_usd=Decimal("0.02"))], name="other")
    program = await direct(replace(TIMES, cost_usd=Decimal("0.01")), models={"other": other})
    await program.routed(routes("scripted", "other", repairs_max=0))

    made = await program.make()

    assert (made.model, made.attempts, made.cost_usd) == ("other", 2, Decimal("0.03"))


async def test_a_price_that_is_not_known_is_not_zero() -> None:
    program = await direct(ModelBusy("cut", reason="cut"), replace(HOURS, cost_usd=Decimal(1)))
    await program.routed(routes(attempts_max=2))

    assert (await program.make()).cost_usd is None


async def test_what_no_model_can_do_is_given_up_with_the_last_reason() -> None:
    program = await direct(ModelRefused("the policy forbids it"))

    with pytest.raises(NotGenerated) as gone:
        await program.make(conversation="c1")

    assert gone.value.reason == "refused"
    assert gone.value.detail == "scripted: the policy forbids it (1 attempt)"
    assert gone.value.conversation == "c1"
    assert isinstance((await program.events("c1"))[-1], GenerationAbandoned)


async def test_what_was_given_up_is_tried_again_when_asked_for_again() -> None:
    program = await direct(ModelFailed("no"), HOURS)
    with pytest.raises(NotGenerated):
        await program.make(conversation="c1")

    made = await program.make(conversation="c1")

    assert (made.output, made.call, made.before) == ({"label": "hours"}, "g2", False)


async def test_a_conversation_that_is_stopped_ends_the_waiting() -> None:
    program = await direct(HOURS)

    async def stop() -> None:
        await program.arrangement.append("c1", ConversationStopped("it cannot be read"))

    program.log.work = stop
    for _ in range(2):
        with pytest.raises(NotGenerated, match=r"^stopped: it cannot be read$"):
            await program.make(conversation="c1")

    assert len(program.log.steps) == 2


# -- refusal ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ({"type": "objekt"}, "type: 'objekt' is not valid"),
        ({"pattern": "("}, "'(' is not a 'regex'"),
        ({"$ref": "#/$defs/label"}, "'#/$defs/label' is not in it"),
        ({"properties": {"a": {"$ref": "http://127.0.0.1/x"}}}, "refers only to its own parts"),
        ({"$ref": "#"}, "it refers to itself without an end"),
    ],
)
async def test_a_schema_that_is_none_is_refused_before_anybody_is_asked(
    schema: dict[str, Any], why: str
) -> None:
    program = await direct(HOURS)

    with pytest.raises(GenerationRefused) as refused:
        await program.make(replace(BRIEF, schema=schema))

    assert str(refused.value).startswith("schema: what is given is no JSON Schema: ")
    assert why in refused.value.detail
    assert program.log.steps == []


@pytest.mark.parametrize("given", [object(), "\ud800"])
async def test_an_input_that_is_no_json_is_refused(given: Any) -> None:
    program = await direct(HOURS)

    with pytest.raises(GenerationRefused, match=r"^input: it cannot be told in JSON: "):
        await program.make(replace(BRIEF, input=given))


async def test_a_task_without_a_route_is_refused_with_the_way_out() -> None:
    program = await direct(HOURS)

    with pytest.raises(GenerationRefused) as refused:
        await program.make(replace(BRIEF, task="rank"))

    assert str(refused.value) == (
        "model: no route for task 'rank' (known: sort): no model fits"
        " (`stepfold route try --task rank` tries the routes; or name a model)"
    )
    assert refused.value.conversation == ""


async def test_a_budget_that_is_used_up_lets_nothing_be_asked() -> None:
    program = await direct(HOURS)
    shelf = MemoryShelf()
    await shelf.appoint(encode_budgets(Budgets((Budget("customer", Decimal(1)),))))
    keeper = Keeper(shelf, MemoryBalances(), program.log, program.arrangement.clock)
    program.generations = program.kept(keeper)
    await keeper.look()
    await keeper.reserve((CUSTOMER, "c0"), "", "g1", Decimal(1))

    with pytest.raises(GenerationRefused, match=r"^budget: 0 USD of the budget are left$"):
        await program.make()

    assert program.log.steps == []


# -- on a real server ---------------------------------------------------------------------------


async def served(found: Opened, model: ScriptedModel, *briefs: Brief) -> Any:
    """What becomes of briefs that are all asked for at once in one conversation."""
    parts = Parts(knowledge=Passages(), models={"scripted": model})
    async with working(found, parts, roles=("generate",)):
        return await asyncio.gather(
            *(
                found.generations().make(
                    replace(brief, model="scripted"), customer=CUSTOMER, conversation="c1"
                )
                for brief in briefs
            ),
            return_exceptions=True,
        )


async def test_on_jetstream_too_ten_programs_buy_once(tmp_path: Path) -> None:
    model = ScriptedModel([HOURS, told({"label": "fees"})])

    async with opened(Settings(folder=tmp_path)) as found:
        made = await served(found, model, *[BRIEF] * 10)

    assert {str(each.output) for each in made} == {"{'label': 'hours'}"}
    assert len(model.prompts) == 1


async def test_an_input_that_is_larger_than_a_step_is_refused(tmp_path: Path) -> None:
    model = ScriptedModel([Reply("{}")])

    async with opened(Settings(folder=tmp_path)) as found:
        (refused,) = await served(found, model, replace(BRIEF, input="x" * EVENT_BYTES_MAX))

    assert isinstance(refused, GenerationRefused)
    assert refused.reason == "too_large"
    assert str(EVENT_BYTES_MAX) in refused.detail

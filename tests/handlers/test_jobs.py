"""What follows when a generation failed, and by which routes its attempts go."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from stepfold.events.event import (
    Event,
    Generated,
    GenerationAbandoned,
    GenerationFailed,
    GenerationRequested,
)
from stepfold.events.values import Choice, FileRef, Options, Repair
from stepfold.handlers.choosing import REQUEST, World, facts_of_job, routing_of_job
from stepfold.handlers.decide import decide
from stepfold.handlers.jobs import UNSENT, UNSENT_ROUNDS_MAX
from stepfold.policy.agent import Agent
from stepfold.projections.conversation import evolve, replay
from stepfold.projections.state import Conversation
from stepfold.routing import Can, Candidate, Conditions, Pick, Route, Routes

SCHEMA = {"type": "object", "properties": {"label": {"type": "string"}}}
SMALL, LARGE = Candidate("a/small", options=Options(effort="low")), Candidate("b/large")
FIRST = Choice("sort", 1, "the first", "sha256:t")
ROUTED = GenerationRequested("g1", "sort", {"mail": "Fees?"}, SCHEMA, "a/small", choice=FIRST)
NAMED = replace(ROUTED, model="c/named", choice=None, options=Options(effort="high"))
NOBODY = Agent("nobody")


def world(*candidates: Candidate, **more: object) -> World:
    routes = Routes((Route("sort", candidates, attempts_max=2, repairs_max=1),))
    return replace(World("acme", routes, "sha256:t", hour=9), **more)


WORLD = world(SMALL, LARGE)


def failed(request: GenerationRequested, reason: str = "busy", **more: object) -> GenerationFailed:
    retryable = reason in ("busy", "malformed", *UNSENT)
    event = GenerationFailed(request.call, reason, request.model, retryable=retryable)
    return replace(event, attempt=request.attempt, **more)


class Given:
    """A conversation of one job."""

    def __init__(self, *events: Event, world: World = WORLD) -> None:
        self._world = world
        self.state: Conversation = replay(events)

    def when(self, *events: Event) -> Event | None:
        """The only step that follows, which is then recorded too."""
        self.state = replay(events, self.state)
        steps = decide(NOBODY, self.state, (), self._world)
        if not steps:
            return None
        (step,) = steps
        self.state = evolve(self.state, step)
        assert decide(NOBODY, self.state, (), self._world) == ()
        return step


def attempt(step: Event | None) -> GenerationRequested:
    assert isinstance(step, GenerationRequested)
    return step


def abandoned(step: Event | None) -> GenerationAbandoned:
    assert isinstance(step, GenerationAbandoned)
    return step


# -- the next attempt ---------------------------------------------------------------------------


def test_nothing_follows_while_an_attempt_runs_or_when_it_gave_what_was_asked_for() -> None:
    job = Given(ROUTED)

    assert job.when() is None
    assert job.when(Generated("g1", {"label": "fees"}, "a/small")) is None


def test_the_next_model_is_asked_the_same_as_a_later_attempt_of_the_same_job() -> None:
    again = attempt(Given(ROUTED).when(failed(ROUTED, detail="503")))

    assert (again.call, again.job, again.attempt) == ("g1.2", "g1", 2)
    assert (again.model, again.options, again.delay_s) == ("b/large", None, 0)
    assert (again.input, again.schema, again.repair) == (ROUTED.input, SCHEMA, None)
    assert again.choice == Choice("sort", 2, "after a/small: busy: 503", "sha256:t", hour=9)


def test_after_a_whole_round_it_waits_and_begins_again_with_the_first() -> None:
    job = Given(ROUTED)
    second = attempt(job.when(failed(ROUTED)))

    third = attempt(job.when(failed(second)))

    assert (third.call, third.model, third.options) == ("g1.3", "a/small", Options(effort="low"))
    assert third.delay_s > 0


def test_an_only_model_waits_as_long_as_its_provider_asks() -> None:
    job = Given(ROUTED, world=world(SMALL))

    assert attempt(job.when(failed(ROUTED, delay_s=7.5))).delay_s == 7.5


def test_another_model_does_not_wait_for_what_the_first_ones_provider_asks() -> None:
    assert attempt(Given(ROUTED).when(failed(ROUTED, delay_s=7.5))).delay_s == 0


def test_a_model_that_cannot_is_not_asked_again() -> None:
    job = Given(ROUTED)
    second = attempt(job.when(failed(ROUTED, "refused")))

    third = attempt(job.when(failed(second)))

    assert [second.model, third.model] == ["b/large", "b/large"]
    assert third.choice is not None
    assert third.choice.why == "after b/large: busy"


def test_a_model_that_the_routes_no_longer_name_gives_way_to_their_first() -> None:
    job = Given(ROUTED, world=world(LARGE, Candidate("d/other")))

    assert attempt(job.when(failed(ROUTED))).model == "b/large"


def test_a_request_that_comes_again_does_not_forget_which_models_cannot() -> None:
    job = Given(ROUTED, failed(ROUTED, "refused"), ROUTED)

    assert job.state.jobs["g1"].ruled_out == {"a/small"}


# -- an answer that does not fit ----------------------------------------------------------------


def test_an_answer_that_does_not_fit_is_shown_to_its_model_to_be_mended() -> None:
    wrong = failed(ROUTED, "malformed", output='{"label": 1}', detail="label: 1 is no string")

    again = attempt(Given(ROUTED).when(wrong))

    assert (again.call, again.model, again.repairs) == ("g1.2", "a/small", 1)
    assert again.repair == Repair('{"label": 1}', "label: 1 is no string")
    assert again.options == Options(effort="low")
    assert again.choice is not None
    assert again.choice.why == "to mend its answer"


def test_an_answer_is_mended_at_once_even_if_the_attempt_before_had_to_wait() -> None:
    job = Given(ROUTED, world=world(SMALL))
    second = attempt(job.when(failed(ROUTED, delay_s=7.5)))

    third = attempt(job.when(failed(second, "malformed", output="{")))

    assert (second.delay_s, third.delay_s) == (7.5, 0)
    assert third.repair == Repair("{", "")


def test_only_an_answer_that_does_not_fit_is_mended() -> None:
    again = attempt(Given(ROUTED).when(failed(ROUTED, output="{")))

    assert (again.model, again.repair, again.repairs) == ("b/large", None, 0)


def test_what_cannot_be_mended_so_often_goes_to_the_next_model_without_it() -> None:
    job = Given(ROUTED)
    second = attempt(job.when(failed(ROUTED, "malformed", output="{")))

    third = attempt(job.when(failed(second, "malformed", output="{{")))

    assert (third.call, third.model, third.attempt) == ("g1.3", "b/large", 3)
    assert (third.repair, third.repairs) == (None, 1)


def test_an_answer_without_a_word_is_asked_for_again_as_there_is_nothing_to_mend() -> None:
    again = attempt(Given(ROUTED).when(failed(ROUTED, "malformed")))

    assert (again.model, again.repair) == ("b/large", None)


def test_mending_does_not_use_up_attempts() -> None:
    job = Given(ROUTED, world=world(SMALL))
    step: Event | None = ROUTED
    models = []
    while isinstance(step, GenerationRequested):
        models.append(step.call)
        step = job.when(failed(step, "malformed", output="{"))

    assert models == ["g1", "g1.2", "g1.3"]
    assert abandoned(step).reason == "malformed"


def test_a_model_that_is_on_no_route_any_more_mends_its_own_answer() -> None:
    asked = replace(ROUTED, options=Options(effort="low"))
    job = Given(asked, world=world(LARGE))

    again = attempt(job.when(failed(asked, "malformed", output="{")))

    assert (again.model, again.repairs, again.options) == ("a/small", 1, asked.options)
    assert again.choice is not None
    assert again.choice.place == 0


# -- its end ------------------------------------------------------------------------------------


def test_after_all_attempts_it_is_abandoned_with_the_last_ones_reason() -> None:
    job, step = Given(ROUTED), attempt(ROUTED)
    for _ in range(3):
        step = attempt(job.when(failed(step)))

    end = abandoned(job.when(failed(step, detail="503")))

    assert (end.call, end.reason) == ("g1", "busy")
    assert end.detail == "b/large: 503 (4 attempts)"
    assert end.choice is not None
    assert (end.choice.place, end.choice.why) == (0, "after b/large: busy: 503")


@pytest.mark.parametrize("reason", sorted(UNSENT))
def test_an_attempt_that_a_gate_turned_away_ends_nothing(reason: str) -> None:
    job = Given(ROUTED, world=world(SMALL))
    step = attempt(job.when(failed(ROUTED, "busy")))
    for _ in range(4):
        step = attempt(job.when(failed(step, reason, delay_s=20.0)))

    assert (step.call, step.model, step.delay_s) == ("g1.6", "a/small", 20.0)


def test_what_is_sent_after_that_and_fails_is_the_last() -> None:
    job = Given(ROUTED, world=world(SMALL))
    step = attempt(job.when(failed(ROUTED, "busy")))
    for _ in range(4):
        step = attempt(job.when(failed(step, "circuit_open")))

    assert abandoned(job.when(failed(step, detail="503"))).detail == "a/small: 503 (6 attempts)"


@pytest.mark.parametrize("candidates", [(SMALL,), (SMALL, LARGE)], ids=len)
def test_who_is_turned_away_for_ever_gives_up_in_the_end(candidates: Sequence[Candidate]) -> None:
    job = Given(ROUTED, world=world(*candidates))
    step: Event | None = ROUTED
    waits = []
    while isinstance(step, GenerationRequested):
        waits.append(step.delay_s)
        step = job.when(failed(step, "circuit_open", delay_s=20.0))

    assert len(waits) == UNSENT_ROUNDS_MAX * len(candidates)
    assert 150 < sum(waits) < 400
    assert abandoned(step).reason == "circuit_open"


def test_more_rounds_that_a_route_grants_count_for_what_is_turned_away_too() -> None:
    patient = Routes((Route("sort", (SMALL,), attempts_max=UNSENT_ROUNDS_MAX + 2),))
    job = Given(ROUTED, world=replace(WORLD, routes=patient))
    step: Event | None = ROUTED
    asks = 0
    while isinstance(step, GenerationRequested):
        asks += 1
        step = job.when(failed(step, "at_capacity"))

    assert asks == UNSENT_ROUNDS_MAX + 2


REASONS = ("busy", "malformed", "circuit_open", "refused")


@given(st.lists(st.sampled_from(REASONS), max_size=60), st.integers(1, 3))
def test_no_more_is_sent_than_rounds_through_the_models_and_repairs(
    reasons: list[str], models: int
) -> None:
    candidates = (SMALL, LARGE, Candidate("c/other"))[:models]
    job = Given(ROUTED, world=world(*candidates))
    step: Event | None = ROUTED
    sent = 0
    for reason in reasons:
        if not isinstance(step, GenerationRequested):
            break
        sent += reason not in UNSENT
        output = "{" if reason == "malformed" else ""
        step = job.when(failed(step, reason, output=output))

    assert sent <= 2 * models + 1  # attempts_max, repairs_max of this world


def test_it_is_abandoned_when_every_model_cannot() -> None:
    job = Given(ROUTED, world=world(SMALL))

    assert abandoned(job.when(failed(ROUTED, "refused"))).detail == "a/small (1 attempt)"


def test_it_tells_how_many_attempts_there_were() -> None:
    job = Given(ROUTED, world=world(SMALL))
    second = attempt(job.when(failed(ROUTED)))

    assert abandoned(job.when(failed(second))).detail == "a/small (2 attempts)"


def test_it_is_abandoned_when_the_routes_have_nobody_left() -> None:
    job = Given(ROUTED, world=world())

    assert abandoned(job.when(failed(ROUTED))).reason == "busy"


def test_several_jobs_of_a_conversation_go_on_each_by_itself() -> None:
    other = replace(ROUTED, call="h1")
    state = replay([ROUTED, other, failed(ROUTED), failed(other, "refused")])

    steps = decide(NOBODY, state, (), WORLD)

    assert [attempt(step).call for step in steps] == ["g1.2", "h1.2"]


# -- by which routes ----------------------------------------------------------------------------


def test_a_model_that_was_named_is_the_only_one_and_says_nothing_of_routes() -> None:
    assert routing_of_job(NAMED, WORLD).picks == (Pick("c/named", 1, Options(effort="high")),)
    assert routing_of_job(NAMED, WORLD).route == REQUEST == "request"

    again = attempt(Given(NAMED).when(failed(NAMED)))

    assert (again.model, again.options, again.choice) == ("c/named", NAMED.options, None)


@pytest.mark.parametrize(
    ("files", "needs"),
    [((), {"structured"}), ((FileRef("image/png", "sha256:0"),), {"structured", "vision"})],
    ids=["text", "with a picture"],
)
def test_a_job_needs_structured_output_and_with_files_sight(
    files: Sequence[FileRef], needs: set[str]
) -> None:
    facts = facts_of_job(replace(ROUTED, files=tuple(files)), WORLD)

    assert facts.needs == needs
    assert (facts.task, facts.customer, facts.hour) == ("sort", "acme", 9)


@pytest.mark.parametrize(
    "more",
    [{"input": "x" * 4_000}, {"instructions": "y" * 4_000}, {"schema": {"title": "z" * 4_000}}],
    ids=lambda more: next(iter(more)),
)
def test_a_jobs_length_is_that_of_all_it_says(more: dict[str, Any]) -> None:
    short = replace(ROUTED, input="", schema={})
    long = replace(short, **more)

    tokens = facts_of_job(long, WORLD).tokens - facts_of_job(short, WORLD).tokens

    assert tokens in range(1_000, 1_010)


def test_a_jobs_route_heeds_the_budget_and_what_its_models_can() -> None:
    picky = replace(SMALL, when=Conditions(budget_left_min_usd=Decimal(2)))
    poor = world(picky, LARGE, Candidate("d/blind"), budget_left_usd=Decimal(1))
    poor = replace(poor, routes=replace(poor.routes, models={"d/blind": Can(structured=False)}))

    found = routing_of_job(ROUTED, poor)

    assert [pick.model for pick in found.picks] == ["b/large"]
    assert found.passed == (
        "a/small: 1 USD of the budget are left, at least 2",
        "d/blind: it has no structured",
    )


def test_a_job_too_is_left_the_last_candidate_by_a_budget_that_is_nearly_used_up() -> None:
    found = routing_of_job(ROUTED, world(SMALL, LARGE, budget="cheaper"))

    assert [pick.model for pick in found.picks] == ["b/large"]


def test_what_is_not_said_of_the_world_is_not_known() -> None:
    assert World() == World(
        customer="",
        routes=Routes(),
        table="",
        hour=-1,
        budget="",
        budget_left_usd=None,
        conversation="",
    )

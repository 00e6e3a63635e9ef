"""Whom an agent asks by a table of routes, beside it as a shadow, and within a budget."""

from __future__ import annotations

from decimal import Decimal

import pytest
from msgspec.structs import replace

from stepfold.events.event import (
    Event,
    MessageReceived,
    Reasoned,
    ReasonRequested,
    RetrievalReturned,
    ToolRefused,
    ToolRequested,
    TurnAbandoned,
)
from stepfold.events.values import FileRef, Options, Text, ToolCall
from stepfold.handlers.decide import decide
from stepfold.policy.grant import Grant
from stepfold.projections.conversation import replay
from stepfold.projections.state import Conversation
from stepfold.routing import Can, Conditions, Route, Routes
from stepfold.testing import HELLO, PASSAGE
from tests.handlers.routed import AGENT, FAR, LARGE, SMALL, STARTED, Given, asked, failed, world


def no_asks(state: Conversation, event: Event) -> str | None:
    return "nobody is asked" if isinstance(event, ReasonRequested) else None


def no_far_ones(state: Conversation, event: Event) -> str | None:
    far = isinstance(event, ReasonRequested) and event.model == "b/far"
    return "it is far" if far else None


def test_the_first_candidate_that_fits_is_asked_and_the_choice_says_why() -> None:
    picky = replace(SMALL, when=Conditions(channels=("slack",)), options=Options(effort="low"))

    request = asked(Given(HELLO).when(world(picky, LARGE)))

    assert request.model == "a/large"
    assert request.choice is not None
    assert (request.choice.route, request.choice.place) == ("converse", 2)
    assert request.choice.passed == ("a/small: channel web is not among slack",)
    assert (request.choice.table, request.choice.hour) == ("sha256:t", 9)
    assert request.choice.why == "the first that fits"


def test_a_route_is_chosen_by_all_that_is_known_of_the_conversation() -> None:
    when = Conditions(("acme",), ("web",), ("de",), needs=("tools",), not_needs=("vision",))
    picky = replace(SMALL, when=replace(when, budget_left_min_usd=Decimal(2)))
    routes = Routes((Route("converse", (FAR,)), Route("converse", (picky, LARGE), agent="desk")))
    german = replace(HELLO, language="de")
    rich_world = replace(world(), routes=routes, budget_left_usd=Decimal(2))

    rich = asked(Given(german).when(rich_world))
    poor = asked(Given(german).when(replace(rich_world, budget_left_usd=Decimal(1))))

    assert (rich.model, poor.model) == ("a/small", "a/large")


def test_an_agent_answers_in_its_channels_and_in_no_other() -> None:
    here, elsewhere = (replace(AGENT, channels=(name, "mail")) for name in ("web", "slack"))

    request = asked(Given(HELLO, agent=here).when(world(SMALL)))
    (end,) = Given(HELLO, agent=elsewhere).when(world(SMALL))

    assert request.model == "a/small"
    assert end == TurnAbandoned(1, "channel", "web: not one of slack, mail")


def test_an_agent_without_tools_needs_none() -> None:
    idle = replace(AGENT, tools=(), collections=())
    picky = replace(SMALL, when=Conditions(needs=("tools",)))

    assert asked(Given(HELLO, agent=idle).when(world(picky, LARGE))).model == "a/large"


def test_a_candidates_options_go_along() -> None:
    request = asked(Given(HELLO).when(world(replace(SMALL, options=Options(effort="low")))))

    assert request.options == Options(effort="low")


# -- what a prompt asks of a model --------------------------------------------------------------


def test_an_image_needs_a_model_that_sees() -> None:
    image = replace(HELLO, files=(FileRef("image/png", "sha256:1"),))
    blind = Routes(world(SMALL, FAR).routes.routes, {"a/small": Can(), "b/far": Can(vision=True)})

    request = asked(Given(image).when(replace(world(), routes=blind)))

    assert request.model == "b/far"
    assert request.choice is not None
    assert request.choice.passed == ("a/small: it has no vision",)


def test_a_prompt_that_does_not_fit_passes_a_model_over() -> None:
    request = asked(Given(MessageReceived("word " * 2_000)).when(world(FAR, LARGE)))

    assert request.model == "a/large"
    assert request.choice is not None
    assert request.choice.passed == ("b/far: about 2502 tokens do not fit into its 1000",)


def test_where_no_candidate_fits_the_turn_is_abandoned_with_all_the_reasons() -> None:
    (end,) = Given(HELLO).when(world(replace(SMALL, when=Conditions(hours=(20, 6)))))

    assert isinstance(end, TurnAbandoned)
    assert end.detail == "converse: no model fits; a/small: hour 9 UTC is not from 20 to 6"
    assert end.choice is not None
    assert (end.choice.place, end.choice.why) == (0, "none fits")


# -- shadows ------------------------------------------------------------------------------------


def test_a_shadow_is_asked_once_beside_the_model_and_nobody_waits_for_it() -> None:
    given, here = Given(HELLO), world(SMALL, shadow=(FAR,))
    request, shadow = given.when(here)

    assert isinstance(shadow, ReasonRequested)
    assert (shadow.call, shadow.model, shadow.shadow) == ("r1s1", "b/far", True)
    assert (shadow.upto, shadow.heard, request) == (1, 0, replace(request, shadow=False))
    assert shadow.choice is not None
    assert (shadow.choice.place, shadow.choice.why) == (1, "a shadow")
    (given_answer,) = given.when(here, Reasoned("r1", 1, "a/small", (Text("At 9."),)))
    assert type(given_answer).__name__ == "ResponseGiven"


def test_shadows_are_asked_in_the_decision_that_asks_the_model_so_none_comes_too_late() -> None:
    here = world(SMALL, shadow=(FAR, LARGE))
    state = replay((STARTED, HELLO))

    steps = decide(AGENT, state, (), here)

    calls = [step.call for step in steps if isinstance(step, ReasonRequested)]
    assert calls == ["r1", "r1s1", "r1s2"]


def test_the_shadows_that_a_crash_left_out_are_asked_after_it() -> None:
    here = world(SMALL, shadow=(FAR, LARGE))
    state = replay((STARTED, HELLO))
    asked, first, second = decide(AGENT, state, (), here)

    assert decide(AGENT, replay((asked,), state), (), here) == (first, second)
    assert decide(AGENT, replay((asked, first), state), (), here) == (second,)
    assert decide(AGENT, replay((asked, first, second), state), (), here) == ()


def test_a_shadow_that_a_crash_left_out_hears_no_more_than_the_model() -> None:
    merging = replace(AGENT, second_message="merge")
    here = world(SMALL, shadow=(FAR,))
    state = replay((STARTED, HELLO))
    first, _ = decide(merging, state, (), here)

    shadow = asked(decide(merging, replay((first, replace(HELLO, message="m2")), state), (), here))

    assert (shadow.shadow, shadow.heard, shadow.upto) == (True, 0, 1)


def test_a_shadow_that_a_crash_left_out_is_not_asked_beside_a_second_attempt() -> None:
    here = world(SMALL, LARGE, shadow=(FAR,))
    state = replay((STARTED, HELLO))
    first, _ = decide(AGENT, state, (), here)
    assert isinstance(first, ReasonRequested)
    again = asked(decide(AGENT, replay((first, failed(first)), state), (), here))

    assert decide(AGENT, replay((first, failed(first), again), state), (), here) == ()


def test_a_vetoed_ask_has_no_shadow() -> None:
    steps = decide(AGENT, replay((STARTED, HELLO)), (no_asks,), world(SMALL, shadow=(FAR,)))

    (end,) = steps
    assert isinstance(end, TurnAbandoned)
    assert end.choice is not None
    assert (end.choice.route, end.choice.place) == ("converse", 1)


def test_a_vetoed_shadow_is_not_asked_and_the_turn_goes_on_without_it() -> None:
    here = world(SMALL, shadow=(FAR, LARGE))
    state = replay((STARTED, HELLO))

    steps = decide(AGENT, state, (no_far_ones,), here)

    assert asked(steps).model == "a/small"
    assert decide(AGENT, replay(steps, state), (no_far_ones,), here) == ()


def test_the_answer_of_a_shadow_is_only_paid_for() -> None:
    given, here = Given(HELLO), world(SMALL, shadow=(FAR,))
    given.when(here)
    before = given.state

    cost = Decimal("0.01")
    steps = given.when(here, Reasoned("r1s1", 1, "b/far", (Text("At 10."),), cost_usd=cost))

    assert steps == ()
    assert given.state.transcript == before.transcript
    assert given.state.spent_usd == cost
    assert given.state.open.keys() == {"r1"}


def test_a_second_attempt_has_no_shadow_of_its_own() -> None:
    given, here = Given(HELLO), world(SMALL, LARGE, shadow=(FAR,))
    first, _ = given.when(here)
    assert isinstance(first, ReasonRequested)

    again = given.when(here, failed(first))

    assert asked(again).attempt == 2


def test_a_shadow_of_a_turn_that_is_over_is_only_open() -> None:
    shadow = ReasonRequested("r9s1", 7, "b/far", shadow=True)

    state = replay((STARTED, HELLO, shadow))

    assert state.turn is None
    assert state.open == {"r9s1": shadow}


# -- budgets ------------------------------------------------------------------------------------


def test_a_budget_that_is_nearly_used_up_leaves_the_last_candidate() -> None:
    request = asked(Given(HELLO).when(world(LARGE, SMALL, budget="cheaper")))

    assert request.model == "a/small"
    assert request.choice is not None
    assert request.choice.budget == "cheaper"
    assert request.choice.passed == ("a/large: the budget is nearly used up",)


def test_of_its_own_tools_only_those_that_are_granted_to_read_are_offered_then() -> None:
    grants = {"look_up": Grant(effect="read"), "refund": Grant(effect="write")}
    agent = replace(AGENT, tools=(*grants, "search"), collections=(), grants=grants)

    plenty = asked(Given(HELLO, agent=agent).when(world(SMALL)))
    little = asked(Given(HELLO, agent=agent).when(world(SMALL, budget="read_only")))

    assert plenty.tools == ("look_up", "refund", "search")
    assert little.tools == ("look_up",)


def test_at_its_end_only_reading_is_offered_and_other_calls_are_refused() -> None:
    given, here = Given(HELLO), world(SMALL, budget="read_only")
    request = asked(given.when(here))
    calls = (ToolCall("r1.1", "refund", {}), ToolCall("r1.2", "search", {"query": "fees"}))

    steps = given.when(here, Reasoned("r1", 1, "a/small", calls))

    assert request.tools == ("search",)
    assert isinstance(steps[0], ToolRefused)
    assert type(steps[1]).__name__ == "RetrievalRequested"


def test_with_money_the_same_call_is_requested() -> None:
    given, here = Given(HELLO), world(SMALL)
    given.when(here)

    (step,) = given.when(here, Reasoned("r1", 1, "m", (ToolCall("r1.1", "refund", {}),)))

    assert isinstance(step, ToolRequested)


def test_a_budget_that_is_used_up_ends_the_turn() -> None:
    used_up = world(SMALL, budget="refuse", budget_left_usd=Decimal("-0.02"))

    (end,) = Given(HELLO).when(used_up)

    assert isinstance(end, TurnAbandoned)
    assert (end.reason, end.detail) == ("budget", "-0.02 USD of the budget are left")
    assert end.choice is not None
    assert end.choice.budget_left_usd == Decimal("-0.02")
    assert (end.choice.place, end.choice.why) == (0, "no budget")


def test_a_budget_that_is_used_up_between_two_attempts_ends_the_turn() -> None:
    given = Given(HELLO)
    request = asked(given.when(world(SMALL, LARGE)))

    (end,) = given.when(world(SMALL, LARGE, budget="refuse"), failed(request))

    assert isinstance(end, TurnAbandoned)
    assert end.reason == "budget"


@pytest.mark.parametrize(("model", "reason"), [("a/small", "budget"), ("", "model")])
def test_a_call_that_did_not_fit_into_a_budget_says_so_at_the_end(model: str, reason: str) -> None:
    given, here = Given(HELLO), world(SMALL)
    request = asked(given.when(here))

    (end,) = given.when(here, failed(request, reason if model else "not_found", again=False))

    assert isinstance(end, TurnAbandoned)
    assert end.reason == reason


def test_what_a_search_found_counts_as_shown() -> None:
    given, here = Given(HELLO), world(FAR, LARGE)
    first = asked(given.when(here))
    given.when(here, Reasoned("r1", 1, "m", (ToolCall("r1.1", "search", {"query": "x"}),)))
    long = replace(PASSAGE, text="word " * 2_000)

    second = asked(given.when(here, RetrievalReturned("r1.1", 1, (long,))))

    assert (first.model, second.model) == ("b/far", "a/large")

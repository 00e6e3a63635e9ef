"""Facts in, candidates in order out: which one fits, and what is said of one that does not."""

from __future__ import annotations

from decimal import Decimal

import pytest
from msgspec.structs import replace

from stepfold.events.values import BudgetStep, Options
from stepfold.routing import (
    Can,
    Candidate,
    Conditions,
    Facts,
    Pick,
    Route,
    Routes,
    Routing,
    decode_routes,
    digest,
    encode_routes,
    route,
)

ASKED = Facts("converse", customer="acme", agent="desk", channel="web", language="de-AT", hour=9)
SMALL, LARGE = Candidate("a/small"), Candidate("b/large")


def table(*candidates: Candidate, **more: Candidate) -> Routes:
    """A route of `converse`, and one of each task in `more`."""
    others = (Route(task, (candidate,)) for task, candidate in more.items())
    return Routes((Route("converse", candidates), *others))


def models(routes: Routes, facts: Facts = ASKED) -> list[str]:
    return [pick.model for pick in route(routes, facts).picks]


# -- one candidate ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("when", "facts", "why"),
    [
        (Conditions(customers=("globex",)), {}, "customer acme is not among globex"),
        (Conditions(channels=("slack", "api")), {}, "channel web is not among slack, api"),
        (Conditions(languages=("en",)), {}, "language de-AT is not among en"),
        (Conditions(languages=("en",)), {"language": ""}, "language unknown is not among en"),
        (Conditions(needs=("tools",)), {}, "tools not needed"),
        (Conditions(needs=("vision", "tools")), {}, "tools, vision not needed"),
        (Conditions(not_needs=("vision",)), {"needs": frozenset({"vision"})}, "vision needed"),
        (
            Conditions(not_needs=("vision", "tools")),
            {"needs": frozenset({"vision", "tools", "structured"})},
            "tools, vision needed",
        ),
        (Conditions(tokens_max=100), {"tokens": 101}, "about 101 tokens, at most 100"),
        (Conditions(hours=(10, 12)), {}, "hour 9 UTC is not from 10 to 12"),
        (Conditions(hours=(8, 9)), {}, "hour 9 UTC is not from 8 to 9"),
        (Conditions(hours=(9, 9)), {}, "hour 9 UTC is not from 9 to 9"),
        (Conditions(hours=(22, 6)), {}, "hour 9 UTC is not from 22 to 6"),
        (Conditions(hours=(22, 9)), {}, "hour 9 UTC is not from 22 to 9"),
        (Conditions(hours=(9, 10)), {"hour": 0}, "hour 0 UTC is not from 9 to 10"),
        (
            Conditions(budget_left_min_usd=Decimal(2)),
            {"budget_left_usd": Decimal("1.5")},
            "1.5 USD of the budget are left, at least 2",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_candidate_whose_condition_does_not_hold_is_passed_over_and_it_says_which(
    when: Conditions, facts: dict[str, object], why: str
) -> None:
    found = route(table(replace(SMALL, when=when), LARGE), replace(ASKED, **facts))

    assert found.passed == (f"a/small: {why}",)
    assert found.picks == (Pick("b/large", 2),)


@pytest.mark.parametrize(
    ("when", "facts"),
    [
        (Conditions(customers=("globex", "acme")), {}),
        (Conditions(channels=("web",)), {}),
        (Conditions(languages=("de",)), {}),
        (Conditions(languages=("de-AT",)), {}),
        (Conditions(needs=("tools",)), {"needs": frozenset({"tools", "vision"})}),
        (Conditions(not_needs=("vision",)), {"needs": frozenset({"tools"})}),
        (Conditions(tokens_max=100), {"tokens": 100}),
        (Conditions(hours=(9, 10)), {}),
        (Conditions(hours=(22, 6)), {"hour": 5}),
        (Conditions(hours=(22, 6)), {"hour": 22}),
        (Conditions(hours=(9, 10)), {"hour": -1}),
        (Conditions(budget_left_min_usd=Decimal(2)), {"budget_left_usd": Decimal(2)}),
        (Conditions(budget_left_min_usd=Decimal(2)), {}),
    ],
    ids=repr,
)
def test_a_candidate_whose_conditions_hold_is_one(
    when: Conditions, facts: dict[str, object]
) -> None:
    assert models(table(replace(SMALL, when=when)), replace(ASKED, **facts)) == ["a/small"]


@pytest.mark.parametrize(
    ("can", "facts", "why"),
    [
        (Can(tools=False), {"needs": frozenset({"tools"})}, "it has no tools"),
        (Can(), {"needs": frozenset({"vision"})}, "it has no vision"),
        (Can(structured=False), {"needs": frozenset({"structured"})}, "it has no structured"),
        (Can(context=50), {"tokens": 51}, "about 51 tokens do not fit into its 50"),
    ],
)
def test_a_model_that_cannot_do_it_is_passed_over(
    can: Can, facts: dict[str, object], why: str
) -> None:
    routes = replace(table(SMALL), models={"a/small": can})

    assert route(routes, replace(ASKED, **facts)).passed == (f"a/small: {why}",)


def test_a_prompt_may_fill_a_models_context_to_the_last_token() -> None:
    routes = replace(table(SMALL), models={"a/small": Can(context=50)})

    assert models(routes, replace(ASKED, tokens=50)) == ["a/small"]


def test_what_is_not_said_of_an_ask_is_not_known() -> None:
    assert Facts("converse") == Facts(
        task="converse",
        customer="",
        agent="",
        channel="",
        language="",
        needs=frozenset(),
        tokens=0,
        hour=-1,
        budget="",
        budget_left_usd=None,
    )


def test_a_model_that_nobody_described_can_do_everything() -> None:
    facts = replace(ASKED, needs=frozenset({"tools", "vision", "structured"}), tokens=10**9)

    assert models(table(SMALL), facts) == ["a/small"]


# -- their order --------------------------------------------------------------------------------


def test_a_model_that_is_listed_twice_is_taken_where_it_fits_first() -> None:
    careful = replace(SMALL, options=Options(effort="high"))

    found = route(table(SMALL, LARGE, careful), ASKED)

    assert found.picks == (Pick("a/small", 1), Pick("b/large", 2))


def test_the_candidates_of_another_task_stand_where_it_is_named() -> None:
    routes = table(SMALL, Candidate(task="cheap"), LARGE, cheap=Candidate("c/tiny"))

    assert models(routes) == ["a/small", "c/tiny", "b/large"]


def test_another_task_whose_conditions_do_not_hold_is_passed_over_as_a_whole() -> None:
    picky = Candidate(task="cheap", when=Conditions(channels=("slack",)))

    found = route(table(picky, LARGE, cheap=Candidate("c/tiny")), ASKED)

    assert found.passed == ("task cheap: channel web is not among slack",)
    assert [pick.model for pick in found.picks] == ["b/large"]


def test_a_task_without_a_route_adds_nobody() -> None:
    assert models(table(Candidate(task="cheap"), LARGE)) == ["b/large"]


@pytest.mark.parametrize(
    ("facts", "model"),
    [
        ({}, "m/customer-and-agent"),
        ({"agent": "other"}, "m/customer"),
        ({"customer": "other"}, "m/agent"),
        ({"customer": "other", "agent": "other"}, "m/all"),
    ],
)
def test_the_narrowest_route_is_taken(facts: dict[str, object], model: str) -> None:
    routes = Routes(
        (
            Route("converse", (Candidate("m/all"),)),
            Route("converse", (Candidate("m/agent"),), agent="desk"),
            Route("converse", (Candidate("m/customer"),), customer="acme"),
            Route("converse", (Candidate("m/customer-and-agent"),), customer="acme", agent="desk"),
        )
    )

    assert models(routes, replace(ASKED, **facts)) == [model]


def test_a_narrow_route_that_names_its_own_task_goes_on_with_the_next_wider_one() -> None:
    wider = Candidate(task="converse")
    routes = Routes(
        (
            Route("converse", (LARGE,)),
            Route("converse", (SMALL, wider), customer="acme"),
            Route("converse", (Candidate("c/tiny"), wider), customer="acme", agent="desk"),
        )
    )

    assert route(routes, ASKED).picks == (
        Pick("c/tiny", 1),
        Pick("a/small", 2),
        Pick("b/large", 3),
    )


def test_a_budget_that_is_nearly_used_up_leaves_the_last_candidate() -> None:
    found = route(table(LARGE, Candidate("c/tiny"), SMALL), replace(ASKED, budget="cheaper"))

    assert found.picks == (Pick("a/small", 3),)
    assert found.passed == (
        "b/large: the budget is nearly used up",
        "c/tiny: the budget is nearly used up",
    )


def test_a_budget_that_is_nearly_used_up_leaves_an_only_candidate() -> None:
    found = route(table(SMALL), replace(ASKED, budget="cheaper"))

    assert (found.picks, found.passed) == ((Pick("a/small", 1),), ())


# -- the rest of a route ------------------------------------------------------------------------


def test_a_shadow_is_one_where_its_conditions_hold() -> None:
    shadows = (replace(SMALL, when=Conditions(channels=("slack",))), Candidate("c/tiny"))
    routes = Routes((Route("converse", (LARGE,), shadows, attempts_max=5, repairs_max=0),))

    found = route(routes, ASKED)

    assert found.shadow == (Pick("c/tiny", 2),)
    assert (found.attempts_max, found.repairs_max) == (5, 0)


def test_a_shadow_is_asked_with_the_options_of_its_candidate() -> None:
    low = Options(effort="low")
    routes = Routes((Route("converse", (LARGE,), (replace(SMALL, options=low),)),))

    assert route(routes, ASKED).shadow == (Pick("a/small", 1, low),)


def test_a_narrow_route_whose_shadow_is_its_own_task_has_those_of_the_next_wider_one() -> None:
    wider = Candidate(task="converse")
    routes = Routes(
        (
            Route("converse", (SMALL,)),
            Route("converse", (LARGE,), (Candidate("c/tiny"), wider), customer="acme"),
        )
    )

    assert route(routes, ASKED).shadow == (Pick("c/tiny", 1), Pick("a/small", 2))


def test_where_a_route_says_nothing_of_it_there_are_three_rounds_and_two_repairs() -> None:
    found = route(table(SMALL), ASKED)

    assert (found.attempts_max, found.repairs_max) == (3, 2)
    assert Routing("converse") == replace(found, picks=())


@pytest.mark.parametrize(
    ("budget", "asked"),
    [("", 1), ("warn", 1), ("cheaper", 0), ("read_only", 0), ("refuse", 0)],
)
def test_a_budget_that_is_nearly_used_up_has_no_shadow(budget: BudgetStep, asked: int) -> None:
    routes = Routes((Route("converse", (LARGE,), (SMALL,)),))

    assert len(route(routes, replace(ASKED, budget=budget)).shadow) == asked


def test_a_task_that_has_no_route_says_which_ones_there_are() -> None:
    routes = table(SMALL, cheap=LARGE)

    assert route(routes, Facts("clasify")).route == (
        "no route for task 'clasify' (known: cheap, converse)"
    )
    assert route(Routes(), ASKED).route == "no route for task 'converse' (known: none)"


def test_a_table_is_the_same_after_the_wire_and_named_by_what_it_says() -> None:
    routes = replace(table(SMALL), models={"b": Can(vision=True), "a": Can()})
    other_order = replace(routes, models={"a": Can(), "b": Can(vision=True)})

    assert decode_routes(encode_routes(routes)) == routes
    assert digest(routes) == digest(other_order)
    assert digest(routes) != digest(table(LARGE))

"""Whom an agent asks when a model failed: by a table of routes, and by a list of its own."""

from __future__ import annotations

from msgspec.structs import replace

from stepfold.events.event import (
    MessageReceived,
    Reasoned,
    ReasonRequested,
    TurnAbandoned,
)
from stepfold.events.values import Text, ToolCall
from stepfold.handlers.jobs import UNSENT_ROUNDS_MAX
from stepfold.policy.agent import Limits
from stepfold.testing import HELLO
from tests.handlers.routed import AGENT, FAR, LARGE, SMALL, Given, asked, failed, world


def test_a_model_that_is_busy_gives_way_to_the_next_at_once_and_round_and_round() -> None:
    given, here = Given(HELLO), world(SMALL, LARGE)
    request = asked(given.when(here))
    requests = [request]
    for _ in range(3):
        request = asked(given.when(here, replace(failed(request), delay_s=7.0)))
        requests.append(request)

    assert [each.model for each in requests] == ["a/small", "a/large"] * 2
    assert [each.delay_s for each in requests] == [0, 0, 0.5, 0.5]
    assert request.choice is not None
    assert request.choice.why == "after a/small: busy"
    (end,) = given.when(here, failed(request))
    assert isinstance(end, TurnAbandoned)
    assert end.detail == "4 attempts failed, the last: a/large: busy"
    assert end.choice is not None
    assert (end.choice.place, end.choice.why) == (0, "a/large: busy")


def test_a_single_model_waits_as_long_as_its_provider_asks() -> None:
    given, here = Given(HELLO), world(SMALL)
    request = asked(given.when(here))

    again = asked(given.when(here, replace(failed(request), delay_s=7.0)))

    assert (again.model, again.delay_s) == ("a/small", 7.0)


def test_a_model_that_cannot_is_not_asked_again_in_this_ask() -> None:
    given, here = Given(HELLO), world(SMALL, LARGE)
    first = asked(given.when(here))
    second = asked(given.when(here, failed(first, "no_money", again=False)))
    third = asked(given.when(here, failed(second)))

    assert [second.model, third.model] == ["a/large", "a/large"]
    (end,) = given.when(here, failed(third, "authentication", again=False))
    assert isinstance(end, TurnAbandoned)
    assert (end.reason, end.detail) == ("model", "a/large: authentication")
    assert end.choice is not None
    assert end.choice.why == "a/large: authentication"


def test_the_next_ask_begins_with_all_of_them() -> None:
    given, here = Given(HELLO), world(SMALL, LARGE)
    first = asked(given.when(here))
    second = asked(given.when(here, failed(first, "not_found", again=False)))
    calls = Reasoned(second.call, 1, "a/large", (ToolCall(f"{second.call}.1", "x", {}),))

    _, request = given.when(here, calls)

    assert isinstance(request, ReasonRequested)
    assert request.model == "a/small"
    large = asked(given.when(here, failed(request)))
    assert asked(given.when(here, failed(large))).model == "a/small"


# -- prompts that were too long -----------------------------------------------------------------


def test_a_prompt_that_was_too_long_is_asked_once_more_with_less() -> None:
    long = MessageReceived("word " * 4_000)
    given, here = Given(long), world(SMALL, LARGE)
    first = asked(given.when(here))

    again = asked(given.when(here, failed(first, "context_overflow", again=False)))
    other = asked(given.when(here, failed(again, "context_overflow", again=False)))

    assert (first.compact, again.compact) == (0, 10_000)
    assert (again.model, again.delay_s) == ("a/small", 0)
    assert (other.model, other.compact) == ("a/large", 10_000)
    last = asked(given.when(here, failed(other)))
    assert last.model == "a/large"


def test_what_was_too_long_once_stays_short() -> None:
    long = MessageReceived("word " * 4_000)
    given, here = Given(long), world(SMALL)
    first = asked(given.when(here))
    again = asked(given.when(here, failed(first, "context_overflow", again=False)))
    given.when(here, Reasoned(again.call, 1, "a/small", (Text("Yes."),)))

    later = asked(given.when(here, HELLO))

    assert again.delay_s == 0
    assert later.compact == 10_000


def test_what_is_too_long_again_at_a_later_ask_is_made_shorter_again() -> None:
    given, here = Given(MessageReceived("word " * 4_000)), world(SMALL)
    first = asked(given.when(here))
    again = asked(given.when(here, failed(first, "context_overflow", again=False)))
    given.when(here, Reasoned(again.call, 1, "a/small", (Text("Yes."),)))
    later = asked(given.when(here, HELLO))

    shorter = asked(given.when(here, failed(later, "context_overflow", again=False)))

    assert (shorter.compact, shorter.model) == (5_000, "a/small")


def test_something_is_always_shown() -> None:
    given, here = Given(MessageReceived("?")), world(SMALL)
    first = asked(given.when(here))

    again = asked(given.when(here, failed(first, "context_overflow", again=False)))

    assert again.compact == 1


def test_what_was_too_long_for_a_later_model_is_asked_of_that_one_again() -> None:
    given, here = Given(HELLO), world(SMALL, LARGE)
    large = asked(given.when(here, failed(asked(given.when(here)))))

    again = asked(given.when(here, failed(large, "context_overflow", again=False)))

    assert (large.model, again.model) == ("a/large", "a/large")


def test_what_was_too_long_for_a_model_that_is_no_candidate_any_more_is_asked_of_another() -> None:
    given = Given(HELLO)
    first = asked(given.when(world(SMALL)))

    again = asked(given.when(world(LARGE), failed(first, "context_overflow", again=False)))

    assert (again.model, again.compact) == ("a/large", len(HELLO.text) // 2)


def test_a_prompt_that_was_cut_fits_models_that_have_less_room() -> None:
    given = Given(MessageReceived("word " * 1_000))
    first = asked(given.when(world(LARGE, FAR)))
    again = asked(given.when(world(LARGE, FAR), failed(first, "context_overflow", again=False)))

    other = asked(given.when(world(LARGE, FAR), failed(again)))

    assert first.choice is not None
    assert first.choice.passed == ("b/far: about 1252 tokens do not fit into its 1000",)
    assert (other.model, again.compact) == ("b/far", 2_500)


# -- an agent that lists its models itself ------------------------------------------------------

LISTED = replace(AGENT, models=("a/small", "a/large"))


def test_where_a_budget_has_a_say_the_choice_tells_the_place_on_the_agents_list() -> None:
    request = asked(Given(HELLO, agent=LISTED).when(world(budget="warn")))

    assert request.choice is not None
    assert (request.choice.route, request.choice.place) == ("agent", 1)
    assert request.choice.budget == "warn"


def test_where_none_has_there_is_nothing_to_tell() -> None:
    given = Given(HELLO, agent=LISTED)
    request = asked(given.when(world()))
    (end,) = given.when(world(), failed(request, "authentication", again=False))

    assert request.choice is None
    assert isinstance(end, TurnAbandoned)
    assert end.choice is None


def test_a_failure_that_asking_again_cannot_mend_ends_the_turn_though_others_are_left() -> None:
    given = Given(HELLO, agent=LISTED)
    request = asked(given.when(world()))

    (end,) = given.when(world(), failed(request, "authentication", again=False))

    assert end == TurnAbandoned(1, "model", "a/small: authentication")


def test_the_next_on_the_list_waits_as_long_as_the_last_ones_provider_asks() -> None:
    given = Given(HELLO, agent=LISTED)
    request = asked(given.when(world()))

    again = asked(given.when(world(), replace(failed(request), delay_s=7.0)))

    assert (again.model, again.delay_s) == ("a/large", 7.0)


def test_the_agents_own_limit_of_attempts_is_that_of_its_list() -> None:
    once = replace(LISTED, models=("a/small",), limits=Limits(attempts_max=1))
    given = Given(HELLO, agent=once)
    request = asked(given.when(world()))

    (end,) = given.when(world(), failed(request))

    assert end == TurnAbandoned(1, "model", "1 attempts failed, the last: a/small: busy")


def test_what_a_gate_turned_away_uses_up_no_attempts_and_yet_has_an_end() -> None:
    given, here = Given(HELLO), world(SMALL)
    request = asked(given.when(here))

    for _ in range(UNSENT_ROUNDS_MAX - 1):
        turned_away = replace(failed(request, "circuit_open"), delay_s=20.0)
        request = asked(given.when(here, turned_away))
    assert request.delay_s >= 20.0

    (end,) = given.when(here, failed(request, "circuit_open"))
    assert isinstance(end, TurnAbandoned)
    assert end.detail == "12 attempts failed, the last: a/small: circuit_open"

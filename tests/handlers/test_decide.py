"""What an agent does next: the table at the top of `decide`, row by row, and its limits."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import pytest
from msgspec.structs import replace

from stepfold.events.citation import cite
from stepfold.events.event import (
    ConversationStarted,
    ConversationStopped,
    Event,
    MessageReceived,
    Reasoned,
    ReasonFailed,
    ReasonRequested,
    ResponseDelivered,
    ResponseGiven,
    RetrievalFailed,
    RetrievalRequested,
    ToolFailed,
    ToolRefused,
    ToolRequested,
    ToolReturned,
    ToolStarted,
    ToolUnknown,
    TurnAbandoned,
    TurnCancelled,
    TurnExpired,
    Unreadable,
)
from stepfold.events.values import (
    Citation,
    Part,
    Refusal,
    RefusedCitation,
    Text,
    Thinking,
    ToolCall,
)
from stepfold.handlers.decide import BY, decide
from stepfold.policy.agent import Agent, Limits
from stepfold.projections.conversation import replay
from stepfold.projections.state import EMPTY, Conversation
from stepfold.testing import (
    AGENT,
    ANSWERED,
    ASKED,
    ASKED_AGAIN,
    FOUND,
    HELLO,
    LOOK_UP,
    LOOKED_UP,
    PASSAGE,
    RESPONDED,
    RETRIEVAL,
    RETURNED,
    SEARCHED,
    STARTED,
    Given,
)

MERGING = replace(AGENT, second_message="merge")
SUPERSEDING = replace(AGENT, second_message="supersede")
SECOND = MessageReceived("And on Sundays?", message="m2")
BUSY = ReasonFailed("r1", 1, "scripted", "rate_limit", "429", retryable=True)


def limited(agent: Agent = AGENT, **limits: float | Decimal) -> Agent:
    return replace(agent, limits=replace(agent.limits, **limits))


def answer(*parts: Part, call: str = "r1", cost_usd: str | None = None) -> Reasoned:
    cost = None if cost_usd is None else Decimal(cost_usd)
    return Reasoned(call, 1, "scripted", parts, cost_usd=cost)


def busy(
    number: int, *, turn: int = 1, model: str = "scripted", delay_s: float = 0
) -> ReasonFailed:
    return ReasonFailed(
        f"r{number}", turn, model, "busy", retryable=True, delay_s=delay_s, attempt=number
    )


# -- after a message ----------------------------------------------------------------------------


def test_a_message_asks_the_model() -> None:
    assert Given(AGENT).when(HELLO) == (ASKED,)


def test_messages_before_the_first_ask_are_heard_together() -> None:
    (asked,) = Given(AGENT).when(HELLO, SECOND)

    assert asked == replace(ASKED, heard=2)


def test_only_the_tools_of_the_agent_are_offered() -> None:
    (asked,) = Given(replace(AGENT, tools=(), collections=())).when(HELLO)

    assert asked == replace(ASKED, tools=())


def test_a_message_while_the_model_thinks_waits() -> None:
    assert Given(AGENT, HELLO, ASKED).when(SECOND) == ()


def test_a_message_while_a_tool_runs_waits() -> None:
    assert Given(AGENT, HELLO, ASKED, LOOKED_UP, LOOK_UP).when(SECOND) == ()


def test_a_message_to_nobody_waits_for_an_agent() -> None:
    assert decide(AGENT, replay([HELLO])) == ()


def test_nothing_is_missing_when_nothing_was_said() -> None:
    assert decide(AGENT, replay([STARTED])) == ()
    assert decide(AGENT, EMPTY) == ()


def test_a_stopped_conversation_is_left_alone() -> None:
    assert decide(AGENT, replay([STARTED, ConversationStopped("poison"), HELLO])) == ()


def test_a_conversation_that_cannot_be_read_is_left_alone() -> None:
    assert decide(AGENT, replay([STARTED, Unreadable("dance.danced", "unknown"), HELLO])) == ()


@pytest.mark.parametrize(
    "event", [ResponseDelivered(1, "web"), ConversationStarted("other", "sha256:0")]
)
def test_what_only_tells_asks_for_nothing(event: Event) -> None:
    assert Given(AGENT, HELLO, ASKED, ANSWERED, RESPONDED).when(event) == ()


# -- after an answer with calls -----------------------------------------------------------------


def test_each_permitted_call_is_requested_in_order() -> None:
    calls = (ToolCall("r1.1", "look_up", {"key": "a"}), ToolCall("r1.2", "search", {"query": "b"}))

    steps = Given(AGENT, HELLO, ASKED).when(answer(*calls))

    assert steps == (
        ToolRequested("r1.1", 1, "look_up", {"key": "a"}),
        RetrievalRequested("r1.2", 1, "b", ("handbook",), 5),
    )


def test_a_tool_that_is_not_configured_is_refused_whatever_the_model_says() -> None:
    calls = (ToolCall("r1.1", "look_up", {}), ToolCall("r1.2", "send_email", {}))

    _, refused = Given(AGENT, HELLO, ASKED).when(answer(*calls))

    why = "tool 'send_email' is not allowed for agent 'help-desk' (allowed: look_up, search)"
    assert refused == ToolRefused("r1.2", 1, "send_email", why)


def test_an_agent_without_tools_is_told_that_none_is_allowed() -> None:
    agent = replace(AGENT, tools=(), collections=())

    refused, _ = Given(agent, HELLO, ASKED).when(LOOKED_UP)

    why = "tool 'look_up' is not allowed for agent 'help-desk' (allowed: none)"
    assert refused == ToolRefused("r1.1", 1, "look_up", why)


def test_when_every_call_is_refused_the_model_is_asked_again() -> None:
    steps = Given(AGENT, HELLO, ASKED).when(answer(ToolCall("r1.1", "send_email", {})))

    assert [type(step) for step in steps] == [ToolRefused, ReasonRequested]
    assert steps[1] == ASKED_AGAIN


def test_calls_beyond_the_limit_are_refused() -> None:
    calls = [ToolCall(f"r1.{n}", "look_up", {}) for n in (1, 2, 3)]

    steps = Given(limited(calls_max=2), HELLO, ASKED).when(answer(*calls))

    assert [type(step) for step in steps] == [ToolRequested, ToolRequested, ToolRefused]
    why = "an answer may make 2 calls, this is number 3"
    assert steps[2] == ToolRefused("r1.3", 1, "look_up", why)


@pytest.mark.parametrize("arguments", [{}, {"query": ""}, {"query": 7}, {"q": "open"}])
def test_a_search_without_words_is_refused(arguments: dict[str, object]) -> None:
    refused, *_ = Given(AGENT, HELLO, ASKED).when(answer(ToolCall("r1.1", "search", arguments)))

    why = 'search needs an argument "query" with the words to search for'
    assert refused == ToolRefused("r1.1", 1, "search", why)


def test_an_agent_may_have_a_search_tool_of_its_own() -> None:
    agent = replace(AGENT, tools=("search",), collections=())

    steps = Given(agent, HELLO, ASKED).when(answer(ToolCall("r1.1", "search", {"words": "x"})))

    assert steps == (ToolRequested("r1.1", 1, "search", {"words": "x"}),)


def test_its_own_search_tool_wins_over_the_knowledge() -> None:
    agent = replace(AGENT, tools=("search",))

    steps = Given(agent, HELLO, ASKED).when(SEARCHED)

    assert steps == (ToolRequested("r1.1", 1, "search", {"query": "open"}),)


def test_after_a_crash_only_the_call_that_is_missing_is_requested() -> None:
    calls = (ToolCall("r1.1", "look_up", {}), ToolCall("r1.2", "look_up", {"key": "b"}))

    steps = Given(AGENT, HELLO, ASKED, answer(*calls)).when(LOOK_UP)

    assert steps == (ToolRequested("r1.2", 1, "look_up", {"key": "b"}),)


def test_after_a_crash_a_call_that_is_settled_already_is_not_requested_again() -> None:
    calls = (ToolCall("r1.1", "look_up", {}), ToolCall("r1.2", "look_up", {"key": "b"}))

    steps = Given(AGENT, HELLO, ASKED, answer(*calls), LOOK_UP).when(RETURNED)

    assert steps == (ToolRequested("r1.2", 1, "look_up", {"key": "b"}),)


# -- after the outcomes of calls ----------------------------------------------------------------


def test_the_outcome_of_the_only_call_asks_the_model() -> None:
    assert Given(AGENT, HELLO, ASKED, LOOKED_UP, LOOK_UP).when(RETURNED) == (ASKED_AGAIN,)


def test_passages_ask_the_model() -> None:
    assert Given(AGENT, HELLO, ASKED, SEARCHED, RETRIEVAL).when(FOUND) == (ASKED_AGAIN,)


@pytest.mark.parametrize(
    "outcome",
    [ToolFailed("r1.1", 1, "no"), ToolUnknown("r1.1", 1, "?"), RetrievalFailed("r1.1", 1, "no")],
)
def test_an_outcome_that_is_bad_news_asks_the_model_too(outcome: Event) -> None:
    assert Given(AGENT, HELLO, ASKED, LOOKED_UP, LOOK_UP).when(outcome) == (ASKED_AGAIN,)


def test_the_model_is_asked_only_after_the_last_outcome() -> None:
    calls = (ToolCall("r1.1", "look_up", {}), ToolCall("r1.2", "look_up", {}))
    both = ToolRequested("r1.1", 1, "look_up", {}), ToolRequested("r1.2", 1, "look_up", {})
    given = Given(AGENT, HELLO, ASKED, answer(*calls), *both)

    assert given.when(ToolReturned("r1.2", 1, "2")) == ()
    assert given.when(ToolReturned("r1.1", 1, "1")) == (ASKED_AGAIN,)


def test_the_start_of_a_tool_asks_for_nothing() -> None:
    given = Given(AGENT, HELLO, ASKED, LOOKED_UP, LOOK_UP)

    assert given.when(ToolStarted("r1.1", 1, "w1")) == ()


# -- after an answer of text --------------------------------------------------------------------


def test_an_answer_of_text_is_the_response() -> None:
    assert Given(AGENT, HELLO, ASKED).when(ANSWERED) == (RESPONDED,)


def test_the_response_is_all_the_text_and_what_the_model_refused_to_say() -> None:
    steps = Given(AGENT, HELLO, ASKED).when(answer(Text("I would, "), Refusal("but I cannot.")))

    assert steps == (ResponseGiven(1, "I would, but I cannot."),)


def test_what_the_model_thought_is_never_said() -> None:
    steps = Given(AGENT, HELLO, ASKED).when(answer(Thinking("He will hate it. "), Text("No.")))

    assert steps == (ResponseGiven(1, "No."),)


@pytest.mark.parametrize("parts", [(), (Text(""),), (Text(" \n"),)])
def test_an_answer_without_text_abandons_the_turn(parts: Sequence[Part]) -> None:
    steps = Given(AGENT, HELLO, ASKED).when(answer(*parts))

    why = "the model's answer has no text (finish: stop)"
    assert steps == (TurnAbandoned(1, "empty", why),)


def test_a_citation_that_stands_in_a_retrieved_passage_is_accepted() -> None:
    true = cite(PASSAGE, "opens at 9")
    assert true is not None
    said = answer(Text("At 9.", (true,)), call="r2")

    steps = Given(AGENT, HELLO, ASKED, SEARCHED, RETRIEVAL, FOUND, ASKED_AGAIN).when(said)

    assert steps == (ResponseGiven(1, "At 9.", (true,)),)


def test_a_citation_whose_quote_is_nowhere_is_refused_and_the_answer_is_given() -> None:
    true = cite(PASSAGE, "opens at 9")
    assert true is not None
    forged = Citation(PASSAGE.document, PASSAGE.digest, 10, 22, "opens at ten")
    said = answer(Text("At 9 ", (forged, true)), Text("or 10.", (forged,)), call="r2")

    steps = Given(AGENT, HELLO, ASKED, SEARCHED, RETRIEVAL, FOUND, ASKED_AGAIN).when(said)

    why = "the quote does not stand at 10-22 of a retrieved passage"
    refused = RefusedCitation(forged, why)
    assert steps == (ResponseGiven(1, "At 9 or 10.", (true,), (refused, refused)),)


def test_a_citation_may_rest_on_a_passage_of_an_earlier_turn() -> None:
    true = cite(PASSAGE, "opens at 9")
    assert true is not None
    first = (HELLO, ASKED, SEARCHED, RETRIEVAL, FOUND, ASKED_AGAIN)
    given = Given(AGENT, *first, replace(ANSWERED, call="r2"), RESPONDED)
    (asked,) = given.when(SECOND)
    assert isinstance(asked, ReasonRequested)

    steps = given.when(Reasoned(asked.call, 2, "scripted", (Text("At 9.", (true,)),)))

    assert steps == (ResponseGiven(2, "At 9.", (true,)),)


def test_after_a_response_the_message_that_waited_is_heard() -> None:
    steps = Given(AGENT, HELLO, ASKED, SECOND).when(ANSWERED)

    assert steps == (RESPONDED, ReasonRequested("r2", 2, "scripted", ASKED.tools, heard=1))


def test_an_answer_that_comes_after_the_turn_was_cancelled_is_not_given() -> None:
    assert Given(AGENT, HELLO, ASKED, TurnCancelled(1, "asked to")).when(ANSWERED) == ()


# -- after a failure of a model -----------------------------------------------------------------


def test_a_failure_that_may_pass_asks_again_later() -> None:
    steps = Given(AGENT, HELLO, ASKED).when(BUSY)

    assert steps == (replace(ASKED_AGAIN, attempt=2, delay_s=0.5),)


def test_the_next_model_on_the_list_is_asked_at_once() -> None:
    agent = replace(AGENT, models=("small", "large"))
    (asked,) = Given(agent).when(HELLO)
    assert isinstance(asked, ReasonRequested)

    (again,) = Given(agent, HELLO, asked).when(busy(1, model="small"))

    assert asked.model == "small"
    assert again == replace(ASKED_AGAIN, model="large", attempt=2, delay_s=0)


def test_after_the_last_model_the_list_begins_again_and_each_round_waits_twice_as_long() -> None:
    given = Given(replace(AGENT, models=("small", "large")), HELLO)
    asks = [given.when()[0]]
    for number in range(1, 6):
        asks += given.when(busy(number))

    made = [ask for ask in asks if isinstance(ask, ReasonRequested)]
    assert [ask.model for ask in made] == ["small", "large"] * 3
    assert [ask.attempt for ask in made] == [1, 2, 3, 4, 5, 6]
    assert [ask.delay_s for ask in made] == [0, 0, 0.5, 0.5, 1.0, 1.0]


def test_each_model_on_the_list_is_asked_in_its_turn() -> None:
    given = Given(replace(AGENT, models=("a", "b", "c")), HELLO)
    asks = [given.when()[0], *(given.when(busy(number))[0] for number in (1, 2, 3))]

    assert [getattr(ask, "model", "") for ask in asks] == ["a", "b", "c", "a"]


def test_the_provider_may_ask_for_a_longer_wait_but_not_for_ever() -> None:
    (longer,) = Given(AGENT, HELLO, ASKED).when(replace(BUSY, delay_s=7))
    (longest,) = Given(AGENT, HELLO, ASKED).when(replace(BUSY, delay_s=700))
    (shorter,) = Given(AGENT, HELLO, ASKED).when(replace(BUSY, delay_s=0.1))

    waits = [ask.delay_s for ask in (longer, longest, shorter) if isinstance(ask, ReasonRequested)]
    assert waits == [7, 30, 0.5]


def test_when_every_attempt_has_failed_the_turn_is_abandoned() -> None:
    given = Given(AGENT, HELLO, ASKED)
    steps = [step for number in (1, 2, 3) for step in given.when(busy(number))]

    assert [type(step) for step in steps] == [ReasonRequested, ReasonRequested, TurnAbandoned]
    assert steps[2] == TurnAbandoned(1, "model", "3 attempts failed, the last: scripted: busy")


def test_attempts_are_counted_for_each_ask_anew() -> None:
    given = Given(AGENT, HELLO, ASKED)
    given.when(BUSY)
    given.when(Reasoned("r2", 1, "scripted", (ToolCall("r2.1", "look_up", {}),)))

    (asked,) = given.when(ToolReturned("r2.1", 1, "x"))

    assert asked == ReasonRequested("r3", 1, "scripted", ASKED.tools)


def test_a_failure_that_would_not_pass_abandons_the_turn() -> None:
    failed = ReasonFailed("r1", 1, "scripted", "not_found", "no such model")

    steps = Given(AGENT, HELLO, ASKED).when(failed)

    assert steps == (TurnAbandoned(1, "model", "scripted: not_found: no such model"),)


def test_after_an_abandoned_turn_the_message_that_waited_is_heard() -> None:
    steps = Given(AGENT, HELLO, ASKED, SECOND).when(replace(BUSY, retryable=False))

    assert steps == (
        TurnAbandoned(1, "model", "scripted: rate_limit: 429"),
        ReasonRequested("r2", 2, "scripted", ASKED.tools, heard=1),
    )


# -- limits -------------------------------------------------------------------------------------


def test_a_turn_asks_no_more_often_than_its_limit() -> None:
    steps = Given(limited(steps_max=1), HELLO, ASKED, LOOKED_UP, LOOK_UP).when(RETURNED)

    assert steps == (TurnAbandoned(1, "steps", "the model was asked 1 times in this turn"),)


def test_another_attempt_at_the_same_ask_is_not_another_step() -> None:
    steps = Given(limited(steps_max=1), HELLO, ASKED).when(BUSY)

    assert [type(step) for step in steps] == [ReasonRequested]


def test_a_turn_without_any_step_is_abandoned_before_its_first_ask() -> None:
    steps = Given(limited(steps_max=0)).when(HELLO)

    assert steps == (TurnAbandoned(1, "steps", "the model was asked 0 times in this turn"),)


def test_a_turn_spends_no_more_than_its_limit() -> None:
    agent = limited(cost_usd_max=Decimal("0.05"))
    called = answer(ToolCall("r1.1", "look_up", {}), cost_usd="0.05")

    steps = Given(agent, HELLO, ASKED, called, LOOK_UP).when(RETURNED)

    assert steps == (TurnAbandoned(1, "cost", "0.05 of 0.05 USD are spent"),)


def test_below_its_limit_of_cost_a_turn_goes_on() -> None:
    agent = limited(cost_usd_max=Decimal("0.05"))
    called = answer(ToolCall("r1.1", "look_up", {}), cost_usd="0.04")

    assert Given(agent, HELLO, ASKED, called, LOOK_UP).when(RETURNED) == (ASKED_AGAIN,)


def test_what_other_turns_spent_does_not_count_against_this_one() -> None:
    agent = limited(cost_usd_max=Decimal("0.05"))
    first = (HELLO, ASKED, answer(Text("At 9."), cost_usd="0.05"), RESPONDED)

    steps = Given(agent, *first).when(SECOND)

    assert steps == (ReasonRequested("r2", 2, "scripted", ASKED.tools, heard=1),)


def test_another_attempt_is_an_ask_at_the_limit_of_cost_too() -> None:
    agent = limited(cost_usd_max=Decimal("0.05"))

    steps = Given(agent, HELLO, ASKED).when(replace(BUSY, cost_usd=Decimal("0.06")))

    assert steps == (TurnAbandoned(1, "cost", "0.06 of 0.05 USD are spent"),)


def test_an_answer_that_is_there_is_given_even_at_the_limit_of_cost() -> None:
    agent = limited(cost_usd_max=Decimal("0.05"))

    assert Given(agent, HELLO, ASKED).when(answer(Text("At 9."), cost_usd="1")) == (RESPONDED,)


def test_an_agent_without_a_model_says_so() -> None:
    steps = Given(replace(AGENT, models=())).when(HELLO)

    (step,) = steps
    assert isinstance(step, TurnAbandoned)
    assert (step.reason, step.detail) == (
        "model",
        "no route for task 'converse' (known: none): no model fits",
    )


@pytest.mark.parametrize("moment", range(4))
def test_a_turn_that_has_used_its_time_is_abandoned_at_any_moment(moment: int) -> None:
    turn = (ASKED, LOOKED_UP, LOOK_UP, ToolStarted("r1.1", 1, "w1"))[: moment + 1]

    steps = Given(limited(turn_s=90), HELLO, *turn).when(TurnExpired(1))

    assert steps == (TurnAbandoned(1, "time", "the turn took longer than 90 s"),)


def test_time_that_runs_out_after_the_turn_changes_nothing() -> None:
    assert Given(AGENT, HELLO, ASKED, ANSWERED, RESPONDED).when(TurnExpired(1)) == ()


def test_time_that_ran_out_wins_over_a_newer_message() -> None:
    steps = Given(SUPERSEDING, HELLO, ASKED, TurnExpired(1)).when(SECOND)

    assert [type(step) for step in steps] == [TurnAbandoned, ReasonRequested]


# -- a second message during a run --------------------------------------------------------------


def test_a_message_that_waits_is_not_heard_by_the_running_turn() -> None:
    (asked,) = Given(AGENT, HELLO, ASKED, LOOKED_UP, LOOK_UP, SECOND).when(RETURNED)

    assert asked == ASKED_AGAIN


def test_a_message_is_merged_at_the_next_ask() -> None:
    (asked,) = Given(MERGING, HELLO, ASKED, LOOKED_UP, LOOK_UP, SECOND).when(RETURNED)

    assert asked == replace(ASKED_AGAIN, heard=1)


def test_a_message_is_merged_instead_of_an_answer_that_did_not_know_it() -> None:
    steps = Given(MERGING, HELLO, ASKED, SECOND).when(ANSWERED)

    assert steps == (replace(ASKED_AGAIN, heard=1),)


def test_a_message_is_merged_at_another_attempt() -> None:
    steps = Given(MERGING, HELLO, ASKED, SECOND).when(BUSY)

    assert steps == (replace(ASKED_AGAIN, heard=1, attempt=2, delay_s=0.5),)


def test_merging_too_ends_at_the_limit_of_steps_and_hears_the_message_in_a_turn_of_its_own() -> (
    None
):
    steps = Given(limited(MERGING, steps_max=1), HELLO, ASKED, SECOND).when(ANSWERED)

    assert steps == (
        TurnAbandoned(1, "steps", "the model was asked 1 times in this turn"),
        ReasonRequested("r2", 2, "scripted", ASKED.tools, heard=1),
    )


def test_without_a_second_message_a_merging_agent_answers() -> None:
    assert Given(MERGING, HELLO, ASKED).when(ANSWERED) == (RESPONDED,)


@pytest.mark.parametrize("moment", range(4))
def test_a_message_supersedes_the_turn_at_any_moment(moment: int) -> None:
    turn = (ASKED, LOOKED_UP, LOOK_UP, ToolStarted("r1.1", 1, "w1"))[: moment + 1]

    steps = Given(SUPERSEDING, HELLO, *turn).when(SECOND)

    assert steps == (
        TurnCancelled(1, "superseded by a newer message"),
        ReasonRequested("r2", 2, "scripted", ASKED.tools, heard=1),
    )


def test_without_a_second_message_a_superseding_agent_answers() -> None:
    assert Given(SUPERSEDING, HELLO, ASKED).when(ANSWERED) == (RESPONDED,)


def test_a_superseded_answer_that_comes_late_is_not_given() -> None:
    given = Given(SUPERSEDING, HELLO, ASKED)
    given.when(SECOND)

    assert given.when(ANSWERED) == ()


# -- cancelling ---------------------------------------------------------------------------------


def test_a_cancelled_turn_asks_for_nothing() -> None:
    assert Given(AGENT, HELLO, ASKED, LOOKED_UP, LOOK_UP).when(TurnCancelled(1, "asked to")) == ()


def test_after_a_cancelled_turn_the_message_that_waited_is_heard() -> None:
    steps = Given(AGENT, HELLO, ASKED, SECOND).when(TurnCancelled(1, "asked to"))

    assert steps == (ReasonRequested("r2", 2, "scripted", ASKED.tools, heard=1),)


# -- vetoes -------------------------------------------------------------------------------------


def vetoed(kind: type, *events: Event) -> Given:
    def veto(state: Conversation, event: Event) -> str | None:
        return "not today" if isinstance(event, kind) else None

    return Given(AGENT, *events, vetoes=(veto,))


def test_a_vetoed_tool_is_refused_with_the_reason() -> None:
    refused, _ = vetoed(ToolRequested, HELLO, ASKED).when(LOOKED_UP)

    assert refused == ToolRefused("r1.1", 1, "look_up", "not today")


def test_a_vetoed_retrieval_is_refused_with_the_reason() -> None:
    refused, _ = vetoed(RetrievalRequested, HELLO, ASKED).when(SEARCHED)

    assert refused == ToolRefused("r1.1", 1, "search", "not today")


def test_a_vetoed_response_abandons_the_turn() -> None:
    assert vetoed(ResponseGiven, HELLO, ASKED).when(ANSWERED) == (
        TurnAbandoned(1, "vetoed", "not today"),
    )


def test_a_vetoed_ask_cannot_loop_for_ever() -> None:
    given = vetoed(ReasonRequested)

    assert given.when(HELLO) == (TurnAbandoned(1, "vetoed", "not today"),)
    assert given.when(SECOND) == (TurnAbandoned(2, "vetoed", "not today"),)
    assert not given.state.unheard


def test_a_veto_in_the_middle_of_a_turn_hears_what_waits_and_ends() -> None:
    steps = vetoed(ReasonRequested, HELLO, ASKED, LOOKED_UP, LOOK_UP, SECOND).when(RETURNED)

    assert steps == (
        TurnAbandoned(1, "vetoed", "not today"),
        TurnAbandoned(2, "vetoed", "not today"),
    )


@pytest.mark.parametrize("kind", [TurnAbandoned, TurnCancelled, ToolRefused])
def test_giving_up_cannot_be_vetoed(kind: type) -> None:
    given = vetoed(kind, HELLO, ASKED, answer(ToolCall("r1.1", "send_email", {})))

    assert type(given.when()[0]) is ToolRefused
    assert type(given.when(TurnExpired(1))[0]) is TurnAbandoned


def test_a_veto_is_asked_with_the_state_and_the_step() -> None:
    asked: list[tuple[int, Event]] = []

    def veto(state: Conversation, event: Event) -> str | None:
        asked.append((len(state.transcript), event))
        return None

    steps = Given(AGENT, HELLO, vetoes=(veto, veto)).when(ASKED, ANSWERED)

    assert steps == (RESPONDED,)
    assert asked == [(1, RESPONDED), (1, RESPONDED)]


def test_the_first_veto_that_has_a_reason_gives_it() -> None:
    def silent(state: Conversation, event: Event) -> None:
        return None

    def strict(state: Conversation, event: Event) -> str:
        return "strict"

    def stricter(state: Conversation, event: Event) -> str:
        return "stricter"

    steps = Given(AGENT, HELLO, ASKED, vetoes=(silent, strict, stricter)).when(ANSWERED)

    assert steps == (TurnAbandoned(1, "vetoed", "strict"),)


# -- deciding twice -----------------------------------------------------------------------------


def test_what_was_decided_is_not_decided_again() -> None:
    story: list[Event] = [STARTED, HELLO, ASKED, LOOKED_UP, LOOK_UP, RETURNED, ASKED_AGAIN]

    due = [decide(AGENT, replay(story[: length + 1])) for length in range(len(story))]

    assert due == [(), (ASKED,), (), (LOOK_UP,), (), (ASKED_AGAIN,), ()]


def test_decisions_are_signed_as_they_were_when_the_first_log_was_written() -> None:
    assert BY == "agent"


def test_limits_have_the_defaults_that_the_words_promise() -> None:
    assert Limits() == Limits(12, 16, 3, None, 180.0, 60.0, 0.5, 30.0)

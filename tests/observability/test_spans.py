"""What the steps of a conversation are told as: which spans, when, in which trace, how they end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from stepfold.events.event import (
    ConversationStopped,
    Event,
    MessageReceived,
    Reasoned,
    ReasonRequested,
    ResponseGiven,
    RetrievalFailed,
    ToolFailed,
    ToolRefused,
    ToolUnknown,
    TurnAbandoned,
    TurnCancelled,
)
from stepfold.events.examples import examples
from stepfold.events.traces import caller, span_id, trace_id, traceparent
from stepfold.events.values import Text
from stepfold.observability import names
from stepfold.observability.span import TEXT_CHARS_MAX, Link, nanoseconds
from stepfold.observability.spans import START, advance, spans
from stepfold.streams.archive import entries, load
from tests.observability.made import (
    ANSWERED,
    ASKED,
    BEGIN,
    CALLER_SPAN,
    CALLER_TRACE,
    FAILED,
    FOUND,
    GIVEN,
    HELLO,
    SEARCH,
    SHADOW,
    SHADOWED,
    STARTED,
    TOOL,
    TOOL_RETURNED,
    TRACEPARENT,
    WHOLE,
    at,
    recorded,
    told,
)

EXAMPLES = [entry.event for entry in examples().values()]
LOGS = sorted((Path(__file__).parents[1] / "logs").glob("*.jsonl"))
ROOT = "invoke_agent help-desk"
"""The name of the span of a turn."""


def test_a_turn_is_one_trace_with_a_span_for_each_call_below_its_own() -> None:
    found = spans(recorded(WHOLE))
    root = found[0]

    assert [(span.name, span.attributes[names.KIND]) for span in found] == [
        (ROOT, "AGENT"),
        ("chat gpt-x", "LLM"),
        ("chat claude-y", "LLM"),
        ("execute_tool find", "TOOL"),
        ("retrieval handbook", "RETRIEVER"),
        ("rerank rerank-v3", "RERANKER"),
        ("embed embed-s", "EMBEDDING"),
        ("chat claude-y", "LLM"),
        ("chat small", "LLM"),
    ]
    assert {span.trace for span in found} == {trace_id("", "acme", "c1", 1)}
    assert root.parent == ""
    below = [span for span in found[1:] if span.attributes[names.KIND] not in PAID_BELOW_A_SEARCH]
    assert {span.parent for span in below} == {root.id}
    assert {span.parent for span in found[5:7]} == {found[4].id}


PAID_BELOW_A_SEARCH = ("RERANKER", "EMBEDDING")


def test_times_are_those_of_the_steps() -> None:
    found = spans(recorded(WHOLE))

    assert [((s.begin - BEGIN).seconds, (s.end - BEGIN).seconds) for s in found[:5]] == [
        (1, 14),
        (2, 3),
        (4, 6),
        (7, 10),
        (8, 11),
    ]


def test_what_a_search_bought_is_laid_end_to_end_before_its_end() -> None:
    found = spans(recorded(WHOLE))
    search, rerank, embed = found[4:7]

    assert rerank.end == search.end == at(11)
    assert embed.end == rerank.begin
    assert (embed.end - embed.begin).total_seconds() == 0.1


def test_ids_are_those_of_the_steps_so_that_what_a_model_was_handed_names_its_span() -> None:
    entries = recorded(WHOLE, trace=TRACEPARENT)
    asked = entries[2]

    _, call, *_ = spans(entries)

    handed = traceparent(asked.trace, *asked.key, 1, asked.id)
    assert caller(handed) == (call.trace, call.id) == (CALLER_TRACE, span_id(asked.id))


def test_every_span_has_an_id_of_its_own() -> None:
    found = spans(recorded(WHOLE))

    assert len({span.id for span in found}) == len(found)


def test_a_callers_span_is_the_parent_of_the_turn() -> None:
    found = spans(recorded(WHOLE, trace=TRACEPARENT))

    root = found[0]
    assert {span.trace for span in found} == {CALLER_TRACE}
    assert (root.parent, root.remote, root.kind) == (CALLER_SPAN, True, "server")
    assert not any(span.remote for span in found[1:])


@pytest.mark.parametrize("trace", ["", "nonsense", f"00-{'0' * 32}-{'0' * 16}-01"])
def test_without_a_caller_a_trace_is_the_turns_own(trace: str) -> None:
    root = told(STARTED, HELLO, ASKED, ANSWERED_FIRST, GIVEN, trace=trace)[ROOT]

    assert (root.trace, root.parent, root.remote) == (trace_id("", "acme", "c1", 1), "", False)


ANSWERED_FIRST = replace(ANSWERED, call="r1")


def test_two_turns_are_two_traces() -> None:
    again = (
        MessageReceived("And now?", message="m2"),
        ReasonRequested("r2", 2, "small", heard=1),
        Reasoned("r2", 2, "small", (Text("Now."),)),
        ResponseGiven(2, "Now."),
    )

    found = spans(recorded((STARTED, HELLO, ASKED, ANSWERED_FIRST, GIVEN, *again)))

    roots = [span for span in found if span.name == ROOT]
    assert [root.attributes[names.TURN] for root in roots] == [1, 2]
    assert len({root.trace for root in roots}) == 2


# -- when a span is told ------------------------------------------------------------------------


def test_an_open_turn_tells_nothing() -> None:
    assert spans(recorded(WHOLE[:-2])) == ()


def test_a_turn_is_told_when_it_ends_and_a_late_shadow_when_its_outcome_comes() -> None:
    found = spans(recorded(WHOLE))

    assert [span.position for span in found] == [15] * 8 + [16]
    assert found[-1].attributes[names.SHADOW] is True


def test_a_shadow_that_never_comes_is_never_told() -> None:
    assert names.SHADOW not in {name for s in spans(recorded(WHOLE[:-1])) for name in s.attributes}


@given(st.integers(min_value=0, max_value=len(WHOLE)))
def test_what_was_told_does_not_change_when_the_conversation_goes_on(length: int) -> None:
    entries = recorded(WHOLE)

    before = spans(entries[:length])

    assert spans(entries)[: len(before)] == before


def test_a_tool_that_a_cancel_did_not_stop_is_told_when_it_ends() -> None:
    cancelled = TurnCancelled(1, "enough")
    tool = replace(TOOL, call="r1.1")
    steps = (STARTED, HELLO, ASKED, tool, cancelled, replace(TOOL_RETURNED, call="r1.1"))

    root, late = spans(recorded(steps))

    assert (root.position, late.position) == (5, 6)
    assert (late.parent, late.trace) == (root.id, root.trace)


def test_a_conversation_that_is_stopped_ends_its_turn() -> None:
    root = told(STARTED, HELLO, ASKED, ConversationStopped("poison"))[ROOT]

    assert root.error == "stopped: poison"
    assert root.attributes[names.OUTCOME] == "stopped"


# -- how a turn ends ----------------------------------------------------------------------------


def test_a_turn_says_what_it_was_told_and_what_it_answered() -> None:
    root = told(STARTED, HELLO, ASKED, ANSWERED_FIRST, GIVEN)[ROOT]

    assert root.attributes[names.INPUT] == HELLO.text
    assert root.attributes[names.OUTPUT] == GIVEN.text
    assert root.attributes[names.OUTCOME] == "answered"
    assert root.error == ""


def test_a_turn_that_is_given_up_is_an_error_with_the_reason() -> None:
    given_up = TurnAbandoned(1, "model", "gpt-x: rate_limit")

    root = told(STARTED, HELLO, ASKED, FAILED, given_up)[ROOT]

    assert root.error == "model: gpt-x: rate_limit"
    assert names.OUTPUT not in root.attributes


def test_a_turn_that_is_given_up_before_its_first_ask_is_told_with_what_it_would_have_heard() -> (
    None
):
    root = told(STARTED, HELLO, TurnAbandoned(1, "budget", "0 USD are left"))[ROOT]

    assert (root.begin, root.end) == (at(1), at(2))
    assert root.attributes[names.INPUT] == HELLO.text


def test_a_cancelled_turn_is_no_error() -> None:
    root = told(STARTED, HELLO, ASKED, TurnCancelled(1, "asked to"))[ROOT]

    assert root.error == ""
    assert root.attributes[names.OUTCOME] == "cancelled"
    assert root.attributes[names.REASON] == "asked to"


def test_a_turn_begins_with_the_first_message_it_hears_and_links_the_callers_of_the_others() -> (
    None
):
    entries = recorded((STARTED, HELLO, HELLO_TOO, HEARD_BOTH, ANSWERED_FIRST, GIVEN))
    traced = [
        replace(entry, trace=trace)
        for entry, trace in zip(entries, ("", OTHER, *[TRACEPARENT] * 4), strict=True)
    ]

    root = spans(traced)[0]

    assert root.begin == at(1)
    assert root.attributes[names.INPUT] == f"{HELLO.text}\n\n{HELLO_TOO.text}"
    assert root.parent == CALLER_SPAN
    assert root.links == (Link("1" * 32, "2" * 16),)


HELLO_TOO = MessageReceived("Order 7.", message="m2")
HEARD_BOTH = replace(ASKED, heard=2)
OTHER = f"00-{'1' * 32}-{'2' * 16}-01"


def test_a_message_that_is_merged_into_a_turn_is_part_of_what_it_was_told() -> None:
    merged = ReasonRequested("r2", 1, "small", heard=1)
    answered = replace(ANSWERED, call="r2")
    steps = (STARTED, HELLO, ASKED, ANSWERED_FIRST, HELLO_TOO, merged, answered, GIVEN)

    root, _, second = spans(recorded(steps))

    assert root.attributes[names.INPUT] == f"{HELLO.text}\n\n{HELLO_TOO.text}"
    assert shown(second.attributes[names.INPUT]) == [("user", HELLO_TOO.text)]


def test_a_message_that_is_recorded_twice_is_heard_once() -> None:
    steps = (STARTED, HELLO, HELLO, ASKED, ANSWERED_FIRST, GIVEN)

    root = told(*steps)[ROOT]

    assert root.attributes[names.INPUT] == HELLO.text


def shown(input_: object) -> list[tuple[str, str]]:
    assert isinstance(input_, str)
    return [(message["role"], message["content"]) for message in json.loads(input_)]


# -- how a call ends ----------------------------------------------------------------------------


def test_a_failed_attempt_is_an_error_with_the_reason() -> None:
    failed = spans(recorded(WHOLE))[1]

    assert failed.error == "rate_limit: slow down"
    assert failed.attributes[names.ERROR_TYPE] == "rate_limit"


@pytest.mark.parametrize(
    ("outcome", "error"),
    [
        (ToolFailed("r2.1", 1, "no such order"), "failed"),
        (ToolUnknown("r2.1", 1, "its worker died"), "unknown"),
        (ToolRefused("r2.1", 1, "find", "a person must say so"), "refused"),
    ],
)
def test_a_tool_that_did_not_do_it_is_an_error(
    outcome: ToolFailed | ToolUnknown | ToolRefused, error: str
) -> None:
    span = told(STARTED, HELLO, ASKED, TOOL, outcome, GIVEN)["execute_tool find"]

    assert span.error == outcome.reason
    assert span.attributes[names.ERROR_TYPE] == error


def test_a_call_that_was_refused_before_it_was_requested_has_no_length() -> None:
    refused = ToolRefused("r1.1", 1, "wipe", "not allowed")

    span = told(STARTED, HELLO, ASKED, refused, GIVEN)["execute_tool wipe"]

    assert span.begin == span.end == at(3)
    assert span.error == "not allowed"


def test_a_search_that_found_nothing_for_a_reason_is_an_error() -> None:
    failed = RetrievalFailed("r2.2", 1, "collection 'handbook': unknown")

    span = told(STARTED, HELLO, ASKED, SEARCH, failed, GIVEN)["retrieval handbook"]

    assert span.error == failed.reason


def test_a_clock_that_runs_behind_gives_no_span_that_ends_before_it_begins() -> None:
    entries = recorded((STARTED, HELLO, ASKED, ANSWERED_FIRST, GIVEN))
    entries[3] = replace(entries[3], at=at(0))

    _, call = spans(entries)

    assert call.begin == call.end == at(2)


# -- what holds for every log -------------------------------------------------------------------


@pytest.mark.parametrize("log", LOGS, ids=lambda path: path.stem)
def test_each_turn_of_a_recorded_log_that_ended_has_its_root(log: Path) -> None:
    found = list(entries(load(log)))

    told = spans(found)

    ends = [e for e in found if isinstance(e.event, ResponseGiven | TurnAbandoned | TurnCancelled)]
    roots = [span for span in told if span.attributes[names.KIND] == "AGENT"]
    assert [root.position for root in roots] == [entry.position for entry in ends]
    assert len({span.id for span in told}) == len(told)


@given(st.lists(st.sampled_from([*WHOLE, *EXAMPLES, FOUND, SHADOW, SHADOWED]), max_size=30))
def test_any_steps_in_any_order_are_told_as_spans_that_end_after_they_begin(
    steps: list[Event],
) -> None:
    for span in spans(recorded(steps)):
        assert span.begin <= span.end
        assert len(span.trace) == 32
        assert len(span.id) == 16


def test_a_long_text_is_cut_and_says_so() -> None:
    long = replace(HELLO, text="x" * (TEXT_CHARS_MAX + 1))

    root = told(STARTED, long, ASKED, ANSWERED_FIRST, GIVEN)[ROOT]

    assert str(root.attributes[names.INPUT]).endswith("the log has all of it]")


def test_nanoseconds_are_exact() -> None:
    assert nanoseconds(at(0).replace(microsecond=123457)) % 10**9 == 123_457_000


def test_a_state_says_how_much_is_running() -> None:
    state = START
    running = []
    for entry in recorded((STARTED, HELLO, ASKED, ANSWERED_FIRST, GIVEN)):
        state, _ = advance(state, entry)
        running.append(len(state.running))

    assert running == [0, 0, 1, 1, 0]

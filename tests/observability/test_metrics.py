"""What the steps of conversations made by hand add up to, against counts made by hand."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

import pytest

from stepfold.events.envelope import Entry, kind
from stepfold.events.event import (
    ConversationStopped,
    Event,
    Generated,
    GenerationAbandoned,
    GenerationFailed,
    GenerationRequested,
    MessageReceived,
    Reasoned,
    RetrievalFailed,
    ToolFailed,
    ToolRefused,
    ToolUnknown,
    TurnAbandoned,
    TurnCancelled,
)
from stepfold.events.steps import Stored
from stepfold.events.values import Text, Usage
from stepfold.events.wire import encode, subject
from stepfold.observability import families
from stepfold.observability.families import (
    COST,
    ERRORS,
    FIRST,
    IN_HAND,
    MODELS,
    STEPS,
    TOKENS,
    TOOLS,
    TURNS,
    UNPRICED,
    WAITING,
)
from stepfold.observability.metrics import Lane, Metrics
from stepfold.observability.numbers import OTHER, SECONDS, Family, Labels
from tests.observability.made import BEGIN, HELLO, WHOLE, recorded


def stored(entry: Entry) -> Stored:
    payload = encode(entry, at=entry.at, after=entry.after)
    return Stored(entry.position, subject(entry), payload, entry.at)


def counted(*events: Event) -> Metrics:
    metrics = Metrics()
    take(metrics, recorded(events))
    return metrics


def take(metrics: Metrics, entries: Iterable[Entry]) -> None:
    for entry in entries:
        metrics.take(stored(entry))


def seconds(metrics: Metrics, family: Family) -> dict[Labels, tuple[int, float]]:
    """How many there were, and how long they took together."""
    found = metrics.numbers.buckets[family].items()
    return {labels: (sum(each.counts), round(each.sum, 6)) for labels, each in found}


def test_every_step_counts_by_its_kind() -> None:
    metrics = counted(*WHOLE)

    assert metrics.numbers.values[STEPS] == {
        ("conversation.started",): 1,
        ("message.received",): 1,
        ("reason.requested",): 4,
        ("reason.failed",): 1,
        ("reason.finished",): 3,
        ("tool.requested",): 1,
        ("tool.started",): 1,
        ("tool.returned",): 1,
        ("retrieval.requested",): 1,
        ("retrieval.returned",): 1,
        ("response.given",): 1,
    }


def test_a_turn_takes_as_long_as_its_contact_waits() -> None:
    metrics = counted(*WHOLE)

    assert seconds(metrics, TURNS) == {("answered", "acme"): (1, 13.0)}
    assert metrics.numbers.buckets[TURNS]["answered", "acme"].counts[SECONDS.index(20.0)] == 1


def test_models_are_told_apart_by_the_names_they_were_asked_for() -> None:
    metrics = counted(*WHOLE)

    assert seconds(metrics, MODELS) == {
        ("openai", "gpt-x", "failed"): (1, 0.0),
        ("anthropic", "claude-y", "answered"): (2, 0.9),
        ("", "small", "answered"): (1, 0.0),
    }
    assert seconds(metrics, FIRST) == {("anthropic", "claude-y"): (1, 0.4)}


def test_tools_and_searches_take_what_their_workers_measured() -> None:
    metrics = counted(*WHOLE, ToolFailed("r9", 1, "broken", 2000.0))

    assert seconds(metrics, TOOLS) == {
        ("find", "returned"): (1, 0.012),
        ("search", "returned"): (1, 0.25),
        ("", "failed"): (1, 2.0),
    }


def test_tokens_are_those_of_all_that_is_paid() -> None:
    metrics = counted(*WHOLE)

    assert metrics.numbers.values[TOKENS] == {
        ("anthropic", "claude-y", "input", "acme"): 2200,
        ("anthropic", "claude-y", "output", "acme"): 59,
        ("anthropic", "claude-y", "cached", "acme"): 600,
        ("", "small", "input", "acme"): 700,
        ("", "small", "output", "acme"): 3,
        ("openai", "embed-s", "input", "acme"): 8,
    }


def test_cost_is_what_is_known_and_the_rest_is_counted_as_unpriced() -> None:
    metrics = counted(*WHOLE)

    assert metrics.numbers.values[COST] == {
        ("anthropic", "claude-y", "acme"): 0.0123,
        ("openai", "embed-s", "acme"): 0.00000016,
    }
    assert metrics.numbers.values[UNPRICED] == {
        ("anthropic", "claude-y"): 1,
        ("cohere", "rerank-v3"): 1,
    }


def test_generations_are_calls_of_models() -> None:
    asked = GenerationRequested("g1", "classify", "x", {}, "openai/gpt-x")
    mended = GenerationRequested("g2", "classify", "x", {}, "openai/gpt-x", job="g1", attempt=2)
    failed = GenerationFailed("g1", "schema", "gpt-x-1", elapsed_ms=500.0, provider="openai")
    done = Generated(
        "g2", {}, "gpt-x-1", Usage(5, 2), Decimal("0.5"), elapsed_ms=250.0, provider="openai"
    )

    metrics = counted(asked, failed, mended, done)

    assert seconds(metrics, MODELS) == {
        ("openai", "gpt-x", "failed"): (1, 0.5),
        ("openai", "gpt-x", "answered"): (1, 0.25),
    }
    assert metrics.numbers.values[COST] == {("openai", "gpt-x", "acme"): 0.5}


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (GenerationFailed("g1", "schema", "m"), "schema"),
        (GenerationAbandoned("g1", "attempts"), "attempts"),
        (TurnAbandoned(1, "steps", "12 of 12"), "steps"),
        (ToolFailed("r1.1", 1, "no such order: 7"), ""),
        (ToolRefused("r1.1", 1, "find", "not permitted"), ""),
        (ToolUnknown("r1.1", 1, "its worker died"), ""),
        (RetrievalFailed("r1.1", 1, "no such collection"), ""),
        (ConversationStopped("it cannot be read"), ""),
    ],
)
def test_what_failed_is_an_error_with_its_word_but_never_with_a_sentence(
    event: Event, reason: str
) -> None:
    metrics = counted(event)

    assert metrics.numbers.values[ERRORS] == {(kind(event), reason): 1}


def test_what_went_well_or_was_ended_on_purpose_is_no_error() -> None:
    answered = [event for event in WHOLE if kind(event) != "reason.failed"]

    metrics = counted(*answered, TurnCancelled(1, "enough"))

    assert metrics.numbers.values[ERRORS] == {}


def test_a_step_that_cannot_be_read_is_an_error() -> None:
    metrics = Metrics()

    metrics.take(Stored(1, "steps.acme.c1.reason.finished", b"{", BEGIN))

    assert metrics.numbers.values[STEPS] == {("reason.finished",): 1}
    assert metrics.numbers.values[ERRORS] == {("reason.finished", "unreadable"): 1}


@pytest.mark.parametrize("where", ["steps.acme.c1.strange.kind", "steps.acme"])
def test_a_strangers_step_is_counted_as_other(where: str) -> None:
    metrics = Metrics()

    metrics.take(Stored(1, where, b"{}", BEGIN))

    assert metrics.numbers.values[STEPS] == {(OTHER,): 1}


# -- bounds -------------------------------------------------------------------------------------


def test_models_beyond_the_limit_are_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(families, "MODELS_MAX", 2)
    answers = [Reasoned(f"r{n}", 1, f"m{n}", (Text("."),)) for n in range(4)]

    metrics = counted(*answers)

    assert seconds(metrics, MODELS) == {
        ("", "m0", "answered"): (1, 0.0),
        ("", "m1", "answered"): (1, 0.0),
        ("", OTHER, "answered"): (2, 0.0),
    }


def test_customers_beyond_the_limit_are_other_and_no_conversation_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(families, "CUSTOMERS_MAX", 1)
    metrics = Metrics()
    first, second = recorded(WHOLE), recorded(WHOLE, conversation="c2")

    take(metrics, first)
    for each in map(stored, second):
        metrics.take(each._replace(subject=each.subject.replace("acme", "zoo")))

    labels = {
        word for found in (*metrics.numbers.values.values(),) for key in found for word in key
    }
    assert {key[1] for key in metrics.numbers.buckets[TURNS]} == {"acme", OTHER}
    assert labels.isdisjoint({"c1", "c2", "zoo"})


def test_a_message_opens_no_number_of_its_own() -> None:
    metrics = counted(HELLO, MessageReceived("Again", message="m2"))

    assert metrics.numbers.values[STEPS] == {("message.received",): 2}
    assert not any(metrics.numbers.buckets.values())


# -- lanes --------------------------------------------------------------------------------------


def test_lanes_stand_as_they_stood_last() -> None:
    metrics = Metrics()

    metrics.stand({"agent": Lane(3, 1), "gone": Lane(9, 9)})
    metrics.stand({"agent": Lane(2, 0)})

    assert metrics.numbers.values[WAITING] == {("agent",): 2}
    assert metrics.numbers.values[IN_HAND] == {("agent",): 0}


def test_lanes_beyond_the_limit_stand_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(families, "LANES_MAX", 1)
    metrics = Metrics()

    metrics.stand({"agent": Lane(3, 1), "b": Lane(1, 2), "c": Lane(1, 2)})

    assert metrics.numbers.values[WAITING] == {("agent",): 3, (OTHER,): 2}
    assert metrics.numbers.values[IN_HAND] == {("agent",): 1, (OTHER,): 4}

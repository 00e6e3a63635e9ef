"""What was paid for at an unknown price: spans and metrics count the same calls as the views."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from stepfold.events.event import GenerationFailed, GenerationRequested, ReasonFailed, TurnAbandoned
from stepfold.events.values import Spend
from stepfold.handlers.asking import UNSEEN
from stepfold.observability import names, said
from stepfold.observability.families import UNPRICED
from stepfold.observability.metrics import Metrics
from stepfold.observability.spans import spans
from stepfold.observability.unpriced import MAYBE_PAID, TOO_LARGE, unpriced
from stepfold.projections import views
from tests.observability.made import ASKED, HELLO, STARTED, recorded
from tests.observability.test_metrics import stored

SQL = Path(views.__file__).parent / "sql" / "log" / "read.sql"
MODEL = "openai/gpt-x"
JOB = GenerationRequested("g1", "sort", "x", {}, MODEL)


@pytest.mark.parametrize("reason", sorted(MAYBE_PAID))
def test_a_failure_that_may_have_been_paid_for_is_marked_and_counted(reason: str) -> None:
    failed = ReasonFailed("r1", 1, MODEL, reason, provider="openai")
    job_failed = GenerationFailed("g1", reason, MODEL, provider="openai")
    steps = recorded((STARTED, HELLO, ASKED, failed, JOB, job_failed))
    metrics = Metrics()
    for step in steps:
        metrics.take(stored(step))

    told = said.model_call(ASKED, failed, (), steps[3].at)
    told_of_job = said.model_call(JOB, job_failed, (), steps[5].at)

    assert told[names.UNPRICED] is True
    assert told_of_job[names.UNPRICED] is True
    assert metrics.numbers.values[UNPRICED] == {("openai", "gpt-x"): 2}


@pytest.mark.parametrize("reason", ["rate_limit", "circuit_open", "no_money", "budget", TOO_LARGE])
def test_what_a_provider_or_a_gate_turned_away_was_not(reason: str) -> None:
    assert not unpriced(ReasonFailed("r1", 1, MODEL, reason, provider="openai"), MODEL)


@pytest.mark.parametrize("reason", sorted(MAYBE_PAID))
def test_a_model_of_our_own_costs_nothing_when_it_fails(reason: str) -> None:
    assert not unpriced(ReasonFailed("r1", 1, "extractive", reason), "extractive")


def test_an_answer_that_was_too_large_to_record_was_paid_for() -> None:
    assert unpriced(ReasonFailed("r1", 1, MODEL, TOO_LARGE), MODEL)


def test_what_a_search_bought_without_usage_is_marked() -> None:
    assert said.spend(Spend("rerank", "cohere/rerank-v3", "cohere"))[names.UNPRICED] is True


def test_the_views_have_the_same_reasons() -> None:
    """What they say of each is in tests/projections/test_views_spend.py."""
    (listed,) = re.findall(r"x\.reason IN \((.*?)\)", SQL.read_text(), re.DOTALL)

    assert set(re.findall(r"'(\w+)'", listed)) == MAYBE_PAID > UNSEEN


def test_the_digest_of_the_agent_stands_on_its_turns() -> None:
    """The instructions, which no span holds, are those of `stepfold agent show DIGEST`."""
    ended = TurnAbandoned(1, "model")

    turn = next(span for span in spans(recorded((STARTED, HELLO, ASKED, ended))) if not span.parent)

    assert turn.attributes[names.AGENT_ID] == STARTED.digest

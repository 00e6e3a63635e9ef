"""Spans while a log grows: each is told once, by whoever has its step, until it has arrived."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import NamedTuple

import pytest

from stepfold.events.envelope import Entry, kind
from stepfold.events.wire import KINDS, decode
from stepfold.observability import live
from stepfold.observability.live import Live, Telling
from stepfold.observability.otlp import ExportRefused, PartRejected, ReceiverAway
from stepfold.observability.span import Span
from stepfold.observability.spans import Spans, spans
from stepfold.streams.log import LogUnavailable
from stepfold.streams.memory import MemoryLog
from tests.projections.made import log as made_log

STEPS = made_log(seed=7, conversations=12)


class Grown(NamedTuple):
    """A log with 12 conversations in it, and the steps that a lane would hand over."""

    log: MemoryLog
    steps: Sequence[Entry]
    spans: frozenset[tuple[int, str]]

    def of(self, told: Sequence[Span]) -> list[tuple[int, str]]:
        return [(span.position, span.id) for span in told]


@pytest.fixture
async def grown() -> Grown:
    log = MemoryLog()
    entries = [
        decode(subject, payload, position=log.inject(subject, payload), at=at)
        for _, subject, payload, at in STEPS
    ]
    all_ = [
        span for key in {entry.key for entry in entries} for span in spans(await log.read(*key))
    ]
    handed = [entry for entry in entries if kind(entry.event) in live.KINDS]
    return Grown(log, handed, frozenset((span.position, span.id) for span in all_))


class Told:
    """Keeps what it is told, once it has raised what it was given."""

    def __init__(self, *errors: Exception) -> None:
        self.spans: list[Span] = []
        self._errors = list(errors)

    async def __call__(self, told: Spans) -> None:
        if self._errors:
            raise self._errors.pop(0)
        self.spans += told


async def test_each_span_of_a_log_is_told_once_when_it_is_final(grown: Grown) -> None:
    told = Told()
    telling = Telling(grown.log, told)

    for step in grown.steps:
        await telling.see(step)

    assert len(told.spans) > 30
    assert sorted(grown.of(told.spans)) == sorted(grown.spans)
    assert [s.position for s in told.spans] == sorted(s.position for s in told.spans)


async def test_steps_may_come_at_once_and_in_any_order(grown: Grown) -> None:
    told = Told()
    telling = Telling(grown.log, told)

    await asyncio.gather(*map(telling.see, reversed(grown.steps)))

    assert sorted(grown.of(told.spans)) == sorted(grown.spans)


async def test_two_processes_tell_them_once_together(grown: Grown) -> None:
    told = Told()
    both = Telling(grown.log, told), Telling(grown.log, told)

    for number, step in enumerate(grown.steps):
        await both[number % 2].see(step)

    assert sorted(grown.of(told.spans)) == sorted(grown.spans)


async def test_a_step_that_is_told_again_tells_the_very_same_spans(grown: Grown) -> None:
    first, second = Told(), Told()

    for told in (first, second):
        telling = Telling(grown.log, told)
        for step in grown.steps:
            await telling.see(step)

    assert first.spans == second.spans


async def test_what_is_forgotten_is_read_again(
    grown: Grown, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "CONVERSATIONS_MAX", 1)
    monkeypatch.setattr(live, "SPANS_MAX", 3)
    told = Told()
    telling = Telling(grown.log, told)

    for step in grown.steps:
        await telling.see(step)

    assert sorted(grown.of(told.spans)) == sorted(grown.spans)


def test_the_lane_has_kinds_that_there_are() -> None:
    assert set(live.KINDS) < KINDS


# -- when they do not arrive --------------------------------------------------------------------


def ends(grown: Grown) -> Entry:
    """A step with spans."""
    position = min(position for position, _ in grown.spans)
    return next(step for step in grown.steps if step.position == position)


@pytest.mark.parametrize("error", [ReceiverAway("away"), LogUnavailable("away")])
async def test_while_somebody_is_away_the_step_is_given_back_at_once_and_told_later(
    grown: Grown, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "AGAIN_S", 0.001)
    told = Told(error, error)
    telling, step = Live(grown.log, told), ends(grown)

    answers = [await telling.take(step, deliveries=number) for number in (1, 2, 3)]

    assert answers == [0.0, 0.0, None]
    assert {span.position for span in told.spans} == {step.position}


async def test_what_waits_for_a_receiver_is_let_go_at_the_end(grown: Grown) -> None:
    telling = Live(grown.log, Told(ReceiverAway("away")))
    telling.stop()

    async with asyncio.timeout(live.AGAIN_S / 2):
        answer = await telling.take(ends(grown), deliveries=1)

    assert answer == 0.0


async def test_what_is_refused_is_left_alone_for_longer_each_time(grown: Grown) -> None:
    telling = Live(grown.log, Told(*[ExportRefused("401")] * 3))

    answers = [await telling.take(ends(grown), deliveries=number) for number in (1, 2, 999)]

    assert answers == [live.REFUSED_S, 2 * live.REFUSED_S, live.REFUSED_S_MAX]


async def test_what_is_rejected_for_good_is_logged_with_its_conversation(
    grown: Grown, caplog: pytest.LogCaptureFixture
) -> None:
    step = ends(grown)

    answer = await Live(grown.log, Told(PartRejected("rejects 1"))).take(step, deliveries=1)

    assert answer is None
    assert f"{step.customer}/{step.conversation}, step {step.position}: rejects 1" in caplog.text


async def test_that_they_wait_is_said_once_and_so_is_that_they_go_on(
    grown: Grown, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "AGAIN_S", 0.001)
    telling, step = Live(grown.log, Told(*[ReceiverAway("away")] * 2)), ends(grown)
    final = {position for position, _ in grown.spans}
    nothing = next(step for step in grown.steps if step.position not in final)

    with caplog.at_level(logging.WARNING, "stepfold.traces"):
        for number in (1, 2, 3, 4):
            await telling.take(step, deliveries=number)
            await telling.take(nothing, deliveries=1)

    assert caplog.messages == ["the traces wait: away", "the traces go on"]

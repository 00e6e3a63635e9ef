"""Numbers that are sent every so often, from a real log to a real receiver."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from stepfold.app import Opened, opened
from stepfold.events.envelope import first
from stepfold.events.event import MessageReceived
from stepfold.observability.counting import Counting, counting
from stepfold.observability.metrics import Lane
from stepfold.observability.otlp import address
from stepfold.observability.pushing import INTERVAL_S, interval_s, pushing
from stepfold.settings import Settings
from stepfold.streams.memory import MemoryLog
from tests.observability.receiver import Answer, Receiver, receiving
from tests.waiting import eventually

OFTEN_S = 0.02


@pytest.fixture
async def found(tmp_path: Path) -> AsyncIterator[Opened]:
    async with opened(Settings(folder=tmp_path)) as found:
        yield found


@pytest.fixture
async def counts(found: Opened) -> AsyncIterator[Counting]:
    async with counting(found.log, nothing) as counts:
        yield counts


async def nothing() -> Mapping[str, Lane]:
    return {}


async def say(found: Opened, conversation: str) -> None:
    draft = first("acme", conversation, MessageReceived("Hello"), by="test", key="1")
    await found.log.append([draft], after=0)


def heard(receiver: Receiver) -> list[int]:
    """How many steps there were, by each of the requests that came."""
    sums = [metrics["stepfold_steps"].sum for metrics in receiver.metrics if metrics]
    return [point.as_int for each in sums for point in each.data_points]


async def test_each_time_all_that_was_counted_is_sent(found: Opened, counts: Counting) -> None:
    with receiving() as receiver:
        async with pushing(counts, address(receiver.url, "metrics"), OFTEN_S):
            await say(found, "c1")
            await eventually(lambda: heard(receiver)[-1:] == [1])
            await say(found, "c2")
            await eventually(lambda: heard(receiver)[-1:] == [2])


async def test_what_did_not_arrive_is_in_what_does(
    found: Opened, counts: Counting, caplog: pytest.LogCaptureFixture
) -> None:
    with receiving(Answer(401, b"no key"), Answer(401, b"no key")) as receiver:
        await say(found, "c1")
        async with pushing(counts, address(receiver.url, "metrics"), OFTEN_S):
            await eventually(lambda: heard(receiver)[-1:] == [1])
            await eventually(lambda: "the metrics arrive again" in caplog.messages)

    assert receiver.asked > 2
    assert [m for m in caplog.messages if m.startswith("the metrics did")] == [
        f"the metrics did not arrive: the receiver at {receiver.url}/v1/metrics refuses it:"
        " 401 Unauthorized: no key"
    ]


async def test_numbers_of_a_count_that_broke_are_not_sent(
    caplog: pytest.LogCaptureFixture,
) -> None:
    counts = Counting(MemoryLog(), nothing, 0)  # which cannot be followed

    with receiving() as receiver:
        async with pushing(counts, address(receiver.url, "metrics"), OFTEN_S):
            await eventually(lambda: "no metrics are sent any more" in caplog.messages)

    assert receiver.asked == 0


def test_how_often_is_what_all_of_opentelemetry_reads() -> None:
    assert interval_s({"OTEL_METRIC_EXPORT_INTERVAL": "250"}) == 0.25
    assert interval_s({}) == INTERVAL_S


@pytest.mark.parametrize("told", ["0", "-1", "soon", "1.5"])
def test_an_interval_that_is_none_is_refused_with_an_example(told: str) -> None:
    with pytest.raises(ValueError, match="such as 60000"):
        interval_s({"OTEL_METRIC_EXPORT_INTERVAL": told})

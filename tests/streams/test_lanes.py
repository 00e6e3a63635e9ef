"""Lanes: durable pull consumers of one process, on a real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from stepfold.app import Opened, opened
from stepfold.events.envelope import Entry, first
from stepfold.events.event import MessageReceived
from stepfold.settings import Settings
from stepfold.streams import jetstream
from stepfold.streams.config import STEPS
from stepfold.streams.lanes import Lanes
from stepfold.streams.log import LogUnavailable
from tests.servers import Server, running
from tests.waiting import eventually

LANE = "agent"


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[Opened]:
    async with opened(Settings(folder=tmp_path)) as found:
        await prepare(found)
        yield found


async def prepare(log: Opened, *, ack_wait_s: float = 30) -> None:
    await jetstream.prepare_consumer(
        log.client, STEPS, LANE, ["steps.*.*.message.received"], ack_wait_s=ack_wait_s
    )


class Taker:
    """Takes steps as told: `answers` in order, then it acknowledges. `slow_s` per step."""

    def __init__(self, *answers: float | Exception, slow_s: float = 0) -> None:
        self.taken: list[tuple[str, int]] = []
        self._answers = list(answers)
        self._slow_s = slow_s

    async def __call__(self, entry: Entry, /, *, deliveries: int) -> float | None:
        self.taken.append((entry.conversation, deliveries))
        await asyncio.sleep(self._slow_s)
        answer = self._answers.pop(0) if self._answers else None
        if isinstance(answer, Exception):
            raise answer
        return answer


async def say(log: Opened, *conversations: str) -> None:
    for conversation in conversations:
        draft = first("acme", conversation, MessageReceived("hello"), by="test", key="1")
        await log.log.append([draft], after=0)


async def outstanding(log: Opened) -> int:
    info = await log.client.jetstream().consumer_info(STEPS, LANE)
    return int(info.num_pending or 0) + int(info.num_ack_pending or 0)


async def waits(log: Opened) -> bool:
    info = await log.client.jetstream().consumer_info(STEPS, LANE)
    return bool(info.num_waiting)


async def none_outstanding(log: Opened) -> bool:
    return await outstanding(log) == 0


async def test_steps_are_taken_and_acknowledged(log: Opened) -> None:
    lanes, taker = Lanes(log.client), Taker()
    lanes.mount(LANE, taker)
    await lanes.start()

    await say(log, "c1", "c2")

    await eventually(lambda: none_outstanding(log))
    assert taker.taken == [("c1", 1), ("c2", 1)]
    await lanes.stop()


async def test_a_step_that_is_given_back_is_taken_again_later(log: Opened) -> None:
    lanes, taker = Lanes(log.client), Taker(0.05, 0.05)
    lanes.mount(LANE, taker)
    await lanes.start()

    await say(log, "c1")

    await eventually(lambda: none_outstanding(log))
    assert taker.taken == [("c1", 1), ("c1", 2), ("c1", 3)]
    await lanes.stop()


@pytest.mark.parametrize("error", [LogUnavailable("away"), RuntimeError("a bug")])
async def test_a_step_that_could_not_be_taken_is_taken_again(log: Opened, error: Exception) -> None:
    lanes, taker = Lanes(log.client, pulse_s=0.1), Taker(error)
    lanes.mount(LANE, taker)
    await lanes.start()

    await say(log, "c1")

    await eventually(lambda: none_outstanding(log))
    assert [deliveries for _, deliveries in taker.taken] == [1, 2]
    await lanes.stop()


async def test_no_more_than_so_many_are_taken_at_once(log: Opened) -> None:
    lanes, taker = Lanes(log.client), Taker(slow_s=0.1)
    lanes.mount(LANE, taker, at_once=2)
    await lanes.start()

    await say(log, *(f"c{number}" for number in range(6)))

    await eventually(lambda: len(taker.taken) == 2)
    assert await outstanding(log) == 6
    await eventually(lambda: none_outstanding(log))
    assert len(taker.taken) == 6
    await lanes.stop()


async def test_what_runs_when_a_lane_stops_is_finished(log: Opened) -> None:
    lanes, taker = Lanes(log.client), Taker(slow_s=0.2)
    lanes.mount(LANE, taker)
    await lanes.start()
    await say(log, "c1")
    await eventually(lambda: taker.taken)

    await lanes.stop()

    await eventually(lambda: none_outstanding(log))


async def test_what_a_stopping_lane_does_not_take_goes_to_another_at_once(log: Opened) -> None:
    leaving, staying = Lanes(log.client), Lanes(log.client)
    slow, quick = Taker(slow_s=0.3), Taker()
    leaving.mount(LANE, slow, at_once=4)
    staying.mount(LANE, quick)
    await leaving.start()
    await say(log, *(f"c{number}" for number in range(10)))
    await eventually(lambda: slow.taken)

    await asyncio.gather(leaving.stop(), staying.start())

    await eventually(lambda: none_outstanding(log), 3)
    taken = [conversation for conversation, _ in slow.taken + quick.taken]
    assert sorted(taken) == [f"c{number}" for number in range(10)]
    await staying.stop()


async def test_two_lanes_share_the_work_and_take_each_step_once(log: Opened) -> None:
    lanes, takers = [Lanes(log.client) for _ in range(2)], [Taker(slow_s=0.01), Taker(slow_s=0.01)]
    for lane, taker in zip(lanes, takers, strict=True):
        lane.mount(LANE, taker, at_once=4)
        await lane.start()

    await say(log, *(f"c{number}" for number in range(60)))

    await eventually(lambda: none_outstanding(log))
    assert all(taker.taken for taker in takers)
    taken = [step for taker in takers for step in taker.taken]
    assert sorted(taken) == sorted((f"c{number}", 1) for number in range(60))
    for lane in lanes:
        await lane.stop()


async def test_a_lane_whose_consumer_is_gone_does_not_spin(log: Opened) -> None:
    lanes = Lanes(log.client)
    lanes.mount(LANE, Taker())
    await lanes.start()
    await eventually(lambda: waits(log))
    await log.client.jetstream().delete_consumer(STEPS, LANE)
    before = log.client.stats["out_msgs"]

    end = asyncio.get_running_loop().time() + 1
    await eventually(lambda: asyncio.get_running_loop().time() > end)

    assert log.client.stats["out_msgs"] - before < 10
    await lanes.stop()


async def test_a_lane_goes_on_when_its_consumer_is_there_again(log: Opened) -> None:
    lanes, taker = Lanes(log.client), Taker()
    lanes.mount(LANE, taker)
    await lanes.start()
    await eventually(lambda: waits(log))
    await log.client.jetstream().delete_consumer(STEPS, LANE)
    await say(log, "c1")

    await prepare(log)

    await eventually(lambda: taker.taken)
    await lanes.stop()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with running(tmp_path) as server:
        yield server


async def test_a_lane_goes_on_soon_after_the_server_was_killed(
    server: Server, tmp_path: Path
) -> None:
    async with opened(Settings(folder=tmp_path, nats_url=server.url)) as log:
        await prepare(log)
        lanes, taker = Lanes(log.client), Taker()
        lanes.mount(LANE, taker)
        await lanes.start()
        server.kill()
        server.start()
        await eventually(lambda: log.client.stats["reconnects"])

        await say(log, "c1")

        await eventually(lambda: taker.taken, 3)
        await lanes.stop()


async def test_what_was_stored_before_the_connection_is_never_taken_for_new(
    server: Server, tmp_path: Path
) -> None:
    """A killed server may have forgotten that it had handed it out already."""
    async with opened(Settings(folder=tmp_path, nats_url=server.url)) as log:
        await prepare(log)
        await say(log, "c1")
        server.kill()
        server.start()
        await eventually(lambda: log.client.stats["reconnects"] and log.client.is_connected)
        lanes, taker = Lanes(log.client), Taker()
        lanes.mount(LANE, taker)
        await lanes.start()

        await eventually(lambda: taker.taken)
        await say(log, "c2")
        await eventually(lambda: len(taker.taken) == 2)

        assert taker.taken == [("c1", 2), ("c2", 1)]
        await lanes.stop()

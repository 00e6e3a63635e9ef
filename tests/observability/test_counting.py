"""Counting a real log while it grows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from stepfold.app import Opened, opened
from stepfold.events.envelope import first
from stepfold.events.event import MessageReceived
from stepfold.observability import counting
from stepfold.observability.counting import Counting
from stepfold.observability.families import IN_HAND, STEPS, WAITING
from stepfold.observability.metrics import Lane
from stepfold.settings import Settings
from stepfold.streams import jetstream
from stepfold.streams.config import STEPS as LOG
from stepfold.streams.log import LogUnavailable
from stepfold.streams.memory import MemoryLog
from tests.waiting import eventually


@pytest.fixture
async def found(tmp_path: Path) -> AsyncIterator[Opened]:
    async with opened(Settings(folder=tmp_path)) as found:
        yield found


async def say(found: Opened, *conversations: str) -> None:
    for conversation in conversations:
        draft = first("acme", conversation, MessageReceived("Hello"), by="test", key="1")
        await found.log.append([draft], after=0)


async def nothing() -> Mapping[str, Lane]:
    return {}


async def test_it_counts_what_comes_and_not_what_was_there(found: Opened) -> None:
    await say(found, "c1")

    async with counting.counting(found.log, nothing) as counts:
        await say(found, "c2", "c3")
        last = await found.log.last()
        await eventually(lambda: counts.position == last)
        numbers = await counts.now()

    assert numbers.values[STEPS] == {("message.received",): 2}


async def test_how_the_lanes_stand_is_looked_up_when_it_is_asked(found: Opened) -> None:
    async def look() -> Mapping[str, Lane]:
        standing = await jetstream.standing(found.client, LOG)
        return {name: Lane(*each) for name, each in standing.items()}

    await jetstream.prepare_consumer(found.client, LOG, "agent", ["steps.>"])
    await say(found, "c1", "c2", "c3")
    subscription = await found.client.jetstream().pull_subscribe("", "agent", LOG)
    await subscription.fetch(1)

    async with counting.counting(found.log, look) as counts:
        numbers = await counts.now()

    assert numbers.values[WAITING] == {("agent",): 2}
    assert numbers.values[IN_HAND] == {("agent",): 1}


async def test_it_ends_whatever_its_request_to_the_server_is_doing(found: Opened) -> None:
    for number in range(400):
        async with counting.counting(found.log, nothing) as counts:
            for _ in range(number):
                await asyncio.sleep(0)  # so far it comes

        assert counts._following.cancelled()


async def test_without_an_answer_there_are_no_lanes_and_all_else_is_there(found: Opened) -> None:
    async def away() -> Mapping[str, Lane]:
        raise LogUnavailable("away")

    async with counting.counting(found.log, away) as counts:
        counts.metrics.stand({"agent": Lane(1, 1)})
        numbers = await counts.now()

    assert numbers.values[WAITING] == {}


async def test_counting_that_is_broken_says_so_instead_of_numbers() -> None:
    counts = Counting(MemoryLog(), nothing, 0)  # which cannot be followed

    await eventually(counts._following.done)

    with pytest.raises(ValueError, match="cannot be followed"):
        await counts.now()

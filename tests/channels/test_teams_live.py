"""A turn streamed while it runs, under Teams' rules for streams."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest

from stepfold.channels.teams.config import TEXTS
from stepfold.events.envelope import Entry
from stepfold.events.event import (
    ApprovalRequested,
    Event,
    ReasonRequested,
    ResponseGiven,
    ToolRequested,
)
from stepfold.streams.listening import TakenBack, Words
from tests.channels.teams_bench import Bench, bench
from tests.channels.teams_fake import CHANNEL, broken, expired, stopped, throttled
from tests.channels.teams_world import PACE_S

ASKED = ReasonRequested("r1", 1, "m", heard=1)
WAITING = ApprovalRequested("r1.1", 1, "refund", {}, "sha256:d", "it pays", 60)
LIMIT_S = 10.0


@pytest.fixture
async def made() -> AsyncIterator[Bench]:
    async with bench() as made:
        yield made


@asynccontextmanager
async def streaming(made: Bench, asked: ReasonRequested = ASKED) -> AsyncIterator[None]:
    """While the block runs; then until the stream is let go."""
    entry = await made.append(asked)
    task = asyncio.create_task(made.live().take(entry, deliveries=1))
    try:
        yield
        async with asyncio.timeout(LIMIT_S):
            assert await task is None
    finally:
        task.cancel()


async def happen(made: Bench, event: Event) -> Entry:
    entry = await made.append(event)
    made.happens.put_nowait(entry)
    return entry


def say(made: Bench, offset: int, text: str, call: str = "r1") -> None:
    made.happens.put_nowait(Words(call, 1, 1, "text", offset, text))


def kinds(made: Bench) -> list[str]:
    return [str(sent.stream.get("streamType", sent.method)) for sent in made.fake.sent]


async def test_what_is_done_comes_before_the_words_and_each_update_holds_the_last(
    made: Bench,
) -> None:
    async with streaming(made):
        await made.fake.until(lambda sent: sent.text == TEXTS.thinking)
        await happen(made, ToolRequested("r1.1", 1, "look_up", {}))
        await made.fake.until(lambda sent: sent.text == "Using look_up…")
        say(made, 0, "At ")
        await made.fake.until(lambda sent: sent.text == "At ")
        say(made, 3, "nine.")
        await made.fake.until(lambda sent: sent.text == "At nine.")
        given = await happen(made, ResponseGiven(1, "At nine."))
    await made.deliver().take(given, deliveries=1)

    assert kinds(made) == ["informative", "informative", "streaming", "streaming", "final"]
    assert [s.stream.get("streamSequence") for s in made.fake.sent] == [1, 2, 3, 4, None]
    assert len({s.stream["streamId"] for s in made.fake.sent[1:]}) == 1
    assert made.shown == ["At nine."]


async def test_updates_keep_their_distance(made: Bench) -> None:
    async with streaming(made):
        for number in range(8):
            say(made, number, "x")
            await asyncio.sleep(0)
        await made.fake.until(lambda sent: sent.text == "x" * 8)
        say(made, 8, "y")
        await made.fake.until(lambda sent: sent.text.endswith("y"))
        await happen(made, ResponseGiven(1, "x"))

    times = [sent.at for sent in made.fake.sent]
    assert len(times) < 8
    assert all(b - a >= PACE_S * 0.9 for a, b in pairwise(times))


async def test_the_answer_waits_until_whoever_streams_has_let_go(made: Bench) -> None:
    async with streaming(made):
        await made.fake.until(lambda sent: sent.text == TEXTS.thinking)
        given = await made.append(ResponseGiven(1, "At nine."))
        assert await made.deliver().take(given, deliveries=1) == 0.2
        made.happens.put_nowait(given)

    assert await made.deliver().take(given, deliveries=2) is None
    assert made.shown == ["At nine."]


async def test_words_that_are_taken_back_end_the_stream_and_the_answer_replaces_them(
    made: Bench,
) -> None:
    async with streaming(made):
        say(made, 0, "At five")
        await made.fake.until(lambda sent: sent.text == "At five")
        made.happens.put_nowait(TakenBack("r1", 1, 1))
    assert kinds(made)[-1] == "final"
    given = await made.append(ResponseGiven(1, "At nine."))

    assert await made.deliver().take(given, deliveries=1) is None

    assert made.shown == ["At nine."]
    assert kinds(made)[-1] == "PUT"


async def test_while_people_are_asked_the_stream_ends_and_another_one_follows(
    made: Bench,
) -> None:
    async with streaming(made):
        await made.fake.until(lambda sent: sent.text == TEXTS.thinking)
        await happen(made, WAITING)
    assert made.shown == [TEXTS.waiting]
    async with streaming(made, ReasonRequested("r2", 1, "m")):
        say(made, 0, "Paid", call="r2")
        await made.fake.until(lambda sent: sent.text == "Paid")
        given = await happen(made, ResponseGiven(1, "Paid."))
    await made.deliver().take(given, deliveries=1)

    assert made.shown == [TEXTS.waiting, "Paid."]


async def test_a_contact_who_stops_the_stream_stops_the_turn(made: Bench) -> None:
    async with streaming(made):
        await made.fake.until(lambda sent: sent.text == TEXTS.thinking)
        made.fake.faults.append(stopped)
        say(made, 0, "At nine")
    late = await made.append(ResponseGiven(1, "At nine."))

    assert await made.deliver().take(late, deliveries=1) is None

    assert made.stopped == [("acme", late.conversation)]
    assert kinds(made) == ["informative"]


async def test_an_expired_stream_is_left_and_its_message_becomes_the_answer(made: Bench) -> None:
    async with streaming(made):
        await made.fake.until(lambda sent: sent.text == TEXTS.thinking)
        made.fake.faults.extend([expired, expired])
        say(made, 0, "At nine")
    given = await made.append(ResponseGiven(1, "At nine."))

    assert await made.deliver().take(given, deliveries=1) is None

    assert made.shown == ["At nine."]
    assert kinds(made) == ["informative", "PUT"]


@pytest.mark.parametrize("fault", [lambda: broken(405), lambda: broken(500)])
async def test_where_no_stream_can_begin_the_answer_is_a_plain_message(
    made: Bench, fault: object
) -> None:
    made.fake.faults.append(fault)  # type: ignore[arg-type]
    async with streaming(made):
        pass
    given = await made.append(ResponseGiven(1, "At nine."))

    assert await made.deliver().take(given, deliveries=1) is None

    assert kinds(made) == ["POST"]
    assert made.shown == ["At nine."]


async def test_a_stream_that_is_too_fast_for_teams_waits_and_goes_on(made: Bench) -> None:
    made.fake.faults.append(lambda: throttled("0"))
    async with streaming(made):
        await made.fake.until(lambda sent: sent.text == TEXTS.thinking)
        await happen(made, ResponseGiven(1, "x"))

    assert kinds(made) == ["informative"]
    assert made.fake.sent[0].stream["streamSequence"] == 1


async def test_one_of_many_streams_a_turn(made: Bench) -> None:
    entry = await made.append(ASKED)
    tasks = [asyncio.create_task(made.live().take(entry, deliveries=1)) for _ in range(4)]
    await made.fake.until(lambda sent: sent.text == TEXTS.thinking)
    made.happens.put_nowait(await made.append(ResponseGiven(1, "x")))

    async with asyncio.timeout(LIMIT_S):
        await asyncio.gather(*tasks)

    assert kinds(made) == ["informative"]


async def test_a_shadow_is_nobodys_to_see(made: Bench) -> None:
    entry = await made.append(ReasonRequested("r1s1", 1, "m", shadow=True))

    assert await made.live().take(entry, deliveries=1) is None

    assert made.fake.sent == []


async def test_in_a_channel_only_typing_is_shown() -> None:
    async with bench(CHANNEL, personal=False) as made:
        entry = await made.append(ASKED)
        await made.live().take(entry, deliveries=1)

        (sent,) = made.fake.sent
        assert (sent.body["type"], sent.stream) == ("typing", {})
        assert made.shown == []

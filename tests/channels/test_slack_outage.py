"""A Slack that is away, or slow, or that refuses, costs nobody an answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from stepfold.channels.slack.api import SlackApi
from stepfold.channels.slack.config import Secret
from stepfold.channels.slack.deliver import AWAY_S_MAX, GIVEN_UP_S, Deliverer, delivering
from stepfold.events.envelope import Entry
from stepfold.events.event import MessageReceived, ResponseDelivered, ResponseGiven
from stepfold.providers.model import Reply
from stepfold.streams.config import DEAD
from stepfold.streams.memory import utc_now
from tests.channels.slack_fake import AWAY, TOKEN, FakeSlack, Fault, slack
from tests.channels.slack_office import DIRECT, TEAM, Office, Speaker, office
from tests.waiting import eventually

METHODS = ("auth.test", "chat.startStream", "chat.postMessage", "conversations.replies")
LIMIT_S = 1.0


@pytest.fixture
def fake() -> Iterator[FakeSlack]:
    with slack() as made:
        yield made


async def take(here: Office, entry: Entry, *, deliveries: int, late_s: float = 0) -> float | None:
    """Another process is handed the step, so many seconds after it was recorded."""

    def clock() -> datetime:
        return utc_now() + timedelta(seconds=late_s)

    apis = {TEAM: SlackApi(Secret(TOKEN), base_url=here.slack.api)}
    told = Deliverer(here.config, here.found.client, apis, pace_s=0, away_s=5.0, clock=clock)
    try:
        return await told.take(entry, deliveries=deliveries)
    finally:
        apis[TEAM].close()


async def asked(here: Office) -> Entry:
    """A message, once its answer is in the log."""
    thread = await here.says("When?")
    await here.told(thread, ResponseGiven)
    steps = await here.steps(thread)
    return next(step for step in steps if isinstance(step.event, MessageReceived))


async def test_an_answer_outlives_an_outage_of_any_length_that_somebody_ends(
    tmp_path: Path, fake: FakeSlack
) -> None:
    async with office(tmp_path, fake, Reply("At nine."), deliver=False) as here:
        step = await asked(here)
        for method in METHODS:
            fake.fail(method, *[AWAY] * 3)
        waits = [await take(here, step, deliveries=n) for n in (2, 31)]
        late = await take(here, step, deliveries=1_000, late_s=GIVEN_UP_S - 60)
        fake.faults.clear()

        assert await take(here, step, deliveries=1_001) is None

    assert waits == [10.0, 155.0]
    assert late == AWAY_S_MAX
    assert [each["text"] for each in here.ours()] == ["At nine."]


async def test_what_could_not_be_told_for_days_is_a_dead_letter(
    tmp_path: Path, fake: FakeSlack
) -> None:
    async with office(tmp_path, fake, Reply("At nine."), deliver=False) as here:
        step = await asked(here)
        fake.fail("auth.test", AWAY)

        assert await take(here, step, deliveries=9, late_s=GIVEN_UP_S + 1) is None

        where = f"{DEAD}.acme.{step.conversation}"
        dead = await here.found.client.jetstream().get_last_msg(DEAD, where)
    assert b"no answer of Slack" in (dead.data or b"")


async def test_what_slack_refuses_for_good_is_a_dead_letter(
    tmp_path: Path, fake: FakeSlack
) -> None:
    async with office(tmp_path, fake, Reply("At nine."), deliver=False) as here:
        step = await asked(here)
        fake.fail("chat.postMessage", Fault("is_archived"))

        assert await take(here, step, deliveries=1) is None

        where = f"{DEAD}.acme.{step.conversation}"
        dead = await here.found.client.jetstream().get_last_msg(DEAD, where)
    assert b"is_archived" in (dead.data or b"")


async def test_what_somebody_may_put_right_is_tried_again(tmp_path: Path, fake: FakeSlack) -> None:
    async with office(tmp_path, fake, Reply("At nine."), deliver=False) as here:
        step = await asked(here)
        fake.fail("chat.postMessage", Fault("token_revoked"))

        assert await take(here, step, deliveries=1) == 60.0
        assert await take(here, step, deliveries=2) is None

    assert [each["text"] for each in here.ours()] == ["At nine."]


async def test_no_answer_waits_until_slack_says_that_the_agent_thinks(
    tmp_path: Path, fake: FakeSlack
) -> None:
    fake.fail("assistant.threads.setStatus", Fault("ratelimited", 429, "30"))
    async with office(tmp_path, fake, Reply("At nine.")) as here:
        begun = time.perf_counter()
        thread = await here.says("When?")
        await here.told(thread, ResponseDelivered)

        assert time.perf_counter() - begun < 5

    assert len(fake.asked("assistant.threads.setStatus")) == 1


async def test_where_no_stream_may_begin_now_the_words_are_posted_at_once(
    tmp_path: Path, fake: FakeSlack
) -> None:
    fake.fail("chat.startStream", Fault("ratelimited", 429, "30"))
    model = Speaker("At ", "nine.")
    async with office(tmp_path, fake, model=model) as here:
        thread = await here.says("When?")
        model.let()
        (begun,) = await here.shown()
        model.let(2)
        (delivered,) = await here.told(thread, ResponseDelivered)

    (shown,) = here.ours()
    assert begun["text"] == "At "
    assert (shown["text"], shown["ts"]) == ("At nine.", delivered.receipt)
    assert len(fake.asked("chat.startStream")) == 1


async def test_messages_that_are_not_streamed_are_updated_half_as_often(
    tmp_path: Path, fake: FakeSlack
) -> None:
    fake.fail("chat.startStream", Fault("channel_type_not_supported"))
    model = Speaker(*"123456789")
    async with (
        office(tmp_path, fake, model=model, deliver=False) as here,
        delivering(here.config, here.found.client, pace_s=0.1),
    ):
        begun = time.perf_counter()
        thread = await here.says("Count!")
        for number in range(1, 9):
            model.let()
            await eventually(lambda: here.ours()[-1:], what="a message")
            await eventually(lambda: str(number) in here.ours()[-1]["text"])  # noqa: B023
        took_s = time.perf_counter() - begun
        model.let(2)
        await here.told(thread, ResponseDelivered)

    assert took_s > 7 * 0.2
    assert fake.shown(DIRECT)[-1]["text"] == "123456789"


async def test_who_leaves_while_words_come_is_gone_at_once(tmp_path: Path, fake: FakeSlack) -> None:
    model = Speaker(*"words that come one by one ")
    async with office(tmp_path, fake, model=model, deliver=False) as here:
        await here.says("When?")
        await model.asked.wait()
        for _ in range(10):
            leaving = here.delivering()
            await leaving.__aenter__()
            model.let(2)
            await asyncio.sleep(0)
            begun = time.perf_counter()
            await leaving.__aexit__(None, None, None)

            assert time.perf_counter() - begun < LIMIT_S
        model.let(len(model.pieces))

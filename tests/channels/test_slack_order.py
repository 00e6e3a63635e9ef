"""What comes out of order, from elsewhere, or at a bad moment is heard when it is to be heard."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from stepfold.channels.slack.names import Thread
from stepfold.events.envelope import Entry
from stepfold.events.event import MessageReceived, ReasonRequested, ResponseDelivered
from stepfold.handlers.inbox import InboxRefused, Message
from stepfold.providers.model import Reply
from stepfold.streams.config import STEPS
from tests.channels.slack_fake import BOT, BOT_ID, FakeSlack, slack
from tests.channels.slack_office import (
    ADA,
    CHANNEL,
    DIRECT,
    EVE,
    TEAM,
    Office,
    message,
    office,
)
from tests.waiting import eventually

MENTION = f"<@{BOT}> first"
PARTNER = "T0PARTNER"


@pytest.fixture
def fake() -> Iterator[FakeSlack]:
    with slack() as made:
        yield made


async def heard(here: Office, thread: Thread) -> list[str]:
    events = [step.event for step in await here.steps(thread)]
    return [event.text for event in events if isinstance(event, MessageReceived)]


async def test_a_reply_that_comes_before_the_mention_that_it_follows_is_heard_after_it(
    tmp_path: Path, fake: FakeSlack
) -> None:
    async with office(tmp_path, fake, Reply("One."), Reply("Two.")) as here:
        before = fake.say(CHANNEL, EVE, "what do you think?")
        root = before
        mentioned = fake.say(CHANNEL, ADA, MENTION, root)
        fake.say(CHANNEL, BOT, "another part of our app", root)
        fake.messages[-1]["bot_id"] = BOT_ID
        later = fake.say(CHANNEL, ADA, "second", root)
        reply = message(later, "second", channel=CHANNEL, thread_ts=root)
        told = message(mentioned, MENTION, channel=CHANNEL, thread_ts=root, kind="app_mention")

        assert (await here.event(reply)).status_code == 200
        assert (await here.event(told)).status_code == 200
        thread = Thread(TEAM, CHANNEL, root)
        await here.told(thread, MessageReceived, 2)
        await here.event(reply, **{"X-Slack-Retry-Num": "1"})

        assert await heard(here, thread) == ["first", "second"]


async def test_a_reply_is_heard_though_the_mention_still_waits_for_its_files(
    tmp_path: Path, fake: FakeSlack
) -> None:
    fake.files["F1"] = ("image/png", b"x")
    fake.gates["F1"] = threading.Event()
    url = f"{fake.api.removesuffix('api/')}files/F1"
    file = {"id": "F1", "name": "a.png", "mimetype": "image/png", "url_private": url}
    async with office(tmp_path, fake, Reply("One."), Reply("Two.")) as here:
        root = fake.say(CHANNEL, ADA, MENTION)
        later = fake.say(CHANNEL, ADA, "and hurry", root)
        told = message(root, MENTION, channel=CHANNEL, kind="app_mention", files=[file])
        assert (await here.event(told)).status_code == 503
        reply = message(later, "and hurry", channel=CHANNEL, thread_ts=root)
        assert (await here.event(reply)).status_code == 200
        fake.gates["F1"].set()
        await here.event(told, **{"X-Slack-Retry-Num": "1"})
        thread = Thread(TEAM, CHANNEL, root)
        await here.told(thread, MessageReceived, 2)

        assert await heard(here, thread) == ["first", "and hurry"]


async def test_what_the_conversation_cannot_take_now_slack_sends_again(
    tmp_path: Path, fake: FakeSlack
) -> None:
    async with office(tmp_path, fake, Reply("One.")) as here:
        inbox, busy = await here.found.inbox(), [True]

        async def receive(said: Message) -> Entry:
            if busy:
                busy.clear()
                raise InboxRefused("conversation acme/x is too busy: send the message again")
            return await inbox.receive(said)

        async with here.another_door(receive) as there:
            told = message(fake.say(DIRECT, ADA, "hi"), "hi")
            first, second = (await there.event(told)).status_code, await there.event(told)

    assert (first, second.status_code) == (503, 200)
    assert fake.whispers == []


@pytest.mark.parametrize("guests", [(), (PARTNER,)], ids=["strangers", "guests"])
async def test_people_of_another_organisation_are_heard_only_where_they_are_guests(
    tmp_path: Path, fake: FakeSlack, guests: tuple[str, ...]
) -> None:
    async with office(tmp_path, fake, Reply("One."), guests=guests) as here:
        ts = fake.say(CHANNEL, EVE, MENTION)
        told = message(
            ts, MENTION, channel=CHANNEL, user=EVE, kind="app_mention", user_team=PARTNER
        )
        shared = {**told, "is_ext_shared_channel": True}

        assert (await here.event(shared)).status_code == 200
        thread = Thread(TEAM, CHANNEL, ts)
        if guests:
            await here.told(thread, ResponseDelivered)

        assert await heard(here, thread) == (["first"] if guests else [])


async def test_what_slack_repeats_when_the_log_has_forgotten_its_id_is_answered_once(
    tmp_path: Path, fake: FakeSlack
) -> None:
    async with office(tmp_path, fake, Reply("One."), Reply("Two.")) as here:
        server = here.found.client.jetstream()
        steps = (await server.stream_info(STEPS)).config
        steps.duplicate_window = 0.1
        await server.update_stream(steps)
        thread = await here.says("hi")
        await here.told(thread, ResponseDelivered)
        told = message(thread.ts, "hi")

        async def twice() -> bool:
            assert (await here.event(told, **{"X-Slack-Retry-Num": "3"})).status_code == 200
            return len(await heard(here, thread)) > 1

        await eventually(twice)
        steps_now = [type(step.event) for step in await here.steps(thread)]

    assert steps_now.count(ReasonRequested) == 1
    assert [each["text"] for each in here.ours()] == ["One."]

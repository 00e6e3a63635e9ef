"""Who goes on with what another process began touches that process's messages, and no others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from stepfold.channels.slack.api import SlackApi
from stepfold.channels.slack.config import Secret
from stepfold.channels.slack.deliver import Deliverer
from stepfold.channels.slack.names import Thread
from stepfold.channels.slack.naming import Name
from stepfold.channels.slack.screen import Screen, digest
from stepfold.events.envelope import Entry
from stepfold.events.event import (
    ApprovalGranted,
    ApprovalRequested,
    Event,
    MessageReceived,
    ResponseDelivered,
    ResponseGiven,
)
from stepfold.events.values import Delta
from stepfold.providers.model import Call, Prompt, Reply
from tests.channels.slack_fake import AWAY, BOT, TOKEN, FakeSlack, Fault, slack
from tests.channels.slack_office import (
    ADA,
    APPROVALS,
    CHANNEL,
    DIRECT,
    TEAM,
    Office,
    Speaker,
    approval,
    message,
    office,
    texts,
)
from tests.waiting import eventually

REFUND = Reply(calls=(Call("refund_order", {"amount": 80}),))


@pytest.fixture
def fake() -> Iterator[FakeSlack]:
    with slack() as made:
        yield made


@asynccontextmanager
async def process(here: Office) -> AsyncIterator[Deliverer]:
    """One more process, which is handed steps by the test."""
    apis = {TEAM: SlackApi(Secret(TOKEN), base_url=here.slack.api)}
    try:
        yield Deliverer(here.config, here.found.client, apis, pace_s=0, away_s=0)
    finally:
        apis[TEAM].close()


async def step(here: Office, thread: Thread, kind: type[Event]) -> Entry:
    return next(s for s in await here.steps(thread) if isinstance(s.event, kind))


async def approve(here: Office, thread: Thread) -> Entry:
    """By a command, elsewhere."""
    (request,) = await here.told(thread, ApprovalRequested)
    key = "acme", thread.conversation
    await here.found.approvals().grant(key, "r1.1", digest=request.digest, person="ops")
    return await step(here, thread, ApprovalGranted)


class Payer:
    """A model that wants to pay, and then says that it has, when it is let."""

    name = "scripted"

    def __init__(self) -> None:
        self.said = asyncio.Event()
        self.go = asyncio.Event()
        self._asked = 0

    async def reply(self, prompt: Prompt, /) -> Reply:
        self._asked += 1
        if self._asked == 1:
            return Reply(calls=REFUND.calls, model="scripted")
        assert prompt.hear is not None
        prompt.hear(Delta("text", "Paid: "))
        self.said.set()
        await self.go.wait()
        return Reply("Paid: eighty.", model="scripted")


async def test_a_part_that_is_told_again_leaves_the_message_of_the_next_part_alone(
    tmp_path: Path, fake: FakeSlack
) -> None:
    model = Payer()
    async with (
        office(tmp_path, fake, model=model, grants=approval(), deliver=False) as here,
        process(here) as one,
        process(here) as other,
    ):
        thread = await here.says("Refund me!")
        granted = await approve(here, thread)
        second = asyncio.create_task(one.take(granted, deliveries=1))
        await eventually(lambda: any("Paid" in m["text"] for m in here.ours()))
        fake.fail("chat.stopStream", Fault("ratelimited", 429, "0.2"))
        asked = await step(here, thread, MessageReceived)

        assert await other.take(asked, deliveries=2) is None
        model.go.set()
        assert await second is None
        (delivered,) = await here.told(thread, ResponseDelivered)

    shown = {each["ts"]: each["text"] for each in here.ours()}
    assert shown[delivered.receipt] == "Paid: eighty."
    assert list(shown.values()).count("Paid: eighty.") == 1
    assert "approval" not in "".join(shown.values())


async def test_a_stream_that_has_no_name_yet_is_left_to_the_later_part_that_runs(
    tmp_path: Path, fake: FakeSlack
) -> None:
    replies = Reply("Let me see.", calls=REFUND.calls), Reply("Paid: eighty.")
    async with office(tmp_path, fake, *replies, grants=approval(), deliver=False) as here:
        thread = await here.says("Refund me!")
        await approve(here, thread)
        begun = fake.say(DIRECT, BOT, "Paid: ", thread.ts)

        assert await here.again(await step(here, thread, MessageReceived)) is None

    shown = {each["ts"]: each["text"] for each in here.ours()}
    assert shown.pop(begun) == "Paid: "
    assert list(shown.values()) == ["Let me see."]


async def test_the_root_of_a_thread_is_never_ours_to_change(
    tmp_path: Path, fake: FakeSlack
) -> None:
    async with office(tmp_path, fake, Reply("At nine."), deliver=False) as here:
        root = fake.say(CHANNEL, BOT, "NIGHTLY REPORT, by the same app")
        ts = fake.say(CHANNEL, ADA, f"<@{BOT}> when?", root)
        told = message(ts, f"<@{BOT}> when?", channel=CHANNEL, thread_ts=root, kind="app_mention")
        await here.event(told)
        thread = Thread(TEAM, CHANNEL, root)
        await here.told(thread, ResponseGiven)

        await here.again(await step(here, thread, MessageReceived))

    report, _, answer = fake.shown(CHANNEL)
    assert report["text"] == "NIGHTLY REPORT, by the same app"
    assert answer["text"] == "At nine."


async def test_a_stranger_who_writes_our_name_on_a_message_has_not_answered(
    tmp_path: Path, fake: FakeSlack
) -> None:
    async with office(tmp_path, fake, Reply("At nine."), deliver=False) as here:
        thread = await here.says("When?")
        await here.told(thread, ResponseGiven)
        asked = await step(here, thread, MessageReceived)
        strange = fake.say(DIRECT, "U0OTHERBOT", "haha", thread.ts)
        key = f"1.{asked.position}"
        shown = digest(Screen(key, 1, "At nine.", over=True))
        name = Name(thread.conversation, key, shown)
        fake.messages[-1]["metadata"] = name.metadata

        await here.again(asked)
        (delivered,) = await here.told(thread, ResponseDelivered)

    (answer,) = here.ours()
    assert answer["text"] == "At nine."
    assert delivered.receipt == answer["ts"] != strange


async def test_what_was_begun_is_gone_on_with_whatever_else_our_app_wrote_there(
    tmp_path: Path, fake: FakeSlack
) -> None:
    model = Speaker("At ", "nine.")
    async with office(tmp_path, fake, model=model, deliver=False) as here:
        async with here.delivering():
            thread = await here.says("When?")
            model.let()
            await eventually(lambda: [m["text"] for m in here.ours()] == ["At "])
            fake.fail("chat.stopStream", AWAY)  # who dies closes no stream
        other = fake.say(DIRECT, BOT, "A reminder of another app's part.", thread.ts)

        async with here.delivering():
            model.let(2)
            (delivered,) = await here.told(thread, ResponseDelivered)

    shown = {each["ts"]: each["text"] for each in here.ours()}
    assert shown.pop(other) == "A reminder of another app's part."
    assert shown == {delivered.receipt: "At nine."}


async def test_a_stream_that_nobody_could_keep_is_gone_on_with(
    tmp_path: Path, fake: FakeSlack
) -> None:
    async with office(tmp_path, fake, Reply("At nine."), deliver=False) as here:
        thread = await here.says("When?")
        await here.told(thread, ResponseGiven)
        begun = fake.say(DIRECT, BOT, "At", thread.ts)

        await here.again(await step(here, thread, MessageReceived))
        (delivered,) = await here.told(thread, ResponseDelivered)

    (shown,) = here.ours()
    assert (shown["ts"], shown["text"]) == (begun, "At nine.")
    assert delivered.receipt == begun


async def test_a_call_that_was_decided_before_anybody_was_asked_has_no_buttons(
    tmp_path: Path, fake: FakeSlack
) -> None:
    replies = REFUND, Reply("Paid.")
    async with office(tmp_path, fake, *replies, grants=approval(), deliver=False) as here:
        thread = await here.says("Refund me!")
        granted = await approve(here, thread)
        await here.told(thread, ResponseGiven)
        async with process(here) as one:
            await one.take(granted, deliveries=1)
            await one.take(await step(here, thread, MessageReceived), deliveries=2)

    (asked,) = here.ours(APPROVALS)
    assert "Approved by ops" in texts(asked["blocks"])
    assert "actions" not in texts(asked["blocks"])


async def test_a_decision_finds_its_message_however_much_was_written_there_since(
    tmp_path: Path, fake: FakeSlack
) -> None:
    async with office(tmp_path, fake, REFUND, Reply("Paid."), grants=approval()) as here:
        thread = await here.says("Refund me!")
        await here.buttons()
        for number in range(30):
            fake.say(APPROVALS, BOT, f"another call {number}")
        await approve(here, thread)
        await here.told(thread, ResponseDelivered)

    assert "actions" not in texts(here.ours(APPROVALS)[0]["blocks"])
    assert fake.asked("conversations.history") == []

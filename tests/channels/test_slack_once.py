"""Whatever dies or gets lost: everything is on Slack once, and its receipt in the log once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from stepfold.channels.slack.names import Thread
from stepfold.channels.slack.naming import Name
from stepfold.channels.slack.screen import Screen, digest
from stepfold.events.event import MessageReceived, ResponseDelivered, ResponseGiven
from stepfold.handlers.inbox import Message
from stepfold.projections.conversation import replay
from stepfold.providers.model import Call, Reply
from tests.channels.slack_fake import AWAY, AWAY_BUT_DONE, BOT, FakeSlack, Fault, slack
from tests.channels.slack_office import (
    ADA,
    APPROVALS,
    DIRECT,
    TEAM,
    Office,
    Speaker,
    approval,
    office,
    texts,
)
from tests.waiting import eventually

SEARCH = Reply("Let me look.", calls=(Call("search", {"query": "opens"}),))
REFUND = Reply(calls=(Call("refund_order", {"amount": 80}),))


@pytest.fixture
def fake() -> Iterator[FakeSlack]:
    with slack() as made:
        yield made


@pytest.mark.parametrize("method", ["chat.startStream", "chat.stopStream"])
@pytest.mark.parametrize("fault", [AWAY, AWAY_BUT_DONE, Fault("internal_error", 500)])
async def test_an_answer_whose_sending_gets_lost_is_there_once(
    tmp_path: Path, fake: FakeSlack, method: str, fault: Fault
) -> None:
    fake.fail(method, fault)
    async with office(tmp_path, fake, SEARCH, Reply("At nine.")) as here:
        thread = await here.says("When do you open?")
        (delivered,) = await here.told(thread, ResponseDelivered)

    (shown,) = here.ours()
    told = shown["text"] + texts(shown["blocks"])
    assert "At nine." in told
    assert delivered == ResponseDelivered(1, "slack", shown["ts"])


async def test_a_message_whose_answer_got_lost_is_not_posted_again(
    tmp_path: Path, fake: FakeSlack
) -> None:
    fake.fail("chat.startStream", Fault("channel_type_not_supported"))
    fake.fail("chat.postMessage", AWAY_BUT_DONE)
    async with office(tmp_path, fake, Reply("At nine.")) as here:
        thread = await here.says("When do you open?")
        (delivered,) = await here.told(thread, ResponseDelivered)

    (shown,) = here.ours()
    assert delivered == ResponseDelivered(1, "slack", shown["ts"])


@pytest.mark.parametrize("died", [False, True], ids=["left", "died"])
async def test_another_process_goes_on_with_the_message_that_one_left(
    tmp_path: Path, fake: FakeSlack, *, died: bool
) -> None:
    model = Speaker("At ", "nine", ".")
    async with office(tmp_path, fake, model=model, deliver=False) as here:
        async with here.delivering():
            thread = await here.says("When do you open?")
            model.let(2)
            await eventually(lambda: [m["text"] for m in here.ours()] == ["At nine"])
            if died:  # who dies closes no stream
                fake.fail("chat.stopStream", AWAY)
        assert here.ours()[0]["streaming"] is died

        async with here.delivering():
            model.let(2)
            (delivered,) = await here.told(thread, ResponseDelivered)

    (shown,) = here.ours()
    assert "At nine." in texts(shown["blocks"])
    assert not shown["streaming"]
    assert delivered == ResponseDelivered(1, "slack", shown["ts"])


async def test_two_processes_tell_a_conversation_once(tmp_path: Path, fake: FakeSlack) -> None:
    replies = [Reply(f"Answer {n}.") for n in range(6)]
    async with office(tmp_path, fake, *replies) as here, here.delivering():
        thread = await here.says("Question 0")
        for number in range(1, 6):  # some while a turn runs, some when it is over
            await here.says(f"Question {number}", thread_ts=thread.ts)
        answers = await eventually(lambda: delivered(here, thread))

    receipts = {each["ts"]: each["text"] for each in here.ours()}
    assert sorted(answers.values()) == sorted(receipts)
    assert [receipts[answers[text]] for text in answers] == list(answers)


async def delivered(here: Office, thread: Thread) -> dict[str, str]:
    """The answers with their receipts, once every question has both."""
    events = [step.event for step in await here.steps(thread)]
    if replay(events).unheard or replay(events).turn is not None:
        return {}
    given = {each.turn: each.text for each in events if isinstance(each, ResponseGiven)}
    found = [each for each in events if isinstance(each, ResponseDelivered)]
    if len(found) < len(given):
        return {}
    assert len(found) == len({each.turn for each in found})
    return {given[each.turn]: each.receipt for each in found}


async def test_a_call_that_waits_is_asked_about_once(tmp_path: Path, fake: FakeSlack) -> None:
    fake.fail("chat.postMessage", AWAY_BUT_DONE, AWAY)
    async with office(tmp_path, fake, REFUND, Reply("Done."), grants=approval()) as here:
        thread = await here.says("Refund me!")
        await here.press((await here.buttons())["Approve"])
        await here.told(thread, ResponseDelivered)

    assert len(here.ours(APPROVALS)) == 1
    assert here.refunded == [80]
    assert [m["text"] for m in here.ours()][-1] == "Done."


async def test_what_slack_refuses_for_good_is_given_up(
    tmp_path: Path, fake: FakeSlack, caplog: pytest.LogCaptureFixture
) -> None:
    refusals = [Fault("is_archived")] * 5
    fake.fail("chat.startStream", *refusals)
    fake.fail("chat.postMessage", *refusals)
    async with office(tmp_path, fake, Reply("At nine.")) as here:
        thread = await here.says("When do you open?")
        await eventually(lambda: "given up" in caplog.text)
        steps = await here.steps(thread)

    assert "is_archived" in caplog.text
    assert "xoxb" not in caplog.text
    assert not [step for step in steps if isinstance(step.event, ResponseDelivered)]
    assert len(fake.asked("chat.postMessage")) == 1


async def test_what_is_said_while_a_turn_runs_is_told_by_who_tells_the_turn(
    tmp_path: Path, fake: FakeSlack
) -> None:
    model = Speaker("At ", "nine.")
    async with office(tmp_path, fake, model=model) as here:
        thread = await here.says("When?")
        model.let()
        await here.shown()
        await here.says("Please?", thread_ts=thread.ts)
        _, second = [s for s in await here.steps(thread) if isinstance(s.event, MessageReceived)]
        async with asyncio.timeout(5):  # while the first turn still runs
            assert await here.again(second) is None
        assert len(here.ours()) == 1
        model.let(5)
        await here.told(thread, ResponseDelivered, 2)

    assert [each["text"] for each in here.ours()] == ["At nine."] * 2


async def test_what_the_log_says_was_delivered_is_not_posted_though_slack_lost_it(
    tmp_path: Path, fake: FakeSlack
) -> None:
    async with office(tmp_path, fake, SEARCH, Reply("At nine.")) as here:
        thread = await here.says("When?")
        (delivered,) = await here.told(thread, ResponseDelivered)
        fake.remove(delivered.receipt)
        for step in await here.steps(thread):
            assert await here.again(step) is None

    assert here.ours() == []


async def test_a_step_that_is_handed_out_again_is_not_told_again(
    tmp_path: Path, fake: FakeSlack
) -> None:
    replies = SEARCH, REFUND, Reply("Done.")
    async with office(tmp_path, fake, *replies, grants=approval()) as here:
        thread = await here.says("Refund me!")
        await here.press((await here.buttons())["Approve"])
        await here.told(thread, ResponseDelivered)
        before = [fake.shown(channel) for channel in (DIRECT, APPROVALS)]
        steps = await here.steps(thread)
        for step in steps:
            assert await here.again(step) is None

        assert [fake.shown(channel) for channel in (DIRECT, APPROVALS)] == before
        assert await here.steps(thread) == steps


async def test_a_receipt_that_was_not_recorded_is_found_on_slack(
    tmp_path: Path, fake: FakeSlack
) -> None:
    async with office(tmp_path, fake, Reply("At nine."), deliver=False) as here:
        thread = await here.says("When?")
        await here.told(thread, ResponseGiven)
        ts = fake.say(DIRECT, BOT, "At nine.", thread.ts)
        steps = await here.steps(thread)
        key = f"1.{steps[1].position}"
        shown = digest(Screen(key, 1, "At nine.", over=True))
        fake.messages[-1]["metadata"] = Name(thread.conversation, key, shown).metadata
        await here.again(steps[1])
        (found,) = await here.told(thread, ResponseDelivered)

    assert len(here.ours()) == 1
    assert found == ResponseDelivered(1, "slack", ts)
    assert fake.asked("chat.update") == []


async def test_a_name_that_only_looks_like_slacks_is_told_to_nobody(
    tmp_path: Path, fake: FakeSlack
) -> None:
    thread = Thread(TEAM, DIRECT, "1700000000.000100")
    async with office(tmp_path, fake, Reply("At nine."), deliver=False) as here:
        inbox = await here.found.inbox()
        said = Message("acme", thread.conversation, "hi", "m1", contact=ADA, channel="api")
        entry = await inbox.receive(said)

        assert await here.again(entry) is None

    assert fake.calls == []

"""Slack on one side, a model on the other, a real log between them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from stepfold.channels.slack.app import EVENTS, INTERACTIVE
from stepfold.channels.slack.names import Thread
from stepfold.events.envelope import first
from stepfold.events.event import (
    ApprovalDenied,
    ApprovalRequested,
    ConversationStopped,
    MessageReceived,
    ResponseDelivered,
    ResponseGiven,
    TurnAbandoned,
)
from stepfold.policy.agent import Answers
from stepfold.policy.grant import Approval, Grant
from stepfold.providers.model import Call, Reply
from tests.channels.slack_fake import LIMITED, FakeSlack, Fault, slack
from tests.channels.slack_office import (
    ADA,
    APPROVALS,
    BOB,
    CHANNEL,
    DIRECT,
    EVE,
    HANDOFFS,
    Speaker,
    approval,
    message,
    office,
    signed,
    texts,
)
from tests.waiting import eventually

ANSWER = 'It "opens at nine", and your money is back.'
SEARCH = Reply("Let me look.", calls=(Call("search", {"query": "opens"}),))
REFUND = Reply(calls=(Call("refund_order", {"amount": 80}),))


@pytest.fixture
def fake() -> Iterator[FakeSlack]:
    with slack() as made:
        yield made


async def test_a_conversation_with_search_tool_approval_and_citations(
    tmp_path: Path, fake: FakeSlack
) -> None:
    async with office(tmp_path, fake, SEARCH, REFUND, Reply(ANSWER), grants=approval()) as here:
        thread = await here.says("When do you open? And refund me!", channel=CHANNEL)
        buttons = await here.buttons()
        (waiting,) = await here.shown(CHANNEL)
        assert here.refunded == []

        await here.press(buttons["Approve"])
        (delivered,) = await here.told(thread, ResponseDelivered)
        await eventually(lambda: "Approved by" in texts(here.ours(APPROVALS)[0]["blocks"]))

    first, answer = here.ours(CHANNEL)
    assert here.refunded == [80]
    assert first["ts"] == waiting["ts"]
    assert first["text"].startswith("Let me look.")
    assert "needs somebody's approval" in first["text"]
    assert dict(first["tasks"]) == {
        "r1.1": ("Search: opens", "complete"),
        "r2.1": ("Refund order", "pending"),
    }
    assert answer["text"] == ANSWER
    assert answer["tasks"] == {"r2.1": ("Refund order", "complete")}
    assert "[1] *Opening hours*: “opens at nine”" in texts(answer["blocks"])
    (asked,) = here.ours(APPROVALS)
    assert f"Approved by <@{BOB}>" in texts(asked["blocks"])
    assert "actions" not in texts(asked["blocks"])
    assert delivered == ResponseDelivered(1, "slack", answer["ts"])
    assert {each["thread_ts"] for each in (first, answer)} == {thread.ts}


async def test_slack_is_answered_at_once_however_long_the_model_takes(
    tmp_path: Path, fake: FakeSlack
) -> None:
    model = Speaker("At ", "nine.")
    async with office(tmp_path, fake, model=model) as here:
        begun = time.perf_counter()
        thread = await here.says("When do you open?")
        took_s = time.perf_counter() - begun

        await model.asked.wait()
        heard = await here.told(thread, MessageReceived)
        given = [s for s in await here.steps(thread) if isinstance(s.event, ResponseGiven)]
        model.let(3)
        await here.told(thread, ResponseDelivered)

    assert took_s < 0.5
    assert len(heard) == 1
    assert given == []


async def test_words_are_streamed_while_they_are_said(tmp_path: Path, fake: FakeSlack) -> None:
    model = Speaker("At ", "nine", ".")
    async with office(tmp_path, fake, model=model) as here:
        thread = await here.says("When do you open?")
        model.let()
        await eventually(lambda: [m["text"] for m in here.ours()] == ["At "])
        assert here.ours()[0]["streaming"]
        model.let()
        await eventually(lambda: here.ours()[0]["text"] == "At nine")
        model.let(2)
        await here.told(thread, ResponseDelivered)

    (shown,) = here.ours()
    assert (shown["text"], shown["streaming"]) == ("At nine.", False)
    assert len(fake.asked("chat.startStream")) == 1
    assert fake.asked("chat.postMessage") == []


async def test_a_stream_that_slack_closed_goes_on_as_the_same_message(
    tmp_path: Path, fake: FakeSlack
) -> None:
    model = Speaker("At ", "nine", ".")
    async with office(tmp_path, fake, model=model) as here:
        thread = await here.says("When do you open?")
        model.let()
        await here.shown()
        fake.expire_streams()
        model.let()
        await eventually(lambda: here.ours()[0]["text"] == "At nine")
        model.let(2)
        (delivered,) = await here.told(thread, ResponseDelivered)

    (shown,) = here.ours()
    assert texts(shown["blocks"]).count("At nine.") == 1
    assert delivered == ResponseDelivered(1, "slack", shown["ts"])


async def test_where_slack_refuses_to_stream_messages_are_updated(
    tmp_path: Path, fake: FakeSlack
) -> None:
    fake.fail("chat.startStream", *[Fault("channel_type_not_supported")] * 3)
    async with office(tmp_path, fake, SEARCH, Reply('They say "opens at nine".')) as here:
        thread = await here.says("When do you open?")
        await here.told(thread, ResponseDelivered)

    (shown,) = here.ours()
    assert "✓ Search: opens: 1 passage" in texts(shown["blocks"])
    assert "[1] *Opening hours*" in texts(shown["blocks"])
    assert shown["metadata"]["event_payload"]["conversation"] == thread.conversation


async def test_rate_limits_are_waited_for(tmp_path: Path, fake: FakeSlack) -> None:
    for method in ("chat.appendStream", "chat.stopStream"):
        fake.fail(method, LIMITED, LIMITED)
    async with office(tmp_path, fake, SEARCH, Reply("At nine.")) as here:
        thread = await here.says("When do you open?")
        await here.told(thread, ResponseDelivered)

    (shown,) = here.ours()
    assert shown["text"] == "Let me look.\n\nAt nine."
    assert len(fake.asked("chat.stopStream")) == 3
    assert fake.asked("chat.postMessage") + fake.asked("chat.update") == []


async def test_words_that_are_not_the_answer_are_taken_back(
    tmp_path: Path, fake: FakeSlack
) -> None:
    model = Speaker("It is ", "blue!")
    rules = Answers(cite=True, refusal="I do not know that.")
    async with office(tmp_path, fake, model=model, answers=rules) as here:
        thread = await here.says("What colour is it?")
        model.let()
        await eventually(lambda: [m["text"] for m in here.ours()] == ["It is "])
        model.let(2)
        (delivered,) = await here.told(thread, ResponseDelivered)

    (shown,) = here.ours()
    assert shown["text"] == "I do not know that."
    assert delivered.receipt == shown["ts"]


@pytest.mark.parametrize("streams", [True, False], ids=["streamed", "plain"])
async def test_a_message_that_somebody_deleted_is_posted_anew(
    tmp_path: Path, fake: FakeSlack, *, streams: bool
) -> None:
    if not streams:
        fake.fail("chat.startStream", Fault("channel_type_not_supported"))
    model = Speaker("At ", "nine.")
    async with office(tmp_path, fake, model=model) as here:
        thread = await here.says("When do you open?")
        model.let()
        (begun,) = await here.shown()
        fake.remove(begun["ts"])
        model.let(2)
        (delivered,) = await here.told(thread, ResponseDelivered)

    (shown,) = here.ours()
    assert shown["text"] == "At nine."
    assert delivered.receipt == shown["ts"]


async def test_what_is_handed_off_is_told_to_people(tmp_path: Path, fake: FakeSlack) -> None:
    rules = Answers(cite=True, otherwise="hand_off", handoff="A colleague will answer.")
    async with office(tmp_path, fake, Reply("It is blue!"), answers=rules) as here:
        await here.says("What colour is it?")
        (told,) = await here.shown(HANDOFFS)
        (shown,) = await here.shown()

    assert f"<@{ADA}>" in texts(told["blocks"])
    assert "A colleague will answer." in texts(shown["blocks"]) + shown["text"]


async def test_a_turn_that_is_given_up_says_so(tmp_path: Path, fake: FakeSlack) -> None:
    async with office(tmp_path, fake) as here:  # the script is empty: the model fails
        thread = await here.says("When do you open?")
        await here.told(thread, TurnAbandoned)
        (shown,) = await here.shown()

    assert shown["text"].startswith("Something went wrong")


async def test_only_approvers_approve_and_one_no_is_enough(tmp_path: Path, fake: FakeSlack) -> None:
    async with office(tmp_path, fake, REFUND, Reply("Not possible."), grants=approval()) as here:
        thread = await here.says("Refund me!")
        buttons = await here.buttons()
        await here.press(buttons["Approve"], user=EVE)
        await eventually(lambda: [w["user"] for w in fake.whispers] == [EVE])
        await here.press(buttons["Deny"])
        (denied,) = await here.told(thread, ApprovalDenied)
        await here.told(thread, ResponseDelivered)
        await here.press(buttons["Approve"])  # late: it is over
        await eventually(lambda: [w["user"] for w in fake.whispers] == [EVE, BOB])

    assert isinstance(denied, ApprovalDenied)
    assert denied.person == f"slack:{BOB}"
    assert here.refunded == []
    assert "it is over" in fake.whispers[-1]["text"]


async def test_one_of_two_people_is_named_and_the_buttons_stay(
    tmp_path: Path, fake: FakeSlack
) -> None:
    async with office(tmp_path, fake, REFUND, grants=approval(people=2)) as here:
        await here.says("Refund me!")
        await here.press((await here.buttons())["Approve"])
        await eventually(lambda: "Approved so far" in texts(here.ours(APPROVALS)[0]["blocks"]))
        assert (await here.buttons()).keys() == {"Approve", "Deny"}

    assert here.refunded == []


async def test_what_was_decided_elsewhere_is_told_and_its_buttons_go(
    tmp_path: Path, fake: FakeSlack
) -> None:
    async with office(tmp_path, fake, REFUND, Reply("Done."), grants=approval()) as here:
        thread = await here.says("Refund me!")
        await here.buttons()
        (request,) = await here.told(thread, ApprovalRequested)
        key = "acme", thread.conversation
        await here.found.approvals().grant(key, "r1.1", digest=request.digest, person="ops")
        await here.told(thread, ResponseDelivered)

    (asked,) = here.ours(APPROVALS)
    assert "Approved by ops" in texts(asked["blocks"])
    assert "actions" not in texts(asked["blocks"])


async def test_what_nobody_approved_in_time_is_told(tmp_path: Path, fake: FakeSlack) -> None:
    grants = {"refund_order": Grant(approval=Approval(expires_s=0.5))}
    async with office(tmp_path, fake, REFUND, Reply("Not now."), grants=grants) as here:
        thread = await here.says("Refund me!")
        await here.told(thread, ResponseDelivered)

    (asked,) = here.ours(APPROVALS)
    assert "Too few people approved it in time." in texts(asked["blocks"])
    assert "Not now." in here.ours()[-1]["text"]
    assert here.refunded == []


async def test_a_channel_for_approvals_that_is_not_there_does_not_silence_the_thread(
    tmp_path: Path, fake: FakeSlack, caplog: pytest.LogCaptureFixture
) -> None:
    fake.fail("chat.postMessage", Fault("channel_not_found"))
    async with office(tmp_path, fake, REFUND, grants=approval()) as here:
        await here.says("Refund me!")
        await eventually(lambda: "given up" in caplog.text)

    (shown,) = here.ours()
    assert "needs somebody's approval" in shown["text"]
    assert "channel_not_found" in caplog.text


async def test_retries_and_both_events_of_a_mention_are_one_message(
    tmp_path: Path, fake: FakeSlack
) -> None:
    async with office(tmp_path, fake, Reply("At nine."), Reply("At nine!")) as here:
        ts = fake.say(CHANNEL, ADA, "<@U0BOT> when?")
        told = message(ts, "<@U0BOT> when?", channel=CHANNEL)
        mention = message(ts, "<@U0BOT> when?", channel=CHANNEL, kind="app_mention", event_id="Ev2")
        for each in (told, mention, told, mention):
            retried = {"X-Slack-Retry-Num": "1", "X-Slack-Retry-Reason": "http_timeout"}
            assert (await here.event(each, **retried)).status_code == 200
        thread = Thread("T0ACME", CHANNEL, ts)
        await here.told(thread, ResponseDelivered)
        heard = await here.told(thread, MessageReceived)

    assert len(heard) == 1
    assert heard[0].text == "when?"
    assert here.ours(CHANNEL)[0]["text"] == "At nine."


async def test_events_out_of_order_are_heard_as_they_come(tmp_path: Path, fake: FakeSlack) -> None:
    async with office(tmp_path, fake, Reply("One."), Reply("Two.")) as here:
        root = fake.say(DIRECT, ADA, "first")
        later = fake.say(DIRECT, ADA, "second", root)
        await here.event(message(later, "second", thread_ts=root))
        thread = Thread("T0ACME", DIRECT, root)
        await here.told(thread, ResponseDelivered)
        await here.event(message(root, "first"))
        await here.told(thread, ResponseDelivered, 2)
        heard = await here.told(thread, MessageReceived)

    assert [each.text for each in heard] == ["second", "first"]
    assert [each["text"] for each in here.ours()] == ["One.", "Two."]


async def test_a_thread_without_us_is_nobodys(tmp_path: Path, fake: FakeSlack) -> None:
    async with office(tmp_path, fake) as here:
        told = message(
            "1700000001.000100", "lunch?", channel=CHANNEL, thread_ts="1700000000.000100"
        )
        answer = await here.event(told)

        assert answer.status_code == 200
        assert await here.found.log.last() == 0


async def test_a_conversation_that_is_over_says_so_to_its_contact(
    tmp_path: Path, fake: FakeSlack
) -> None:
    async with office(tmp_path, fake, Reply("At nine.")) as here:
        thread = await here.says("When do you open?")
        await here.told(thread, ResponseDelivered)
        stopped = first("acme", thread.conversation, ConversationStopped("x"), by="test", key="x")
        tail = await here.found.log.tail("acme", thread.conversation)
        await here.found.log.append([stopped], after=tail.position)
        await here.says("And tomorrow?", thread_ts=thread.ts)
        await eventually(lambda: fake.whispers)

    (whisper,) = fake.whispers
    assert (whisper["user"], whisper["thread_ts"]) == (ADA, thread.ts)
    assert "start a new one" in whisper["text"]


async def test_a_bad_signature_is_refused_and_leaves_no_trace(
    tmp_path: Path, fake: FakeSlack
) -> None:
    async with office(tmp_path, fake) as here:
        body = json.dumps(message("1700000000.000100", "hello")).encode()
        replayed = signed(body, time.time() - 301)
        forged = signed(body, time.time(), secret="another")
        for headers in (replayed, forged):
            for path in (EVENTS, INTERACTIVE):
                assert (await here.post(path, body, **headers)).status_code == 401

        assert await here.found.log.last() == 0


async def test_a_workspace_that_is_nobodys_is_not_heard(tmp_path: Path, fake: FakeSlack) -> None:
    async with office(tmp_path, fake) as here:
        strange = {**message("1700000000.000100", "hello"), "team_id": "T0OTHER"}

        assert (await here.event(strange)).status_code == 200
        assert await here.found.log.last() == 0


async def test_slack_asks_again_when_the_log_is_away(tmp_path: Path, fake: FakeSlack) -> None:
    async with office(tmp_path, fake) as here:
        await here.found.client.close()

        assert (await here.event(message("1700000000.000100", "hello"))).status_code == 503

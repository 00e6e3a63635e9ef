"""Bytes that nobody of ours wrote, on our subjects: one conversation stops, others go on."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from stepfold.events import wire
from stepfold.events.event import ConversationStopped, Unreadable
from stepfold.events.names import NameRefused
from stepfold.handlers import shell
from stepfold.handlers.inbox import Inbox, InboxRefused, Message
from stepfold.streams.config import DEAD, STEPS
from tests.crash.stage import CUSTOMER, Stage
from tests.waiting import eventually


async def test_a_malformed_message_stops_its_conversation_with_the_reason(stage: Stage) -> None:
    async with stage.working():
        await _goes_on(stage, "c1")

        await _publish(stage, "steps.acme.c1.message.received", b'{"id": "half')

        await _is_stopped(stage, "c1", because="malformed: Input data was truncated")
        await _goes_on(stage, "c2")


async def test_bytes_that_are_no_text_stop_their_conversation(stage: Stage) -> None:
    async with stage.working():
        await _publish(stage, "steps.acme.c1.message.received", b"\xff\xfe\x00")

        await _is_stopped(stage, "c1", because="malformed")
        await _goes_on(stage, "c2")


async def test_a_payload_that_contradicts_its_subject_stops_its_conversation(stage: Stage) -> None:
    async with stage.working():
        payload = _step({"type": "turn.cancelled/1", "turn": 1, "reason": "x"}, after=0)
        await _publish(stage, "steps.acme.c1.message.received", payload)

        await _is_stopped(stage, "c1", because="subject says 'message.received'")


async def test_an_unknown_kind_stops_its_conversation_at_the_next_step(stage: Stage) -> None:
    async with stage.working():
        await _goes_on(stage, "c1")
        tail = (await stage.log.tail(CUSTOMER, "c1")).position
        event = {"type": "weather.changed/1", "to": "rain"}
        await _publish(stage, "steps.acme.c1.weather.changed", _step(event, after=tail))

        await stage.say("c1", 2)

        await _is_stopped(stage, "c1", because="kind 'weather.changed/1' is unknown")
        await _goes_on(stage, "c2")


async def test_a_kind_from_the_future_waits_for_a_worker_that_knows_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shell, "FUTURE_S", 0.2)
    async with stage.working():
        await _goes_on(stage, "c1")
        tail = (await stage.log.tail(CUSTOMER, "c1")).position
        event = {"type": "message.received/2", "words": "c1/2", "message": "c1/2"}
        await _publish(stage, "steps.acme.c1.message.received", _step(event, after=tail))
        await _goes_on(stage, "c2")
        waiting = (await stage.entries("c1"))[-1]
        assert isinstance(waiting.event, Unreadable)
        assert "from a newer version of stepfold: upgrade this worker" in waiting.event.reason

    monkeypatch.setitem(wire.UPCASTERS, "message.received/2", _older)
    async with stage.working():
        await stage.rest(["c1"])

    assert await stage.answers("c1") == ["answer to c1/1", "answer to c1/2"]
    assert "conversation.stopped" not in await stage.kinds("c1")


def _older(event: dict[str, Any]) -> dict[str, Any]:
    return {"type": "message.received/1", "text": event["words"], "message": event["message"]}


async def test_a_step_without_the_fence_stops_its_conversation_and_no_other(stage: Stage) -> None:
    async with stage.working():
        await _goes_on(stage, "c1")
        event = {"type": "message.received/1", "text": "c1/9"}

        await _publish(stage, "steps.acme.c1.message.received", _step(event, after=1))

        await _is_stopped(stage, "c1", because="without the fence")
        await _goes_on(stage, "c2")


async def test_what_could_not_be_handled_is_kept_as_a_dead_letter(stage: Stage) -> None:
    async with stage.working():
        position = await _publish(stage, "steps.acme.c1.message.received", b"{")
        await _is_stopped(stage, "c1", because="malformed")

    dead = await stage.client.jetstream().get_last_msg(DEAD, "dead.acme.c1")
    grave = msgspec.json.decode(dead.data or b"")
    assert grave["position"] == position
    assert grave["reason"].startswith("malformed")
    assert (await stage.entries("c1"))[0].position == position


async def test_a_stopped_conversation_takes_no_messages_and_says_why(stage: Stage) -> None:
    async with stage.working():
        await _publish(stage, "steps.acme.c1.message.received", b"{")
        await _is_stopped(stage, "c1", because="malformed")

    with pytest.raises(InboxRefused, match=r"c1 is stopped: malformed.*use another conversation"):
        await stage.say("c1")


@pytest.mark.parametrize(
    "subject",
    ["steps.a", "steps.a.b", "steps.a.b.c", "steps.a.b.c.d.e", "steps.a b.c.message.received"],
)
async def test_a_subject_that_is_no_step_disturbs_nobody(stage: Stage, subject: str) -> None:
    async with stage.working():
        if " " in subject:
            with pytest.raises(Exception, match="invalid subject"):
                await _publish(stage, subject, b"{}")
        else:
            await _publish(stage, subject, b"{}")

        await _goes_on(stage, "c1")


@pytest.mark.parametrize("name", ["", "a.b", "a b", "*", ">", "a\n", "x" * 200, "é"])
async def test_a_name_that_nats_would_misread_is_refused_before_anything_is_sent(
    stage: Stage, name: str
) -> None:
    for customer, conversation in ((name, "c1"), (CUSTOMER, name)):
        with pytest.raises(NameRefused, match=r"customer|conversation"):
            await stage.inbox.receive(Message(customer, conversation, "hello", "m1"))

    assert await stage.log.last() == 0


async def test_who_follows_the_log_is_told_of_steps_although_strangers_publish(
    stage: Stage,
) -> None:
    seen: list[str] = []
    await _publish(stage, "steps.a.b", b"{}")
    await _publish(stage, "steps.acme.c1.message.received", b"{}")
    async with stage.working():
        await _goes_on(stage, "c2")

    async for entry in stage.log.follow("steps.>", after=0):
        seen.append(entry.conversation)
        if seen.count("c2") == len(await stage.entries("c2")):
            break

    assert seen[0] == "c1"


async def test_a_timer_that_is_not_ours_disturbs_nobody(stage: Stage) -> None:
    async with stage.working():
        js = stage.client.jetstream()
        await js.publish("timers.due.nonsense", b"", stream="timers")
        await js.publish("timers.due.acme.c9.one", b"", stream="timers")
        await js.publish("timers.due.acme.c9.1", b"", stream="timers")

        await eventually(lambda: _handled(stage, "timers", "timer"))
        await _goes_on(stage, "c1")


async def test_an_agent_that_nobody_kept_stops_the_conversation_with_its_digest(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shell, "POISON_MAX", 2)
    inbox = Inbox(stage.log, agent="ghost", digest="sha256:0")
    async with stage.working():
        await inbox.receive(Message(CUSTOMER, "c1", "hello", "m1"))

        await _is_stopped(stage, "c1", because="AgentUnknown: no agent with digest sha256:0")
        await _goes_on(stage, "c2")


async def _goes_on(stage: Stage, conversation: str) -> None:
    """A message of a contact is answered."""
    await stage.say(conversation)
    await stage.rest([conversation])
    assert await stage.answers(conversation) == [f"answer to {conversation}/1"]


async def _is_stopped(stage: Stage, conversation: str, *, because: str) -> None:
    async def stopped() -> ConversationStopped | None:
        events = [entry.event for entry in await stage.entries(conversation)]
        return next((e for e in events if isinstance(e, ConversationStopped)), None)

    event = await eventually(stopped, what=f"{conversation} stops")
    assert event is not None
    assert because in event.reason


async def _publish(stage: Stage, subject: str, payload: bytes) -> int:
    """What a stranger does: no fence, no id."""
    ack = await stage.client.jetstream().publish(subject, payload, stream=STEPS)
    return int(ack.seq)


def _step(event: dict[str, Any], *, after: int) -> bytes:
    return msgspec.json.encode(
        {"id": str(uuid.uuid4()), "at": datetime.now(UTC), "after": after, "event": event}
    )


async def _handled(stage: Stage, stream: str, consumer: str) -> bool:
    info = await stage.client.jetstream().consumer_info(stream, consumer)
    return not info.num_pending and not info.num_ack_pending

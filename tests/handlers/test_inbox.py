"""How the outside gets into the log, and when it is turned away."""

from __future__ import annotations

import pytest

from stepfold.events.envelope import first, kind
from stepfold.events.event import ConversationStarted, ConversationStopped, ReasonRequested
from stepfold.handlers.inbox import Inbox, InboxRefused, Message
from stepfold.streams.memory import MemoryLog


def message(text: str, conversation: str = "c1") -> Message:
    return Message("acme", conversation, text, id=text)


def inbox(log: MemoryLog) -> Inbox:
    return Inbox(log, agent="help-desk", digest="sha256:0")


async def test_the_first_message_starts_its_conversation_pinned_to_a_version() -> None:
    log = MemoryLog()

    entry = await inbox(log).receive(message("hello"))

    entries = await log.read("acme", "c1")
    assert [kind(each.event) for each in entries] == ["conversation.started", "message.received"]
    assert entries[0].event == ConversationStarted("help-desk", "sha256:0")
    assert entries[-1] == entry


async def test_a_second_message_joins_its_conversation() -> None:
    log = MemoryLog()
    box = inbox(log)
    await box.receive(message("hello"))

    entry = await box.receive(message("and?"))

    assert (entry.position, entry.after) == (3, 2)


async def test_a_stopped_conversation_takes_no_messages_not_even_from_who_held_it_open() -> None:
    log = MemoryLog()
    box = inbox(log)
    await box.receive(message("hello"))
    stop = first("acme", "c1", ConversationStopped("it broke"), by="shell", key="2")
    await log.append([stop], after=2)

    with pytest.raises(InboxRefused, match="acme/c1 is stopped: it broke"):
        await box.receive(message("hello?"))


async def test_an_imported_conversation_takes_no_messages() -> None:
    log = MemoryLog()
    started = ConversationStarted("a", "sha256:0", origin="openai-chat")
    await log.append([first("acme", "c1", started, by="import", key="s")], after=0)

    with pytest.raises(InboxRefused, match=r"was imported \(openai-chat\) and is closed"):
        await inbox(log).receive(message("hello"))


async def test_a_turn_that_does_not_run_cannot_be_cancelled() -> None:
    log = MemoryLog()
    box = inbox(log)
    await box.receive(message("hello"))

    with pytest.raises(InboxRefused, match="acme/c1: no turn is running"):
        await box.cancel("acme", "c1", by="operator", reason="enough")


async def test_a_running_turn_is_cancelled_by_whom_and_why() -> None:
    log = MemoryLog()
    box = inbox(log)
    await box.receive(message("hello"))
    asked = ReasonRequested("r1", 1, "m", heard=1)
    await log.append([first("acme", "c1", asked, by="agent", key="r1")], after=2)

    entry = await box.cancel("acme", "c1", by="operator", reason="enough")

    assert (kind(entry.event), entry.by) == ("turn.cancelled", "operator")

"""Messages of two megabytes: fine through the inbox, refused clearly around it."""

from __future__ import annotations

from pathlib import Path

import nats.errors
import pytest

from stepfold.app import opened
from stepfold.events.envelope import first
from stepfold.events.event import MessageReceived
from stepfold.handlers.inbox import Message
from stepfold.settings import Settings
from stepfold.streams.log import LogRefused
from tests.crash.stage import CUSTOMER, Stage
from tests.servers import running

BIG = "x" * 2_000_000


async def test_large_messages_and_their_large_answers_go_through(stage: Stage) -> None:
    async with stage.working():
        for number in range(3):
            await stage.inbox.receive(Message(CUSTOMER, "c1", f"{BIG}{number}", f"m{number}"))
            await stage.rest(["c1"])

    answers = [f"answer to {BIG}{number}" for number in range(3)]
    assert await stage.answers("c1") == answers
    assert "conversation.stopped" not in await stage.kinds("c1")


async def test_a_tool_call_with_large_arguments_is_run(stage: Stage) -> None:
    async with stage.working(arguments=BIG):
        await stage.say("c1")
        await stage.rest(["c1"])

    assert await stage.answers("c1") == ["answer to c1/1"]
    assert stage.ran == {"acme/c1/r1.1": 1}


async def test_a_large_message_around_the_inbox_is_refused_by_the_client(stage: Stage) -> None:
    with pytest.raises(nats.errors.MaxPayloadError):
        await stage.client.jetstream().publish("steps.acme.c1.message.received", BIG.encode())

    assert await stage.log.last() == 0


async def test_a_server_that_takes_less_than_we_send_is_named_with_both_sizes(
    tmp_path: Path,
) -> None:
    with running(tmp_path, extra="max_payload: 65536") as server:
        async with opened(Settings(folder=tmp_path, nats_url=server.url)) as found:
            event = MessageReceived("x" * 100_000)
            draft = first("acme", "c1", event, by="test", key="1")

            with pytest.raises(LogRefused, match=r"100\d+ bytes do not fit .* takes 65536"):
                await found.log.append([draft], after=0)

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from nats.js import api

from stepfold.app import Opened, opened
from stepfold.events.envelope import Draft, Entry, first
from stepfold.events.event import ConversationStarted, MessageReceived
from stepfold.handlers.inbox import Inbox, Message
from stepfold.policy.agent import Agent
from stepfold.settings import Settings
from stepfold.streams import jetstream
from stepfold.streams.config import BLOB_BYTES, DEAD, EVENT_BYTES_MAX, STEPS, TIMERS
from stepfold.streams.jetstream import JetStreamLog, JetStreamTimers, connection
from stepfold.streams.log import AgentUnknown, LogConflict, LogError, LogRefused, LogUnavailable
from tests.servers import Server, free_port, running
from tests.waiting import eventually

BIG = "x" * 2_000_000
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[Opened]:
    async with opened(Settings(folder=tmp_path)) as found:
        yield found


def said(text: str, *, key: str = "", conversation: str = "c1") -> Draft:
    return first("acme", conversation, MessageReceived(text), by="test", key=key or text)


# -- appending ----------------------------------------------------------------------------------


async def test_a_step_that_is_appended_again_in_its_place_is_the_one_that_is_there(
    log: Opened,
) -> None:
    first_time = await log.log.append([said("a"), said("b")], after=0)

    again = await log.log.append([said("a"), said("b")], after=0)

    assert again == first_time
    assert await log.log.last() == 2


async def test_of_many_who_append_at_one_position_one_wins(log: Opened) -> None:
    drafts = [said(f"m{number}") for number in range(50)]

    results = await asyncio.gather(
        *(log.log.append([draft], after=0) for draft in drafts), return_exceptions=True
    )

    assert sum(isinstance(result, tuple) for result in results) == 1
    assert sum(isinstance(result, LogConflict) for result in results) == 49
    assert await log.log.last() == 1


async def test_an_append_behind_the_tail_names_where_the_conversation_is(log: Opened) -> None:
    await log.log.append([said("a")], after=0)

    with pytest.raises(LogConflict, match="conversation acme/c1 is at 1, not at 0"):
        await log.log.append([said("b")], after=0)


async def test_a_message_that_its_channel_sends_again_is_recorded_once(log: Opened) -> None:
    inbox = Inbox(log.log, agent="a", digest=await log.agents.put(Agent("a")))
    message = Message("acme", "c1", "hello", "m1")
    await inbox.receive(message)
    await inbox.receive(Message("acme", "c1", "more", "m2"))

    again = await inbox.receive(message)

    assert again.event == MessageReceived("hello", message="m1")
    assert len(await log.log.read("acme", "c1")) == 3


@pytest.mark.parametrize(
    ("trace", "expected"),
    [
        (TRACEPARENT, TRACEPARENT),
        (f" {TRACEPARENT}\n", TRACEPARENT),
        ("", None),
        ("x\r\nNats-Rollup: all", None),
    ],
    ids=["a caller", "with spaces", "no caller", "what would be a header of its own"],
)
async def test_a_step_has_its_callers_trace_in_a_header_too(
    log: Opened, trace: str, expected: str | None
) -> None:
    await log.log.append([replace(said("a"), trace=trace)], after=0)

    message = await log.client.jetstream().get_msg(STEPS, 1)
    headers = message.headers or {}
    assert headers.get("Stepfold-Traceparent") == expected
    assert "Nats-Rollup" not in headers
    assert (await log.log.read("acme", "c1"))[0].trace == trace


# -- large steps --------------------------------------------------------------------------------


async def test_a_message_of_two_megabytes_comes_back_as_it_was(log: Opened) -> None:
    (entry,) = await log.log.append([said(BIG)], after=0)

    assert await log.log.read("acme", "c1") == [entry]
    (batch,) = [batch async for batch in log.log.scan()]
    assert BIG.encode() in batch[0].payload


async def test_a_step_over_the_limit_is_kept_beside_the_log(log: Opened) -> None:
    await log.log.append([said("x" * BLOB_BYTES)], after=0)

    info = await log.client.jetstream().stream_info(STEPS)

    assert info.state.bytes < 1_000


async def test_a_step_that_is_too_large_is_refused_with_both_sizes(log: Opened) -> None:
    with pytest.raises(LogRefused, match=rf"\d+ bytes are more than .* \({EVENT_BYTES_MAX}\)"):
        await log.log.append([said("x" * (EVENT_BYTES_MAX + 1))], after=0)


async def test_a_step_whose_blob_is_gone_is_unreadable_and_says_so(log: Opened) -> None:
    (entry,) = await log.log.append([said(BIG)], after=0)
    js = log.client.jetstream()
    await js.purge_stream("OBJ_blobs")

    (found,) = await log.log.read("acme", "c1")

    assert found.id == entry.id
    assert "not in the object store" in found.event.reason  # type: ignore[union-attr]


# -- reading ------------------------------------------------------------------------------------


async def test_a_conversation_longer_than_one_batch_is_read_whole(log: Opened) -> None:
    after = 0
    for number in range(1_100):
        (entry,) = await log.log.append([said(f"m{number}")], after=after)
        after = entry.position

    found = await log.log.read("acme", "c1")

    assert [entry.position for entry in found] == list(range(1, 1_101))


async def test_conversations_with_similar_names_are_strangers(log: Opened) -> None:
    await log.log.append([said("a")], after=0)
    await log.log.append([said("b", conversation="c10")], after=0)

    assert [entry.event for entry in await log.log.read("acme", "c1")] == [MessageReceived("a")]


async def test_who_follows_the_log_sees_each_step_once_across_a_kill_of_the_server(
    tmp_path: Path,
) -> None:
    with running(tmp_path) as server:
        async with opened(Settings(folder=tmp_path, nats_url=server.url)) as log:
            seen: list[int] = []
            following = asyncio.create_task(_follow(log.log, seen))
            await log.log.append([said("a")], after=0)
            await eventually(lambda: seen == [1])

            server.kill()
            server.start()
            await eventually(lambda: _reconnected(log))
            await log.log.append([said("b"), said("c")], after=1)

            await eventually(lambda: len(seen) >= 3, 20)
            following.cancel()
            assert seen == [1, 2, 3]


async def _follow(log: JetStreamLog, seen: list[int]) -> None:
    async for batch in log.scan(follow=True):
        seen += [stored.position for stored in batch]


# -- dead letters, agents -----------------------------------------------------------------------


async def test_a_scan_ends_although_the_last_step_was_erased(log: Opened) -> None:
    await log.log.append([said("a"), said("b")], after=0)
    await log.client.jetstream().delete_msg(STEPS, 2)

    async with asyncio.timeout(20):
        found = [step.position async for batch in log.log.scan() for step in batch]

    assert found == [1]


@pytest.mark.parametrize(
    ("subject", "headers"),
    [
        ("steps.acme.c9.message.received", None),
        ("steps.acme.c9.message.received", {"Stepfold-At": "yesterday"}),
        ("steps.acme.c9.message.received", {"X-Stepfold-At": "1"}),
    ],
)
async def test_what_a_stranger_publishes_does_not_end_a_reader(
    log: Opened, subject: str, headers: dict[str, str] | None
) -> None:
    await log.client.publish(subject, b"{}", headers=headers)
    await log.client.publish(subject, b'{"blob":"sha256:' + b"0" * 64 + b'"}', headers=headers)
    await eventually(log.log.last)
    await log.log.append([said("a")], after=0)

    async with asyncio.timeout(20):
        found = [step.subject for batch in [b async for b in log.log.scan()] for step in batch]

    assert found == [subject, subject, "steps.acme.c1.message.received"]
    assert [entry.event for entry in await log.log.read("acme", "c1")] == [MessageReceived("a")]
    assert len(await log.log.read("acme", "c9")) == 2


async def test_what_is_buried_is_kept_with_its_reason_once(log: Opened) -> None:
    (entry,) = await log.log.append([said("a")], after=0)

    await log.log.bury(entry, "nobody could read it")
    await log.log.bury(entry, "nobody could read it")

    (grave,) = await _messages(log, DEAD)
    assert grave["reason"] == "nobody could read it"
    assert (grave["position"], grave["kind"], grave["id"]) == (1, "message.received", entry.id)
    assert grave["event"]["text"] == "a"


async def test_a_large_step_is_buried_without_what_does_not_fit(log: Opened) -> None:
    (entry,) = await log.log.append([said(BIG)], after=0)

    await log.log.bury(entry, "nobody could read it")

    (grave,) = await _messages(log, DEAD)
    assert (grave["position"], grave["reason"]) == (1, "nobody could read it")


async def test_every_version_of_an_agent_is_kept(log: Opened) -> None:
    versions = [Agent("a"), Agent("a", instructions="be kind")]

    digests = [await log.agents.put(version) for version in (*versions, versions[0])]

    assert [await log.agents.get(digest) for digest in digests[:2]] == versions
    assert digests[2] == digests[0]
    assert len(await _messages(log, "agents")) == 2


async def test_a_version_that_nobody_kept_is_unknown(log: Opened) -> None:
    with pytest.raises(AgentUnknown, match="no agent with digest sha256:0 was ever kept"):
        await log.agents.get("sha256:0")


# -- timers -------------------------------------------------------------------------------------


async def test_a_timer_fires_once_and_not_before_its_time(log: Opened) -> None:
    due = datetime.now(UTC) + timedelta(seconds=1.2)
    await log.timers.set("acme", "c1", 1, due)

    fired = await eventually(lambda: _fired(log), 5)

    assert datetime.now(UTC) >= due
    assert fired == ["timers.due.acme.c1.1"]


async def test_a_timer_that_is_set_again_fires_once(log: Opened) -> None:
    for _ in range(3):
        await log.timers.set("acme", "c1", 1, datetime.now(UTC))
    await log.timers.set("acme", "c1", 2, datetime.now(UTC) + timedelta(seconds=1.5))

    await eventually(lambda: _has_fired(log, "timers.due.acme.c1.2"), 5)

    assert await _fired(log) == ["timers.due.acme.c1.1", "timers.due.acme.c1.2"]


async def test_a_timer_survives_a_kill_of_the_server(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        async with opened(Settings(folder=tmp_path, nats_url=server.url)) as log:
            await log.timers.set("acme", "c1", 1, datetime.now(UTC) + timedelta(seconds=1))

            server.kill()
            server.start()
            await eventually(lambda: _reconnected(log))

            assert await eventually(lambda: _fired(log), 5) == ["timers.due.acme.c1.1"]


async def test_a_timer_that_can_not_be_set_now_is_for_later(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        async with opened(Settings(folder=tmp_path, nats_url=server.url)) as log:
            server.kill()

            timers = JetStreamTimers(log.client, timeout_s=0.1)
            with pytest.raises(LogUnavailable, match=r"timer acme\.c1\.1 was not set"):
                await timers.set("acme", "c1", 1, datetime.now(UTC))


# -- the connection -----------------------------------------------------------------------------


async def test_no_server_at_an_address_is_said_at_once() -> None:
    url = f"nats://127.0.0.1:{free_port()}"

    with pytest.raises(LogUnavailable, match=f"no NATS server answers at {url}"):
        async with jetstream.connect(url, within_s=0.3):
            pass


async def test_while_the_server_is_away_the_log_says_so_and_then_goes_on(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        async with opened(Settings(folder=tmp_path, nats_url=server.url)) as log:
            impatient = JetStreamLog(log.client, timeout_s=0.1, tries=2)
            await impatient.append([said("a")], after=0)
            server.kill()

            with pytest.raises(LogUnavailable, match=r"the log is away \(not connected"):
                await impatient.append([said("b")], after=1)
            for call in (impatient.read("acme", "c1"), impatient.tail("acme", "c1")):
                with pytest.raises(LogUnavailable, match="the log is away"):
                    await call
            server.start()
            await eventually(lambda: _reconnected(log))

            (entry,) = await log.log.append([said("b")], after=1)
            assert entry.position == 2
            assert len(await log.log.read("acme", "c1")) == 2


async def test_an_append_whose_answer_was_lost_is_there_once(tmp_path: Path) -> None:
    """It lies in the client's buffer while the server is away, and is sent when that is back."""
    with running(tmp_path) as server:
        async with opened(Settings(folder=tmp_path, nats_url=server.url)) as log:
            impatient = JetStreamLog(log.client, timeout_s=0.1, tries=3)
            server.kill()
            await eventually(lambda: not log.client.is_connected)
            with pytest.raises(LogUnavailable):
                await impatient.append([said("a")], after=0)
            server.start()
            await eventually(lambda: _reconnected(log))

            (entry,) = await log.log.append([said("a")], after=0)

            assert await log.log.read("acme", "c1") == [entry]


# -- preparing ----------------------------------------------------------------------------------


async def test_preparing_twice_changes_nothing(log: Opened) -> None:
    await log.log.append([said("a")], after=0)

    await jetstream.prepare(log.client, durability="interval")

    assert await log.log.last() == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("subjects", ["steps.acme.>"]),
        ("allow_direct", False),
        ("max_msgs_per_subject", 1),
        ("max_age", 60.0),
        ("max_msgs", 10),
        ("max_bytes", 1_000_000),
        ("retention", api.RetentionPolicy.WORK_QUEUE),
        ("storage", api.StorageType.MEMORY),
        ("discard", api.DiscardPolicy.NEW),
        ("subject_transform", api.SubjectTransform("steps.>", "moved.>")),
    ],
)
async def test_a_stream_that_is_not_as_it_must_be_is_refused(
    tmp_path: Path, field: str, value: Any
) -> None:
    config = {"name": STEPS, "subjects": ["steps.>"], "allow_direct": True, field: value}
    with running(tmp_path) as server:
        async with jetstream.connect(server.url) as client:
            await client.jetstream().add_stream(api.StreamConfig(**config))

            with pytest.raises(LogError, match=f"stream 'steps' has {field}=.* stepfold needs"):
                await jetstream.prepare(client, durability="interval")


async def test_two_processes_may_prepare_a_new_server_at_once(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        async with (
            jetstream.connect(server.url) as one,
            jetstream.connect(server.url) as other,
        ):
            await asyncio.gather(
                *(jetstream.prepare(client, durability="interval") for client in (one, other))
            )

            assert await JetStreamLog(one).last() == 0


async def test_a_server_without_jetstream_is_named(tmp_path: Path) -> None:
    server = Server(tmp_path)
    server.start(jetstream=False)
    try:
        with pytest.raises(LogUnavailable, match="JetStream"):
            async with opened(Settings(folder=tmp_path, nats_url=server.url)):
                pass
    finally:
        server.kill()


async def test_a_log_that_is_opened_again_is_as_it_was(tmp_path: Path) -> None:
    entries: list[Entry] = []
    for number in range(3):
        async with opened(Settings(folder=tmp_path)) as log:
            after = (await log.log.tail("acme", "c1")).position
            entries += await log.log.append([said(f"m{number}")], after=after)
    async with opened(Settings(folder=tmp_path)) as log:
        assert await log.log.read("acme", "c1") == entries


async def test_a_conversation_is_fenced_as_one_whatever_the_kinds(log: Opened) -> None:
    started = first("acme", "c1", ConversationStarted("a", "d"), by="test", key="s")
    await log.log.append([started], after=0)

    with pytest.raises(LogConflict):
        await log.log.append([said("a")], after=0)


async def _messages(log: Opened, stream: str) -> list[dict[str, Any]]:
    js = log.client.jetstream()
    info = await js.stream_info(stream)
    found = [await js.get_msg(stream, seq=n + 1) for n in range(info.state.last_seq)]
    return [msgspec.json.decode(message.data or b"") for message in found]


async def _fired(log: Opened) -> list[str]:
    """The subjects of the timers that have fired, each as often as it did."""
    js = log.client.jetstream()
    info = await js.stream_info(TIMERS, subjects_filter="timers.due.>")
    subjects = info.state.subjects or {}
    return sorted(name for name, times in subjects.items() for _ in range(times))


def _reconnected(log: Opened) -> bool:
    return log.client.stats["reconnects"] > 0 and log.client.is_connected


async def _has_fired(log: Opened, subject: str) -> bool:
    return subject in await _fired(log)


async def test_an_append_that_is_under_way_when_the_server_dies_goes_on_with_the_next(
    tmp_path: Path,
) -> None:
    with running(tmp_path) as server:
        async with opened(Settings(folder=tmp_path, nats_url=server.url)) as log:
            server.pause()
            appending = asyncio.create_task(log.log.append([said("a")], after=0))
            await asyncio.sleep(0)
            server.kill()
            server.start()

            async with asyncio.timeout(connection.TIMEOUT_S / 2):
                (entry,) = await appending

            assert await log.log.read("acme", "c1") == [entry]

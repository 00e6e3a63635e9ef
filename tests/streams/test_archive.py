"""Logs become files and files become logs, byte for byte, whatever lies in them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepfold.events.envelope import Entry, first
from stepfold.events.event import ConversationStarted, Event, MessageReceived, Unreadable
from stepfold.events.steps import Stored
from stepfold.policy.agent import Agent, digest
from stepfold.streams.archive import ArchiveError, LineRefused, entries, export, load
from stepfold.streams.log import LogConflict
from stepfold.streams.memory import MemoryAgents, MemoryLog, MemoryShelf
from stepfold.streams.restore import ConversationDiffers, Restored, restore
from stepfold.testing import Clock

AGENT = Agent("help-desk", "Help.")
OTHER = Agent("other")
LOGS = sorted((Path(__file__).parents[1] / "logs").glob("*.jsonl"))
LATER = datetime(2030, 1, 1, tzinfo=UTC)


async def say(log: MemoryLog, conversation: str, *events: Event) -> list[Entry]:
    made: list[Entry] = []
    for event in events:
        after, _ = await log.tail("acme", conversation)
        draft = first("acme", conversation, event, by="test", key=str(len(log.steps)))
        made += await log.append([draft], after=after)
    return made


async def interleaved() -> tuple[MemoryLog, MemoryAgents]:
    log, agents = MemoryLog(Clock()), MemoryAgents(AGENT, OTHER)
    await say(log, "c1", ConversationStarted(AGENT.name, digest(AGENT)), MessageReceived("één"))
    await say(log, "c2", ConversationStarted(OTHER.name, digest(OTHER)))
    await say(log, "c1", MessageReceived("two\nlines"))
    await say(log, "c2", MessageReceived(""))
    return log, agents


async def lines(log: MemoryLog, agents: MemoryAgents) -> list[bytes]:
    return [line async for line in export(log, agents, MemoryShelf())]


async def again(made: Iterable[bytes]) -> list[bytes]:
    """The same lines after a stay in another log."""
    log, agents = MemoryLog(lambda: LATER), MemoryAgents()
    await restore(load(made), log, agents, MemoryShelf())
    return await lines(log, agents)


def kept(steps: Iterable[Stored]) -> list[tuple[int, str, bytes]]:
    return [(stored.position, stored.subject, stored.payload) for stored in steps]


# -- a log to lines -------------------------------------------------------------------------------


async def test_a_restored_log_exports_the_same_bytes() -> None:
    log, agents = await interleaved()
    made = await lines(log, agents)

    assert await again(made) == made


@pytest.mark.parametrize("path", LOGS, ids=lambda path: path.stem)
async def test_every_recorded_log_exports_the_bytes_that_it_was_made_of(path: Path) -> None:
    made = path.read_bytes().splitlines(keepends=True)

    assert await again(made) == made


async def test_a_file_is_a_log_whose_positions_count_its_steps() -> None:
    log, agents = await interleaved()

    assert kept(load(await lines(log, agents))) == kept(log.steps)


async def test_the_versions_that_conversations_are_pinned_to_come_first() -> None:
    log, agents = await interleaved()
    archive = load(await lines(log, agents))

    assert archive.agents == {digest(AGENT): AGENT, digest(OTHER): OTHER}


async def test_one_conversation_is_exported_alone_with_its_own_version() -> None:
    log, agents = await interleaved()
    archive = load([line async for line in export(log, agents, MemoryShelf(), key=("acme", "c2"))])

    assert list(archive.agents) == [digest(OTHER)]
    assert [(entry.conversation, entry.position, entry.after) for entry in entries(archive)] == [
        ("c2", 1, 0),
        ("c2", 2, 1),
    ]


async def test_a_conversation_that_is_not_there_is_not_exported() -> None:
    with pytest.raises(ArchiveError, match="acme/c9 is not in this log"):
        await anext(aiter(export(MemoryLog(), MemoryAgents(), MemoryShelf(), key=("acme", "c9"))))


async def test_a_version_that_was_never_kept_is_named_as_missing() -> None:
    log, _ = await interleaved()
    made = await lines(log, MemoryAgents(OTHER))

    assert made[0] == msgspec.json.encode({"missing": digest(AGENT)}) + b"\n"
    assert load(made).missing == {digest(AGENT)}
    assert await again(made) == made


async def test_what_is_appended_while_a_log_is_exported_waits_for_the_next_export() -> None:
    log, agents = await interleaved()
    exported = aiter(export(log, agents, MemoryShelf()))
    begun = [await anext(exported)]
    await say(log, "c3", MessageReceived("late"))

    assert len(begun) + len([line async for line in exported]) == 2 + 5


# -- what others wrote ----------------------------------------------------------------------------

GOOD = b'"id":"00000000-0000-5000-8000-000000000000","at":"2026-01-01T00:00:00Z"'
STRANGE = {
    "nothing": b"",
    "no JSON": b"\x00\xff hello",
    "a list": b"[1,2]",
    "not UTF-8": b"{" + GOOD + b',"after":5,"event":{"type":"message.received/1","text":"\xff"}}',
    "an address": b"{" + GOOD + b',"after":5,"event":{},"customer":"eve"}',
    "no type": b"{" + GOOD + b',"after":5,"event":{"a":1}}',
    "a bad id": b'{"id":"x","at":"2026-01-01T00:00:00Z","after":5,"event":{"type":"a.b/1"}}',
    "the future": b"{" + GOOD + b',"after":5,"event":{"type":"message.received/9"},"v":9,"x":[1]}',
    "a known step": b"{" + GOOD + b',"after":5,"event":{"type":"message.received/1","text":"hi"}}',
}


@pytest.mark.parametrize("payload", STRANGE.values(), ids=STRANGE.keys())
async def test_a_payload_that_cannot_be_read_survives(payload: bytes) -> None:
    log, agents = await interleaved()
    log.inject("steps.acme.c2.message.received", payload)
    await say(log, "c2", MessageReceived("after it"))
    made = await lines(log, agents)

    assert kept(load(made)) == kept(log.steps)
    assert await again(made) == made


@given(payload=st.binary() | st.recursive(st.none(), st.lists).map(msgspec.json.encode))
async def test_any_payload_survives(payload: bytes) -> None:
    log, agents = MemoryLog(Clock()), MemoryAgents()
    log.inject("steps.acme.c1.message.received", payload)
    made = await lines(log, agents)

    assert kept(load(made)) == kept(log.steps)
    assert await again(made) == made


async def test_a_payload_on_several_lines_is_written_on_one() -> None:
    log, agents = MemoryLog(Clock()), MemoryAgents()
    pretty = msgspec.json.format(b"{" + GOOD + b',"after":0,"event":{"type":"a.b/1"}}', indent=2)
    log.inject("steps.acme.c1.a.b", pretty)

    (line,) = await lines(log, agents)

    assert line.count(b"\n") == 1
    assert b'"event":{"type":"a.b/1"}' in line


async def test_a_step_without_the_fence_stays_unreadable_wherever_it_is_restored() -> None:
    log, agents = await interleaved()
    log.inject("steps.acme.c1.message.received", STRANGE["a known step"].replace(b":5", b":1"))
    made = await lines(log, agents)
    target = MemoryLog()
    await restore(load(made), target, MemoryAgents(), MemoryShelf())

    stranger = (await target.read("acme", "c1"))[-1]

    assert b'"broken":1' in made[-1]
    assert isinstance(stranger.event, Unreadable)
    assert stranger.event.reason.startswith("broken chain")


async def test_a_message_in_no_conversation_is_kept_in_the_file_and_counted() -> None:
    log, agents = await interleaved()
    log.inject("steps.a cme.c1.message.received", b"{}")
    archive = load(await lines(log, agents))

    restored = await restore(archive, MemoryLog(), MemoryAgents(), MemoryShelf())

    assert kept(archive) == kept(log.steps)
    assert restored == Restored(conversations=2, steps=5, there=0, strays=1)


# -- lines that are wrong -------------------------------------------------------------------------

STEP = b'{"customer":"acme","conversation":"c1",' + GOOD + b',"event":{"type":"a.b/1"}}'
PINNED = (
    b'{"customer":"acme","conversation":"c1",'
    + GOOD
    + b',"event":{"type":"conversation.started/1","agent":"a","digest":"sha256:1"}}'
)
WRONG = {
    b'{"customer":"acme","conv': "the line ends in the middle: the file was cut off",
    b"{'a': 1}": "invalid JSON",
    b"[]": "not a JSON object",
    b'{"agnet":{}}': r"unknown header 'agnet' \(known: agent, routes, missing\)",
    b'{"agent":{"instructions":"x"}}': "not a header 'agent': .*`name`",
    b'{"missing":1}': "not a header 'missing'",
    b'{"customer":"acme","conversation":"c1"}': "not a step: .*`id`",
    STEP.replace(b"acme", b"a.cme"): "customer 'a.cme' would be misread",
    STEP.replace(b"a.b/1", b"a b/1"): "kind 'a b' would be misread",
    STEP.replace(b'"type"', b'"typ"'): 'its event has no "type" and the line has no "kind"',
    STEP.replace(b"2026-01", b"2026-13"): "not a step: Invalid RFC3339",
    PINNED: r"agent missing: the conversation is pinned to sha256:1 \(in this file: none\)",
}


@pytest.mark.parametrize(("line", "why"), WRONG.items(), ids=WRONG.values())
async def test_a_wrong_line_is_refused_by_file_and_line(
    line: bytes, why: str, tmp_path: Path
) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b"\n" + line)

    with pytest.raises(LineRefused, match=rf"log\.jsonl:2: .*{why}"):
        list(load(path))


async def test_headers_stand_before_the_first_step() -> None:
    with pytest.raises(LineRefused, match=r"lines:2: a header after the first step"):
        list(load([STEP + b"\n", b'{"missing":"sha256:1"}\n']))


async def test_a_file_is_read_to_its_end_before_anything_is_written() -> None:
    log, agents = await interleaved()
    made = await lines(log, agents)
    target = MemoryLog()

    with pytest.raises(LineRefused):
        await restore(load([*made, made[-1][:-9]]), target, MemoryAgents(), MemoryShelf())

    assert target.steps == []


# -- a log that is not empty ----------------------------------------------------------------------


async def test_restoring_twice_adds_nothing() -> None:
    log, agents = await interleaved()
    archive, target = load(await lines(log, agents)), MemoryLog()
    await restore(archive, target, MemoryAgents(), MemoryShelf())

    restored = await restore(archive, target, MemoryAgents(), MemoryShelf())

    assert restored == Restored(conversations=2, steps=0, there=5, strays=0)
    assert kept(target.steps) == kept(log.steps)


@pytest.mark.parametrize("done", range(6))
async def test_a_second_run_finishes_what_the_first_began(done: int) -> None:
    log, agents = await interleaved()
    made = await lines(log, agents)
    target = MemoryLog()
    await restore(load(made[: 2 + done]), target, MemoryAgents(), MemoryShelf())

    restored = await restore(load(made), target, MemoryAgents(), MemoryShelf())

    assert restored == Restored(conversations=2, steps=5 - done, there=done, strays=0)
    assert kept(target.steps) == kept(log.steps)


async def test_a_conversation_goes_behind_the_steps_of_others() -> None:
    log, agents = await interleaved()
    target = MemoryLog()
    await say(target, "c7", MessageReceived("first here"))

    await restore(load(await lines(log, agents)), target, MemoryAgents(), MemoryShelf())

    chained = [(entry.position, entry.after) for entry in await target.read("acme", "c1")]
    assert chained == [(2, 0), (3, 2), (5, 3)]


async def test_a_conversation_with_other_steps_is_refused_before_anything_is_written() -> None:
    log, agents = await interleaved()
    target = MemoryLog()
    await say(target, "c2", MessageReceived("another"))

    with pytest.raises(ConversationDiffers, match=r"acme/c2 is already in the log.*step 1"):
        await restore(load(await lines(log, agents)), target, MemoryAgents(), MemoryShelf())

    assert len(target.steps) == 1


class Contested(MemoryLog):
    """A log into which somebody else writes while it is restored."""

    async def append_raw(
        self, subject: str, payload: bytes, *, id: str, after: int, at: datetime | None = None
    ) -> int | None:
        if len(self.steps) == 2:
            await say(self, "c1", MessageReceived("me too"))
        return await super().append_raw(subject, payload, id=id, after=after, at=at)


async def test_somebody_who_appends_meanwhile_stops_the_restoring() -> None:
    log, agents = await interleaved()

    with pytest.raises(LogConflict, match=r"acme/c1: somebody appended after step 2"):
        await restore(load(await lines(log, agents)), Contested(), MemoryAgents(), MemoryShelf())


class Forgetful(MemoryLog):
    """A log whose acknowledgements are lost: it says no to what it has just taken."""

    async def append_raw(
        self, subject: str, payload: bytes, *, id: str, after: int, at: datetime | None = None
    ) -> int | None:
        await super().append_raw(subject, payload, id=id, after=after, at=at)
        return None


async def test_a_lost_acknowledgement_does_no_harm() -> None:
    log, agents = await interleaved()
    log.inject("steps.acme.c2.message.received", b"no JSON")
    target = Forgetful()

    await restore(load(await lines(log, agents)), target, MemoryAgents(), MemoryShelf())

    assert kept(target.steps) == kept(log.steps)

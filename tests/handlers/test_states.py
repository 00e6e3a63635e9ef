"""A worker's cache of states: right after any step, with as little reading as it takes."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from stepfold.events.envelope import Entry, first, follow
from stepfold.events.event import Event, MessageReceived
from stepfold.handlers.decide import BY
from stepfold.handlers.states import Known, States, advance
from stepfold.projections.conversation import replay
from stepfold.projections.state import EMPTY, without_text
from stepfold.streams.memory import MemoryLog
from stepfold.testing import (
    ASKED,
    ASKED_AGAIN,
    FOUND,
    HELLO,
    RESPONDED,
    RETRIEVAL,
    SEARCHED,
    STARTED,
    Clock,
)


class CountedLog(MemoryLog):
    """Counts what is read."""

    def __init__(self) -> None:
        super().__init__(Clock())
        self.read_after: list[int] = []

    async def read(self, customer: str, conversation: str, *, after: int = 0) -> list[Entry]:
        self.read_after.append(after)
        return await super().read(customer, conversation, after=after)


@pytest.fixture
def log() -> CountedLog:
    return CountedLog()


async def append(log: MemoryLog, *events: Event, conversation: str = "c1") -> list[Entry]:
    made: list[Entry] = []
    for event in events:
        key = str(len(log.steps))
        draft = first("acme", conversation, event, by="test", key=key)
        after = (await log.tail("acme", conversation)).position
        made += await log.append([draft], after=after)
    return made


async def test_an_unknown_conversation_is_read_as_a_whole(log: CountedLog) -> None:
    _, heard = await append(log, STARTED, HELLO)

    known = await States(log).including(heard)

    assert known.state == replay([STARTED, HELLO])
    assert log.read_after == [0]


@pytest.mark.parametrize("looked_before", [False, True])
async def test_a_step_that_says_it_is_the_first_is_not_believed_unread(
    log: CountedLog, looked_before: bool
) -> None:
    states = States(log)
    if looked_before:
        await states.refresh("acme", "c1")
    await append(log, STARTED)
    (heard,) = await append(log, HELLO)
    lying = Entry(
        id=heard.id,
        customer="acme",
        conversation="c1",
        event=HELLO,
        position=heard.position,
        at=heard.at,
        after=0,
    )

    assert (await states.including(lying)).state == replay([STARTED, HELLO])


async def test_the_next_step_costs_no_read(log: CountedLog) -> None:
    states = States(log)
    (started,) = await append(log, STARTED)
    await states.including(started)
    (heard,) = await append(log, HELLO)

    known = await states.including(heard)

    assert (known.state, known.position) == (replay([STARTED, HELLO]), heard.position)
    assert log.read_after == [0]


async def test_a_step_after_others_costs_the_tail(log: CountedLog) -> None:
    states = States(log)
    (started,) = await append(log, STARTED)
    await states.including(started)
    *_, last = await append(log, HELLO, ASKED)

    known = await states.including(last)

    assert known.state == replay([STARTED, HELLO, ASKED])
    assert log.read_after == [0, started.position]


async def test_an_old_step_costs_no_read_and_gives_what_is_known(log: CountedLog) -> None:
    states = States(log)
    started, _ = await append(log, STARTED, HELLO)
    newest = await states.refresh("acme", "c1")

    assert await states.including(started) is newest
    assert log.read_after == [0]


async def test_a_later_state_is_never_forgotten_for_an_earlier_one(log: CountedLog) -> None:
    states = States(log)
    entries = await append(log, STARTED, HELLO)
    later = await states.refresh("acme", "c1")

    kept = states.keep(("acme", "c1"), advance(Known(), entries[:1]))

    assert kept is later
    assert states.cached("acme", "c1") is later


async def test_the_longest_unused_conversation_is_forgotten_when_there_are_too_many_items(
    log: CountedLog,
) -> None:
    states = States(log, items_max=3)
    for name in ("a", "b", "c", "d"):
        await append(log, STARTED, conversation=name)
        await states.refresh("acme", name)
    await append(log, HELLO, conversation="b")
    await states.refresh("acme", "b")

    assert states.cached("acme", "a") == Known()
    assert all(states.cached("acme", name).position for name in ("b", "c", "d"))


async def test_a_conversation_that_nobody_wants_is_forgotten_in_time(log: CountedLog) -> None:
    now = [0.0]
    states = States(log, idle_s=10.0, clock=lambda: now[0])
    for name in ("a", "b"):
        await append(log, STARTED, conversation=name)
        await states.refresh("acme", name)
    for now[0] in (6.0, 12.0):
        await states.refresh("acme", "b")

    assert states.cached("acme", "a") == Known()
    assert states.cached("acme", "b").position
    log.read_after.clear()
    assert (await states.refresh("acme", "a")).state.agent == STARTED.agent
    assert log.read_after == [0]


async def test_without_text_a_conversation_stands_where_it_does_with_it(log: CountedLog) -> None:
    whole, lean = States(log), States(log, text=False)
    more = replace(HELLO, message="m2")
    for event in (STARTED, HELLO, ASKED, SEARCHED, RETRIEVAL, FOUND, more, ASKED_AGAIN, RESPONDED):
        await append(log, event)
        known = await whole.refresh("acme", "c1")
        told = await lean.refresh("acme", "c1")

        assert not told.state.transcript
        assert told == replace(known, state=without_text(known.state))
    assert known.state.transcript
    assert known.state.passages


async def test_a_conversation_that_is_too_long_for_the_cache_alone_is_kept(log: CountedLog) -> None:
    states = States(log, items_max=1)
    await append(log, STARTED, HELLO, ASKED)

    known = await states.refresh("acme", "c1")

    assert states.cached("acme", "c1") is known


async def test_what_is_decided_follows_from_the_last_step_that_was_no_decision(
    log: CountedLog,
) -> None:
    _, heard = await append(log, STARTED, HELLO)
    decided = await log.append(follow(heard, BY, [ASKED]), after=heard.position)

    known = advance(Known(), [heard, *decided])

    assert known.cause == heard
    assert advance(known, await append(log, MessageReceived("x"))).cause != heard


async def test_a_step_that_is_in_the_state_is_not_folded_again(log: CountedLog) -> None:
    entries = await append(log, STARTED, HELLO)
    known = advance(Known(), entries)

    assert advance(known, entries) == known


async def test_a_turn_is_opened_when_its_first_ask_is_recorded(log: CountedLog) -> None:
    entries = await append(log, STARTED, HELLO, ASKED)

    assert advance(Known(), entries[:2]).opened is None
    assert advance(Known(), entries).opened == entries[2].at
    assert EMPTY.turn is None

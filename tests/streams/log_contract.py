"""What every log must do. Run against each implementation in `tests/streams/test_logs.py`."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from stepfold.events.envelope import Draft, Entry, first, follow
from stepfold.events.event import Event, MessageReceived, ToolReturned, Unreadable
from stepfold.events.names import NameRefused
from stepfold.events.wire import decode
from stepfold.streams.log import Log, LogConflict
from stepfold.testing import ASKED, HELLO, STARTED

CUSTOMER = "acme"


def drafts(*events: Event, conversation: str = "c1", customer: str = CUSTOMER) -> list[Draft]:
    return [
        first(customer, conversation, event, by="test", key=str(n))
        for n, event in enumerate(events)
    ]


class LogContract:
    """A subclass is all it takes; the fixture `log` gives an empty log."""

    async def test_what_was_appended_is_read_in_order(self, log: Log) -> None:
        appended = await log.append(drafts(STARTED, HELLO), after=0)

        found = await log.read(CUSTOMER, "c1")

        assert found == list(appended)
        assert [entry.event for entry in found] == [STARTED, HELLO]

    async def test_each_step_is_fenced_on_the_one_before_it(self, log: Log) -> None:
        one, two = await log.append(drafts(STARTED, HELLO), after=0)
        (three,) = await log.append(follow(two, "agent", [ASKED]), after=two.position)

        assert [one.after, two.after, three.after] == [0, one.position, two.position]
        assert one.position < two.position < three.position

    async def test_a_recorded_step_keeps_its_envelope_and_gets_a_time(self, log: Log) -> None:
        (cause,) = await log.append(drafts(HELLO), after=0)
        (draft,) = follow(cause, "agent", [ASKED])

        (entry,) = await log.append([draft], after=cause.position)

        found = (entry.id, entry.cause, entry.by, entry.trace, entry.key)
        assert found == (draft.id, cause.id, "agent", draft.trace, (CUSTOMER, "c1"))
        assert entry.at.tzinfo is not None

    @pytest.mark.parametrize("after", [0, 999_999])
    async def test_an_append_at_another_position_is_a_conflict(self, log: Log, after: int) -> None:
        await log.append(drafts(STARTED), after=0)

        with pytest.raises(LogConflict):
            await log.append(drafts(STARTED, HELLO)[1:], after=after)

        assert len(await log.read(CUSTOMER, "c1")) == 1

    async def test_a_first_append_at_a_position_that_is_not_the_start_is_a_conflict(
        self, log: Log
    ) -> None:
        await log.append(drafts(STARTED, conversation="other"), after=0)

        with pytest.raises(LogConflict):
            await log.append(drafts(STARTED), after=1)

    async def test_of_many_who_append_at_once_one_wins(self, log: Log) -> None:
        (start,) = await log.append(drafts(STARTED), after=0)
        made = [
            first(CUSTOMER, "c1", MessageReceived(str(n)), by="test", key=str(n)) for n in range(10)
        ]

        results = await asyncio.gather(
            *(log.append([draft], after=start.position) for draft in made), return_exceptions=True
        )

        assert sum(isinstance(result, LogConflict) for result in results) == 9
        assert len(await log.read(CUSTOMER, "c1")) == 2

    async def test_appending_the_same_step_again_gives_the_one_that_is_there(
        self, log: Log
    ) -> None:
        (started,) = await log.append(drafts(STARTED), after=0)
        draft = drafts(STARTED, HELLO)[1]
        once = await log.append([draft], after=started.position)

        again = await log.append([draft], after=started.position)

        assert again == once
        assert len(await log.read(CUSTOMER, "c1")) == 2

    async def test_several_steps_whose_first_is_there_already_go_on_from_it(self, log: Log) -> None:
        both = drafts(STARTED, HELLO)
        (started,) = await log.append(both[:1], after=0)

        appended = await log.append(both, after=0)

        assert [entry.event for entry in appended] == [STARTED, HELLO]
        assert appended[0] == started
        assert len(await log.read(CUSTOMER, "c1")) == 2

    async def test_what_went_in_before_a_conflict_stays(self, log: Log) -> None:
        first_two = drafts(STARTED, HELLO)
        await log.append(first_two, after=0)

        with pytest.raises(LogConflict):
            await log.append([first_two[0], *drafts(STARTED, HELLO, ASKED)[2:]], after=0)

        assert [e.event for e in await log.read(CUSTOMER, "c1")] == [STARTED, HELLO]

    async def test_conversations_do_not_fence_each_other(self, log: Log) -> None:
        await log.append(drafts(STARTED, conversation="a"), after=0)
        await log.append(drafts(STARTED, conversation="b"), after=0)
        await log.append(drafts(STARTED, conversation="a", customer="apex"), after=0)

        assert [e.key for e in await log.read(CUSTOMER, "b")] == [(CUSTOMER, "b")]
        assert [e.key for e in await log.read("apex", "a")] == [("apex", "a")]

    async def test_the_tail_is_what_comes_after_a_position(self, log: Log) -> None:
        one, two = await log.append(drafts(STARTED, HELLO), after=0)

        assert await log.read(CUSTOMER, "c1", after=one.position) == [two]
        assert await log.read(CUSTOMER, "c1", after=two.position) == []
        assert (await log.tail(CUSTOMER, "c1")).position == two.position

    async def test_an_unknown_conversation_is_empty(self, log: Log) -> None:
        assert await log.read(CUSTOMER, "nobody") == []
        assert (await log.tail(CUSTOMER, "nobody")).position == 0

    async def test_an_empty_log_ends_at_zero(self, log: Log) -> None:
        assert await log.last() == 0
        assert [batch async for batch in log.scan()] == []

    async def test_a_scan_gives_every_step_of_everybody_in_order(self, log: Log) -> None:
        await log.append(drafts(STARTED, HELLO, conversation="a"), after=0)
        await log.append(drafts(STARTED, conversation="b"), after=0)

        stored = [step async for batch in log.scan() for step in batch]

        assert [step.position for step in stored] == [1, 2, 3]
        assert await log.last() == 3
        entries = [decode(s.subject, s.payload, position=s.position, at=s.at) for s in stored]
        assert entries[:2] == await log.read(CUSTOMER, "a")

    async def test_a_scan_goes_on_from_a_position(self, log: Log) -> None:
        await log.append(drafts(STARTED, HELLO), after=0)

        assert [s.position async for batch in log.scan(after=1) for s in batch] == [2]
        assert [s.position async for batch in log.scan(after=2) for s in batch] == []

    @pytest.mark.parametrize(("customer", "conversation"), [("a.b", "c"), ("a", "*"), ("", "c")])
    async def test_a_name_that_nats_would_misread_is_refused(
        self, log: Log, customer: str, conversation: str
    ) -> None:
        with pytest.raises(NameRefused):
            await log.append(drafts(STARTED, customer=customer, conversation=conversation), after=0)

    async def test_any_json_comes_back_as_it_was(self, log: Log) -> None:
        result = {"☂": [1, 2.5, None, True, "ü\n"], "deep": {"er": {}}}
        event = ToolReturned("r1.1", 1, result)

        await log.append(drafts(event), after=0)

        assert [e.event for e in await log.read(CUSTOMER, "c1")] == [event]

    async def test_a_conversation_of_many_steps_is_read_as_a_whole(self, log: Log) -> None:
        events = [MessageReceived(f"{n}") for n in range(300)]

        appended = await log.append(drafts(*events), after=0)

        assert await log.read(CUSTOMER, "c1") == list(appended)
        assert await log.read(CUSTOMER, "c1", after=appended[149].position) == list(appended[150:])

    async def test_a_step_that_cannot_be_handled_can_be_kept_apart(self, log: Log) -> None:
        (entry,) = await log.append(drafts(HELLO), after=0)
        broken = Entry(
            id="",
            customer=CUSTOMER,
            conversation="c1",
            event=Unreadable("message.received", "malformed", b"{junk"),
            position=entry.position + 1,
            at=datetime(2026, 1, 1, tzinfo=UTC),
            after=-1,
        )

        await log.bury(broken, "malformed")

        assert await log.read(CUSTOMER, "c1") == [entry]

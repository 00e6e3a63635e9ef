"""What is in the log comes to Teams once, whoever is told of it however often."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from stepfold.channels.teams.config import TEXTS
from stepfold.channels.teams.live import HELD_S
from stepfold.channels.teams.places import Post
from stepfold.events.envelope import Entry, first
from stepfold.events.event import (
    ApprovalGranted,
    ApprovalRequested,
    ConversationStarted,
    ResponseGiven,
    TurnAbandoned,
    TurnCancelled,
)
from tests.channels.teams_bench import KEY, Bench, bench
from tests.channels.teams_fake import CHANNEL, Streamed, broken, expired, no_fault, throttled

ANSWER = ResponseGiven(1, "At nine.")
ASKED = ApprovalRequested("r1.1", 1, "refund", {"order": "A-1"}, "sha256:d", "it pays", 60)


@pytest.fixture
async def made() -> AsyncIterator[Bench]:
    async with bench() as made:
        yield made


async def test_an_answer_is_posted_once_and_the_log_is_told_once(made: Bench) -> None:
    entry = await made.append(ANSWER)

    for deliveries in (1, 2, 3):
        assert await made.deliver().take(entry, deliveries=deliveries) is None

    assert made.shown == ["At nine."]
    assert await made.receipts() == list(made.fake.screen)


async def test_what_the_log_knows_is_not_posted_though_its_receipt_is_forgotten(
    made: Bench,
) -> None:
    entry = await made.append(ANSWER)
    await made.deliver().take(entry, deliveries=1)
    await made.places.forget(KEY, "turn.1")

    assert await made.deliver().take(entry, deliveries=2) is None

    assert made.shown == ["At nine."]


async def test_two_who_are_told_at_once_post_once(made: Bench) -> None:
    entry = await made.append(ANSWER)

    lanes = [made.deliver() for _ in range(4)]
    waits = await asyncio.gather(*(lane.take(entry, deliveries=1) for lane in lanes))
    again = [await lane.take(entry, deliveries=2) for lane in lanes]

    assert None in waits
    assert again == [None] * 4
    assert made.shown == ["At nine."]
    assert len(await made.receipts()) == 1


async def test_who_posted_and_could_not_tell_the_log_does_not_post_again(made: Bench) -> None:
    entry = await made.append(ANSWER)
    made.log.away = 1

    assert await made.deliver().take(entry, deliveries=1) == 2.0
    assert await made.receipts() == []
    assert await made.deliver().take(entry, deliveries=2) is None

    assert made.shown == ["At nine."]
    assert len(await made.receipts()) == 1


async def test_a_claim_whose_owner_died_is_taken_over_when_it_is_old(made: Bench) -> None:
    entry = await made.append(ANSWER)
    await made.places.claim(KEY, "turn.1", Post("dead", made.clock(), held=True), HELD_S)

    assert await made.deliver().take(entry, deliveries=1) == 0.2
    assert made.shown == []
    made.later(HELD_S + 1)
    assert await made.deliver().take(entry, deliveries=2) is None

    assert made.shown == ["At nine."]


async def test_an_open_stream_whose_owner_died_ends_in_the_answer(made: Bench) -> None:
    entry = await made.append(ANSWER)
    made.fake.screen["s1"] = "At"
    made.fake.streams["s1"] = Streamed()
    dead = Post("dead", made.clock(), activity="s1", open=True, text="At", held=True)
    await made.places.claim(KEY, "turn.1", dead, HELD_S)
    made.later(HELD_S + 1)

    assert await made.deliver().take(entry, deliveries=2) is None

    assert made.shown == ["At nine."]
    assert made.fake.streams["s1"].over
    assert await made.receipts() == ["s1"]


@pytest.mark.parametrize("text", ["At five", "At"], ids=["another text", "the beginning"])
async def test_an_expired_stream_is_replaced_by_the_answer(made: Bench, text: str) -> None:
    entry = await made.append(ANSWER)
    made.fake.screen["s1"] = text
    old = Post("live", made.clock(), activity="s1", open=True, text=text)
    await made.places.claim(KEY, "turn.1", old, HELD_S)
    made.fake.faults.append(expired)

    assert await made.deliver().take(entry, deliveries=1) is None

    assert made.shown == ["At nine."]
    assert [sent.method for sent in made.fake.sent] == ["PUT"]


async def test_a_stream_that_said_something_else_ends_and_is_replaced(made: Bench) -> None:
    entry = await made.append(ANSWER)
    made.fake.screen["s1"] = "At five"
    stream = made.fake.streams["s1"] = Streamed()
    stream.text = "At five"
    await made.places.claim(
        KEY, "turn.1", Post("live", made.clock(), activity="s1", open=True, text="At five"), HELD_S
    )

    assert await made.deliver().take(entry, deliveries=1) is None

    assert [sent.method for sent in made.fake.sent] == ["POST", "PUT"]
    assert made.shown == ["At nine."]


async def test_a_message_that_is_gone_is_posted_anew(made: Bench) -> None:
    entry = await made.append(ANSWER)
    await made.places.claim(KEY, "turn.1", Post("live", made.clock(), activity="gone"), HELD_S)

    assert await made.deliver().take(entry, deliveries=1) is None

    assert made.shown == ["At nine."]
    assert await made.receipts() == list(made.fake.screen)


async def test_a_rate_limit_is_waited_for(made: Bench) -> None:
    entry = await made.append(ANSWER)
    made.fake.faults.extend([lambda: throttled("2"), lambda: throttled("1")])

    assert await made.deliver().take(entry, deliveries=1) is None

    assert made.slept == [2, 1]
    assert made.shown == ["At nine."]


async def test_a_long_wait_is_left_to_the_lane(made: Bench) -> None:
    entry = await made.append(ANSWER)
    made.fake.faults.append(lambda: throttled("120"))

    assert await made.deliver().take(entry, deliveries=1) == 120
    assert await made.deliver().take(entry, deliveries=2) is None

    assert made.slept == []
    assert made.shown == ["At nine."]


@pytest.mark.parametrize("status", [412, 500, 502, 503, 504])
async def test_what_fails_for_now_is_sent_again(made: Bench, status: int) -> None:
    entry = await made.append(ANSWER)
    made.fake.faults.append(lambda: broken(status))

    assert await made.deliver().take(entry, deliveries=1) is None

    assert made.shown == ["At nine."]


async def test_who_is_away_longer_is_tried_later(made: Bench) -> None:
    entry = await made.append(ANSWER)
    made.fake.faults.extend([broken] * 3)

    assert await made.deliver().take(entry, deliveries=3) == 6.0
    assert await made.deliver().take(entry, deliveries=4) is None

    assert made.shown == ["At nine."]


async def test_where_the_bot_was_removed_nothing_is_tried_for_ever(made: Bench) -> None:
    entry = await made.append(ANSWER)
    made.fake.faults.append(lambda: broken(403))

    assert await made.deliver().take(entry, deliveries=1) is None

    assert made.shown == []
    assert await made.receipts() == []


async def test_a_token_that_is_refused_is_replaced_by_another(made: Bench) -> None:
    await made.deliver().take(await made.append(ANSWER), deliveries=1)
    made.fake.tokens.clear()

    await made.deliver().take(await made.append(ResponseGiven(2, "At ten.")), deliveries=1)

    assert made.shown == ["At nine.", "At ten."]
    assert made.fake.asked.count("token") == 2


async def test_one_token_serves_until_shortly_before_its_end(made: Bench) -> None:
    for turn, passed in ((1, 0), (2, 3200), (3, 200)):
        made.later(passed)
        await made.deliver().take(await made.append(ResponseGiven(turn, "x")), deliveries=1)

    assert made.fake.asked.count("token") == 2


async def test_a_long_answer_comes_in_parts_and_goes_on_where_it_was_cut(made: Bench) -> None:
    paragraph = "Ä long way to go, and nothing to say. " * 30
    text = "\n\n".join(paragraph + str(number) for number in range(60))
    entry = await made.append(ResponseGiven(1, text))
    made.fake.faults.extend([no_fault, no_fault, *[broken] * 3])

    assert await made.deliver().take(entry, deliveries=1) == 2.0
    before = list(made.shown)
    assert await made.deliver().take(entry, deliveries=2) is None

    assert len(before) == 2
    assert made.shown[:2] == before
    assert "".join("".join(made.shown).split()) == "".join(text.split())
    assert await made.receipts() == list(made.fake.screen)[:1]


async def test_what_cannot_be_answered_is_said_too(made: Bench) -> None:
    entry = await made.append(TurnAbandoned(1, "model"))

    for _ in range(2):
        await made.deliver().take(entry, deliveries=1)

    assert made.shown == [TEXTS.abandoned]
    assert await made.receipts() == []


async def test_a_cancelled_turn_ends_its_stream_and_says_nothing_without_one(made: Bench) -> None:
    await made.deliver().take(await made.append(TurnCancelled(1, "superseded")), deliveries=1)
    assert made.shown == []
    made.fake.screen["s1"], made.fake.streams["s1"] = "At ni", Streamed()
    open_one = Post("live", made.clock(), activity="s1", open=True, text="At ni")
    await made.places.claim(KEY, "turn.2", open_one, HELD_S)

    await made.deliver().take(await made.append(TurnCancelled(2, "superseded")), deliveries=1)

    assert made.shown == ["At ni"]
    assert made.fake.streams["s1"].over


async def test_conversations_of_other_channels_are_left_alone(made: Bench) -> None:
    for name in ("c1", "teams-but-never-seen"):
        draft = first("acme", name, ANSWER, by="test", key="1")
        (entry,) = await made.log.append([draft], after=0)
        assert await made.deliver().take(entry, deliveries=1) is None

    assert made.fake.sent == []


async def test_only_a_conversation_that_nobody_began_is_greeted(made: Bench) -> None:
    said = await made.append(ConversationStarted("desk", "sha256:a", "ada", "teams"))
    came = await made.append(ConversationStarted("desk", "sha256:a", "", "teams"))

    for entry in (said, came, came):
        await made.deliver().take(entry, deliveries=1)

    assert made.shown == [TEXTS.greeting]


async def test_people_are_asked_once_and_the_card_shows_who_decided(made: Bench) -> None:
    entry = await made.append(ASKED)
    for _ in range(2):
        await made.deliver().take(entry, deliveries=1)
    granted = await made.append(ApprovalGranted("r1.1", 1, "sha256:d", "ops"))

    await made.deliver().take(granted, deliveries=1)

    asked, shown = made.fake.sent
    assert [action["title"] for action in asked.card["actions"]] == ["Approve", "Deny"]
    assert (shown.method, shown.activity) == ("PUT", asked.activity)
    assert "Approved by ops" in str(shown.card)
    assert "actions" not in shown.card


async def test_while_people_are_missing_the_card_keeps_its_buttons(made: Bench) -> None:
    two = ApprovalRequested("r1.1", 1, "refund", {}, "sha256:d", "it pays", 60, people=2)
    await made.deliver().take(await made.append(two), deliveries=1)
    one = await made.append(ApprovalGranted("r1.1", 1, "sha256:d", "ops"))

    await made.deliver().take(one, deliveries=1)

    assert [sent.method for sent in made.fake.sent] == ["POST"]


async def test_a_hook_may_deliver_too(made: Bench) -> None:
    entry: Entry = await made.append(ANSWER)

    for _ in range(2):
        await made.deliver().see(entry)

    assert made.shown == ["At nine."]


async def test_in_a_channel_an_answer_is_a_plain_message() -> None:
    async with bench(CHANNEL, personal=False) as made:
        await made.deliver().take(await made.append(ANSWER), deliveries=1)

        (sent,) = made.fake.sent
        assert (sent.place, sent.text, sent.stream) == (CHANNEL, "At nine.", {})

"""What goes wrong at Microsoft, or takes long, costs nobody an answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace
from starlette.applications import Starlette
from starlette.responses import Response

from stepfold.channels.teams.arrived import Said
from stepfold.channels.teams.channel import channel
from stepfold.channels.teams.config import TEXTS
from stepfold.channels.teams.deliver import GIVEN_UP_S, RETRY_S_MAX
from stepfold.channels.teams.live import HELD_S
from stepfold.channels.teams.parse import parse
from stepfold.channels.teams.places import Places, Post
from stepfold.events.envelope import Entry
from stepfold.events.event import (
    ApprovalGranted,
    ApprovalRequested,
    ReasonRequested,
    ResponseGiven,
)
from stepfold.handlers.inbox import InboxRefused, Message
from stepfold.providers.model import Reply
from stepfold.providers.scripted import ScriptedModel
from stepfold.streams.jetstream.sealed import JetStreamSealed
from stepfold.streams.listening import Words
from tests.channels.teams_bench import KEY, Bench, bench
from tests.channels.teams_fake import SECRET, FakeTeams, Streamed, broken, serving
from tests.channels.teams_world import NAME, Gated, Site, site, world
from tests.servers import free_port
from tests.waiting import eventually

ANSWER = ResponseGiven(1, "At nine.")
ASKED = ReasonRequested("r1", 1, "m", heard=1)
LIMIT_S = 1.0


@pytest.fixture
async def made() -> AsyncIterator[Bench]:
    async with bench() as made:
        yield made


@pytest.mark.parametrize("status", [400, 404, 405, 409])
async def test_a_stream_whose_end_is_refused_is_replaced_by_the_answer(
    made: Bench, status: int
) -> None:
    entry = await made.append(ANSWER)
    made.fake.screen["s1"], made.fake.streams["s1"] = "At", Streamed()
    begun = Post("live", made.clock(), activity="s1", open=True, text="At")
    await made.places.claim(KEY, "turn.1", begun, HELD_S)
    made.fake.faults.append(lambda: broken(status))

    assert await made.deliver().take(entry, deliveries=1) is None

    assert made.shown == ["At nine."]
    assert await made.receipts() == ["s1"]


async def test_where_neither_end_nor_change_is_taken_the_answer_is_a_message_of_its_own(
    made: Bench,
) -> None:
    entry = await made.append(ANSWER)
    begun = Post("live", made.clock(), activity="s1", open=True, text="At")
    await made.places.claim(KEY, "turn.1", begun, HELD_S)
    made.fake.faults.append(lambda: broken(404))

    assert await made.deliver().take(entry, deliveries=1) is None

    assert made.shown == ["At nine."]
    assert await made.receipts() == list(made.fake.screen)


async def test_an_expired_secret_can_be_put_right(made: Bench) -> None:
    entry = await made.append(ANSWER)
    made.fake.secret = "another one by now"

    assert await made.deliver().take(entry, deliveries=1) == 2.0
    made.fake.secret = SECRET
    assert await made.deliver().take(entry, deliveries=2) is None

    assert made.shown == ["At nine."]


async def test_an_answer_outlives_an_outage_of_days(made: Bench) -> None:
    entry = await made.append(ANSWER)
    made.fake.faults.extend([broken] * 3)
    made.later(GIVEN_UP_S - 60)

    assert await made.deliver().take(entry, deliveries=10_000) == RETRY_S_MAX
    assert await made.deliver().take(entry, deliveries=10_001) is None

    assert made.shown == ["At nine."]
    assert made.log.dead == []


async def test_what_could_not_be_told_for_longer_is_a_dead_letter(made: Bench) -> None:
    entry = await made.append(ANSWER)
    made.fake.faults.extend([broken] * 3)
    made.later(GIVEN_UP_S + 60)

    assert await made.deliver().take(entry, deliveries=2) is None

    assert made.shown == []
    assert made.log.dead == [(entry, "teams: HTTP 502")]


async def test_what_is_never_taken_is_a_dead_letter_at_once(made: Bench) -> None:
    entry = await made.append(ANSWER)
    made.fake.faults.append(lambda: broken(403))

    await made.deliver().take(entry, deliveries=1)

    ((buried, reason),) = made.log.dead
    assert buried == entry
    assert "403" in reason


async def test_a_card_that_teams_gave_no_name_is_not_waited_for(made: Bench) -> None:
    asked = ApprovalRequested("r1.1", 1, "refund", {}, "sha256:d", "it pays", 60)
    made.fake.faults.append(lambda: Response(status_code=202))
    assert await made.deliver().take(await made.append(asked), deliveries=1) is None
    granted = await made.append(ApprovalGranted("r1.1", 1, "sha256:d", "ops"))

    assert await made.deliver().take(granted, deliveries=1) is None


@pytest.mark.parametrize(("said", "left"), [("Half an ans", "Half an ans"), ("", TEXTS.thinking)])
async def test_a_stream_that_gets_too_old_is_ended_and_its_message_becomes_the_answer(
    made: Bench, said: str, left: str
) -> None:
    entry = await made.append(ASKED)
    if said:
        made.happens.put_nowait(Words("r1", 1, 1, "text", 0, said))
    async with asyncio.timeout(5):
        assert await made.live(stream_s=0.3).take(entry, deliveries=1) is None
    assert [stream.over for stream in made.fake.streams.values()] == [True]
    assert made.shown == [left]

    await made.deliver().take(await made.append(ANSWER), deliveries=1)

    assert made.shown == ["At nine."]


async def test_a_turn_is_streamed_when_the_stream_before_it_has_ended(made: Bench) -> None:
    open_ = Post("live", made.clock(), activity="s1", open=True, text="At")
    made.fake.screen["s1"], made.fake.streams["s1"] = "At", Streamed()
    await made.places.claim(KEY, "turn.1", open_, HELD_S)
    await made.append(ASKED)
    next_one = await made.append(ReasonRequested("r2", 2, "m", heard=1))

    assert await made.live().take(next_one, deliveries=1) == 0.2
    await made.deliver().take(await made.append(ANSWER), deliveries=1)
    made.happens.put_nowait(Words("r2", 2, 1, "text", 0, "At ten."))
    made.happens.put_nowait(await made.append(ResponseGiven(2, "At ten.")))
    assert await made.live().take(next_one, deliveries=2) is None


async def test_a_stream_of_a_process_that_died_holds_nobody_up(made: Bench) -> None:
    dead = Post("dead", made.clock(), activity="s1", open=True, held=True)
    await made.places.claim(KEY, "turn.1", dead, HELD_S)
    made.later(HELD_S + 1)
    next_one = await made.append(ReasonRequested("r2", 2, "m", heard=1))
    made.happens.put_nowait(await made.append(ResponseGiven(2, "At ten.")))

    assert await made.live().take(next_one, deliveries=1) is None


def test_a_text_that_is_told_as_null_is_none() -> None:
    file = {"contentType": "image/png", "contentUrl": "https://x.example/a.png", "name": "a"}
    told = {**FakeTeams(1).says("x", attachments=[file]), "text": None, "locale": None}

    arrived = parse(msgspec.json.encode(told))

    assert isinstance(arrived, Said)
    assert arrived.text == ""


async def test_two_turns_one_after_the_other_are_both_streamed(tmp_path: Path) -> None:
    model = ScriptedModel([Reply("At nine."), Reply("At ten.")])
    async with site(tmp_path, models={"scripted": model}) as made:
        await made.post(made.fake.says("When?"))
        await made.post(made.fake.says("And tomorrow?"))
        await made.until_kind("response.delivered")
        kinds = await made.kinds()
        await made.until_kind("response.delivered", kinds.count("response.given"))

    assert made.fake.wrong == []


async def test_what_the_conversation_cannot_take_now_teams_sends_again(tmp_path: Path) -> None:
    async with site(tmp_path, lanes=False, workers=False) as made:
        inside, busy = await world(made.found, await made.found.appointed()), [True]

        async def receive(said: Message) -> object:
            if busy:
                busy.clear()
                raise InboxRefused("conversation acme/x is too busy: send the message again")
            return await inside.receive(said)

        config, port = made.config, free_port()
        teams = channel(config, replace(inside, receive=receive))
        async with serving(Starlette(routes=teams.routes), port):
            there = Site(made.found, made.fake, teams, config, f"http://127.0.0.1:{port}")
            statuses = [(await there.post(made.fake.says("hi"))).status_code for _ in range(2)]

        assert statuses == [503, 200]
        assert (await made.kinds()).count("message.received") == 1


async def test_who_stops_streaming_while_words_come_is_gone_at_once(tmp_path: Path) -> None:
    model = Gated(Reply("At nine."), words=["At "])
    async with site(tmp_path, models={"scripted": model}, lanes=False) as made:
        await made.post(made.fake.says("When?"))
        await model.asked.wait()
        asked: Entry = await made.until_kind("reason.requested")
        places = Places(JetStreamSealed(made.found.client))
        for number in range(10):
            task = asyncio.create_task(made.teams.live.take(asked, deliveries=1))
            model.say(f"{number} ")
            if number % 2:
                await eventually(lambda: made.fake.streams)
            else:
                await asyncio.sleep(0)
            begun = time.perf_counter()
            task.cancel()
            await asyncio.wait({task})

            assert time.perf_counter() - begun < LIMIT_S
            assert task.done()
            await places.forget(("acme", NAME), "turn.1")
            made.fake.streams.clear()
        model.gate.set()
        await made.until_kind("response.given")

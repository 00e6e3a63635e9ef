"""Streams: each step and word once, whoever comes back, on whichever gateway."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager

import httpx2
import pytest

from stepfold.events.envelope import first
from stepfold.events.event import Event as LogEvent
from stepfold.events.event import MessageReceived, Reasoned, ReasonRequested
from stepfold.events.values import Delta, Text
from stepfold.gateway.streaming import pulsed
from stepfold.policy.agent import Agent, Answers
from stepfold.streams.tokens import Tokens
from tests.gateway.house import (
    LIMIT_S,
    SLOW,
    Event,
    House,
    Slow,
    events,
    heard,
    screen,
)
from tests.waiting import eventually

WORDS = ("At ", "nine, ", "I ", "think, ", "or ", "ten.")
PATH = "/v1/conversations/c1/events"


async def begin(home: House, agent: Agent = SLOW, **key: object) -> tuple[httpx2.AsyncClient, Slow]:
    """A conversation in which a model is about to say the first word."""
    model = Slow(*WORDS)
    await home.work(agent, models={"slow": model})
    client = await home.client(await home.key(**key) if key else "")  # type: ignore[arg-type]
    begun = await client.post("/v1/conversations", json={"conversation": "c1", "text": "When?"})
    assert begun.status_code == 201, begun.text
    await model.asked.wait()
    return client, model


@asynccontextmanager
async def listening(client: httpx2.AsyncClient, **headers: str) -> AsyncIterator[list[Event]]:
    told: list[Event] = []

    async def listen() -> None:
        async with client.stream("GET", PATH, headers=headers) as response:
            async for each in events(response):
                told.append(each)

    task = asyncio.create_task(listen())
    try:
        yield told
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def say(model: Slow, told: list[Event], shows: str, before: Sequence[Event] = ()) -> None:
    """`before` is what was heard on another connection."""
    model.go()
    await eventually(lambda: screen([*before, *told]).endswith(shows), LIMIT_S)


async def test_words_come_while_they_are_said(home: House) -> None:
    client, model = await begin(home)

    async with listening(client) as told:
        for word in WORDS:
            await say(model, told, word)
        await eventually(lambda: told[-1].event == "rest", LIMIT_S)

    assert screen(told) == "".join(WORDS)
    assert [each.kind for each in told if each.event == "step"][-1] == "response.given"


async def test_who_comes_back_after_each_word_gets_each_word_once(home: House) -> None:
    """On two gateways in turn: neither remembers anything of the other."""
    client, model = await begin(home)
    other = await home.client(url=await home.open_gateway())
    whole: list[Event] = []

    for number, word in enumerate(WORDS):
        last = {"Last-Event-ID": whole[-1].id} if whole else {}
        async with listening((client, other)[number % 2], **last) as told:
            await say(model, told, word, whole)
        whole += told
    whole += await heard(other, f"{PATH}?until=rest", **{"Last-Event-ID": whole[-1].id})

    steps = [each.data["position"] for each in whole if each.event == "step"]
    assert screen(whole) == "".join(WORDS)
    assert steps == sorted(set(steps))
    assert not [each for each in whole if each.event == "taken_back"]
    assert whole[-1].event == "rest"


async def test_a_step_between_two_words_does_not_lose_the_place_in_them(home: House) -> None:
    client, model = await begin(home)
    async with listening(client) as told:
        await say(model, told, WORDS[0])
        await client.post("/v1/conversations/c1/messages", json={"text": "Hello?"})
        await eventually(lambda: told[-1].kind == "message.received", LIMIT_S)
    whole = list(told)

    async with listening(client, **{"Last-Event-ID": whole[-1].id}) as told:
        await say(model, told, WORDS[1], whole)

    assert [each.data["text"] for each in told if each.event == "words"] == [WORDS[1]]


async def hears(told: list[Event]) -> None:
    """Who has the step that asks for words misses none of them."""
    await eventually(lambda: told and told[-1].kind == "reason.requested", LIMIT_S)


class Log:
    """A conversation whose steps and words a test says itself."""

    def __init__(self, home: House) -> None:
        self.home = home
        self.tokens = Tokens(home.found.client)
        self._after = 0

    async def append(self, event: LogEvent) -> None:
        draft = first("acme", "c1", event, by="test", key=f"{self._after}")
        (entry,) = await self.home.found.log.append([draft], after=self._after)
        self._after = entry.position
        self.entry = entry

    def speak(self, text: str) -> None:
        self.tokens.speak(self.entry, "r1", 1).hear(Delta("text", text))


async def test_words_of_a_worker_that_died_are_taken_back_first(home: House) -> None:
    client, log = await home.client(), Log(home)
    await log.append(MessageReceived("When?"))
    await log.append(ReasonRequested("r1", 1, "m"))
    async with listening(client) as told:
        await hears(told)
        log.speak("At five")
        await eventually(lambda: screen(told) == "At five", LIMIT_S)
    whole = list(told)

    async with listening(client, **{"Last-Event-ID": whole[-1].id}) as told:
        await eventually(lambda: told, LIMIT_S)
        await log.append(Reasoned("r1", 1, "m", (Text("At nine."),)))
        await eventually(lambda: told[-1].kind == "reason.finished", LIMIT_S)

    assert told[0].event == "taken_back"
    assert screen([*whole, *told]) == "At nine."


async def test_who_comes_back_when_the_call_is_over_gets_the_rest_of_it(home: House) -> None:
    client, log = await home.client(), Log(home)
    await log.append(MessageReceived("When?"))
    await log.append(ReasonRequested("r1", 1, "m"))
    async with listening(client) as told:
        await hears(told)
        log.speak("At ni")
        await eventually(lambda: screen(told) == "At ni", LIMIT_S)
    await log.append(Reasoned("r1", 1, "m", (Text("At nine."),)))

    async with listening(client, **{"Last-Event-ID": told[-1].id}) as rest:
        await eventually(lambda: rest and rest[-1].kind == "reason.finished", LIMIT_S)

    assert [each.data["text"] for each in rest if each.event == "words"] == ["ne."]


async def test_it_ends_at_rest_when_asked_to_also_when_it_rests_already(home: House) -> None:
    await home.work()
    client = await home.client()
    await client.post("/v1/conversations", json={"conversation": "c1", "text": "Price?"})

    told = await heard(client, f"{PATH}?until=rest")
    again = await heard(client, f"{PATH}?until=rest", **{"Last-Event-ID": told[-1].id})

    assert told[-1].event == "rest"
    assert [each.event for each in again] == ["rest"]


async def test_an_id_of_no_stream_is_refused(home: House) -> None:
    client = await home.client()
    await client.post("/v1/conversations", json={"conversation": "c1"})

    for last in ("x", "1.r1", "-1", "1.r1.5.zz", "9" * 30):
        refused = await client.get(PATH, headers={"Last-Event-ID": last})

        assert refused.status_code == 422, last


async def test_a_gateway_that_ends_says_goodbye_to_its_streams(home: House) -> None:
    client = await home.client()
    await client.post("/v1/conversations", json={"conversation": "c1"})

    async with client.stream("GET", PATH) as response:
        told = events(response)
        assert (await anext(told)).kind == "conversation.started"
        assert (await anext(told)).kind == "rest"
        home.gateways[home.url].closing.set()
        last = [each async for each in told]
    ready = await client.get("/readyz")

    assert [each.event for each in last] == ["comment"]
    assert "come back with Last-Event-ID" in last[0].data["text"]
    assert ready.status_code == 503


async def test_silence_is_broken_by_a_pulse() -> None:
    async def nothing() -> AsyncGenerator[str, None]:
        await asyncio.Event().wait()
        yield ""

    told = pulsed(nothing(), asyncio.Event(), pulse_s=0.01)
    pulses = [await anext(told, "ended") for _ in range(2)]
    await told.aclose()

    assert pulses == [None, None]


async def test_a_key_that_only_talks_sees_what_is_done_but_not_with_what(home: House) -> None:
    await home.work()
    talks = await home.client(await home.key(scopes=("chat",)))
    reads = await home.client()
    begun = await talks.post("/v1/conversations", json={"conversation": "c1", "text": "Price?"})

    told = await heard(talks, begun.json()["events"])
    whole = await heard(reads, f"{PATH}?until=rest")

    assert "passages" not in str(told)
    assert "passages" in str(whole)
    assert "cost_usd" not in str(told)
    assert {"retrieval.requested", "response.given"} <= {each.kind for each in told}


async def test_where_answers_must_cite_a_contact_hears_only_what_has_passed(home: House) -> None:
    strict = Agent("strict", models=("slow",), answers=Answers(cite=True))
    client, model = await begin(home, strict, scopes=("chat",))
    model.go(len(WORDS))

    told = await heard(client, f"{PATH}?until=rest")

    (given,) = [each.data["event"] for each in told if each.kind == "response.given"]
    assert given["outcome"] == "refusal"
    assert not [each for each in told if each.event == "words"]
    assert "nine" not in str(told)


async def test_a_stream_that_is_left_is_counted_no_more(home: House) -> None:
    client = await home.client()
    await client.post("/v1/conversations", json={"conversation": "c1"})
    limits = home.gateways[home.url].guard.limits

    async with listening(client) as told:
        await eventually(lambda: told, LIMIT_S)
        assert limits.streams == 1
    await eventually(lambda: limits.streams == 0, LIMIT_S)


async def test_a_stream_is_cut_off_when_its_key_is_revoked(home: House) -> None:
    key, shown = await home.keys.create("acme", ("chat",))
    client = await home.client(shown)
    await client.post("/v1/conversations", json={"conversation": "c1"})

    async with asyncio.timeout(LIMIT_S), client.stream("GET", PATH) as response:
        told = events(response)
        assert (await anext(told)).kind == "conversation.started"
        await home.keys.revoke(key.id)
        with pytest.raises(httpx2.RemoteProtocolError):
            [each async for each in told]


@pytest.mark.skipif("STEPFOLD_SLOW" not in os.environ, reason="the log is given 5 s to be back")
async def test_a_stream_whose_log_goes_away_ends_so_that_its_client_comes_back(home: House) -> None:
    client = await home.client()
    await client.post("/v1/conversations", json={"conversation": "c1"})

    async with asyncio.timeout(LIMIT_S), client.stream("GET", PATH) as response:
        told = events(response)
        assert (await anext(told)).kind == "conversation.started"
        await home.found.client.close()
        last = [each async for each in told][-1]

    assert last.event == "comment"
    assert "come back" in last.data["text"]

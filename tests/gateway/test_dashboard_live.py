"""Pages that are open hear what is new; what is empty or away is told as that."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path

import httpx2
import pytest

from stepfold.cli.viewing import own_views
from stepfold.events.envelope import first
from stepfold.events.event import ConversationStarted, Event, MessageReceived
from stepfold.policy.agent import digest
from stepfold.settings import Settings
from tests.gateway.dashboard_html import read
from tests.gateway.dashboard_sample import AGENT
from tests.gateway.dashboard_stage import Stage, stage

LIMIT_S = 10.0
NOTHING_YET = {
    "/": "Nothing needs you",
    "/conversations": "No conversation here.",
    "/approvals": "Nothing waits for anybody.",
    "/tools": "No tool was called in this time.",
    "/unanswered": "Nothing was answered yet.",
    "/cost": "Nothing was paid for in this time.",
    "/performance": "Nothing failed in this time.",
    "/agents": "help-desk",
    "/sql": "Nothing yet: ask, then keep.",
}


@pytest.fixture
async def empty(tmp_path: Path) -> AsyncIterator[Stage]:
    async with stage(tmp_path, []) as made:
        yield made


async def say(desk: Stage, customer: str, conversation: str, text: str) -> int:
    begun = ConversationStarted(AGENT.name, digest(AGENT), channel="widget")
    events: tuple[Event, ...] = (begun, MessageReceived(text, message="m1"))
    drafts = [
        first(customer, conversation, event, by="test", key=f"{n}")
        for n, event in enumerate(events)
    ]
    return (await desk.found.log.append(drafts, after=0))[-1].position


async def heard(client: httpx2.AsyncClient, path: str, **headers: str) -> AsyncGenerator[str, None]:
    """The events of a stream, each in one piece."""
    async with client.stream("GET", path, headers=headers) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        lines: list[str] = []
        async for line in response.aiter_lines():
            if line:
                lines.append(line)
            else:
                yield "\n".join(lines)
                lines = []


async def until(event: str, told: AsyncGenerator[str, None]) -> None:
    """AssertionError when the stream ends before."""
    async for each in told:
        if f"event: {event}" in each.splitlines():
            return
    raise AssertionError(event)


async def test_what_is_empty_says_so_and_what_comes_then(empty: Stage) -> None:
    client = await empty.operator()

    for path, words in NOTHING_YET.items():
        answer = await client.get(path)
        assert answer.status_code == 200, answer.text
        assert words in " ".join(read(answer.text).text.split()), path


async def test_without_the_views_a_page_says_so_and_what_to_do(empty: Stage) -> None:
    client = await empty.operator()
    empty.views.cancel()
    await asyncio.gather(empty.views, return_exceptions=True)

    page = await client.get("/cost")
    part = await client.get("/?part=now", headers={"HX-Request": "true"})

    assert (page.status_code, part.status_code) == (503, 503)
    assert "Views unavailable" in read(page.text).text
    assert "the views are kept by `stepfold serve`" in read(page.text).text
    assert "Try again" in read(page.text).text
    assert read(part.text).text.startswith("Views unavailable.")
    assert len(part.text) < 600


async def test_an_open_list_hears_that_there_is_something_new_and_no_more(empty: Stage) -> None:
    client = await empty.signed_in(await empty.key("globex"))

    async with asyncio.timeout(LIMIT_S), aclosing(heard(client, "/changes?seen=0")) as told:
        hello = await anext(told)
        position = await say(empty, "acme", "secret", "a jacket")
        changed = await anext(told)

    assert hello == "retry: 1000"
    assert changed.splitlines()[1] == "event: changed"
    assert changed.splitlines()[2] in (f"data: {position - 1}", f"data: {position}")


async def test_an_open_list_hears_that_nobody_keeps_the_views_and_that_somebody_does_again(
    empty: Stage, tmp_path: Path
) -> None:
    client = await empty.operator()

    await say(empty, "acme", "c1", "hello")

    async with asyncio.timeout(2 * LIMIT_S), aclosing(heard(client, "/changes?seen=0")) as told:
        # Behind it the stream rests: no question is under way that would wait for long.
        await until("changed", told)
        empty.views.cancel()
        await asyncio.gather(empty.views, return_exceptions=True)
        await until("away", told)
        again = asyncio.create_task(
            own_views(empty.found, Settings(folder=tmp_path), asyncio.Event())
        )
        await until("back", told)
    again.cancel()
    await asyncio.gather(again, return_exceptions=True)


async def test_a_list_that_comes_back_hears_what_it_missed(empty: Stage) -> None:
    client = await empty.operator()
    position = await say(empty, "acme", "c1", "hello")

    async with (
        asyncio.timeout(LIMIT_S),
        aclosing(heard(client, "/changes", **{"Last-Event-ID": "0"})) as told,
    ):
        events = [await anext(told), await anext(told)]
        while not events[-1].endswith(f"data: {position}"):
            events.append(await anext(told))

    assert "event: changed" in events[-1]


async def test_an_open_conversation_hears_each_step_behind_the_one_it_shows(empty: Stage) -> None:
    client = await empty.operator()
    position = await say(empty, "acme", "c1", "hello")
    path = "/conversations/acme/c1/live"

    async with asyncio.timeout(LIMIT_S), aclosing(heard(client, f"{path}?after=1")) as told:
        await anext(told)
        step = await anext(told)

    assert step == f"id: {position}\nevent: step\ndata: {position}"


async def test_an_open_stream_ends_with_the_key_of_its_session(empty: Stage) -> None:
    key = await empty.key("acme")
    client = await empty.signed_in(key)
    await say(empty, "acme", "c1", "hello")

    async with asyncio.timeout(LIMIT_S):
        async with aclosing(heard(client, "/conversations/acme/c1/live")) as told:
            await anext(told)
            await empty.keys.revoke(key.split("_")[1])
            with contextlib.suppress(httpx2.RemoteProtocolError):
                async for _ in told:
                    pass

    assert (await client.get("/")).status_code == 303


async def test_a_conversation_is_shown_while_the_views_are_away(empty: Stage) -> None:
    client = await empty.operator()
    await say(empty, "acme", "c1", "Is anybody there?")
    empty.views.cancel()
    await asyncio.gather(empty.views, return_exceptions=True)

    page = await client.get("/conversations/acme/c1")

    assert page.status_code == 200
    assert "Is anybody there?" in read(page.text).text

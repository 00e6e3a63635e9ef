"""What is said behind a position is said there, or not at all."""

from __future__ import annotations

import asyncio

import pytest

from stepfold.events.envelope import Entry
from stepfold.events.event import MessageReceived
from stepfold.gateway.front import Front
from stepfold.gateway.principal import CHAT, Principal
from stepfold.gateway.refusals import Overtaken
from tests.gateway.house import House

WHO = Principal("acme", frozenset((CHAT,)), "k")


def front_of(home: House) -> Front:
    return home.gateways[home.url].front


async def said(home: House) -> list[str]:
    entries = await home.found.log.read("acme", "c1")
    return [each.event.text for each in entries if isinstance(each.event, MessageReceived)]


async def test_of_two_who_begin_a_conversation_at_once_one_is_told(home: House) -> None:
    fronts = [front_of(home), home.gateways[await home.open_gateway()].front] * 2

    told = await asyncio.gather(
        *(
            front.say(WHO, "c1", "Hi", id=f"m{number}", channel="api", after=0)
            for number, front in enumerate(fronts)
        ),
        return_exceptions=True,
    )

    assert sum(isinstance(each, Entry) for each in told) == 1
    assert sum(isinstance(each, Overtaken) for each in told) == 3
    assert await said(home) == ["Hi"]


async def test_the_same_message_at_once_is_one_message(home: House) -> None:
    fronts = [front_of(home), home.gateways[await home.open_gateway()].front] * 2

    told = await asyncio.gather(
        *(front.say(WHO, "c1", "Hi", id="m", channel="api", after=0) for front in fronts)
    )

    assert len({entry.position for entry in told}) == 1
    assert await said(home) == ["Hi"]


async def test_what_was_said_behind_another_step_is_not_said(home: House) -> None:
    front = front_of(home)
    first = await front.say(WHO, "c1", "one", id="m1", channel="api", after=0)
    await front.say(WHO, "c1", "two", id="m2", channel="api", after=first.position)

    with pytest.raises(Overtaken, match="has gone on"):
        await front.say(WHO, "c1", "three", id="m3", channel="api", after=first.position)

    assert await said(home) == ["one", "two"]

"""A client that hangs up lets go; one whose gateway ends does not ask, and pay, twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.gateway.talker import QUESTION, Room, talking
from tests.waiting import eventually

CHAT = "/v1/chat/completions"
BODY: dict[str, Any] = {"model": "clerk", "messages": [{"role": "user", "content": QUESTION}]}


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    """Its model stops before its answer is whole."""
    async with talking(tmp_path) as made:
        made.model.may.clear()
        yield made
        made.model.may.set()


async def test_who_hangs_up_waits_for_no_answer_any_more(room: Room) -> None:
    client = await room.home.client()
    (gateway,) = room.home.gateways.values()
    asking = asyncio.create_task(client.post(CHAT, json=BODY))
    await room.model.hangs.wait()
    assert gateway.guard.limits.streams == 1

    asking.cancel()

    await eventually(lambda: gateway.guard.limits.streams == 0, 2.0)


async def begun(room: Room) -> int:
    client = await room.home.client()
    return len((await client.get("/v1/conversations")).json()["conversations"])


async def test_a_question_that_is_recorded_is_not_asked_again_by_itself(room: Room) -> None:
    client = (await room.openai()).with_options(max_retries=2)
    (gateway,) = room.home.gateways.values()
    asking = asyncio.create_task(client.chat.completions.create(**BODY))
    await room.model.hangs.wait()

    gateway.closing.set()
    with pytest.raises(openai.InternalServerError) as refused:
        await asking

    assert refused.value.status_code == 504
    assert refused.value.response.headers["x-should-retry"] == "false"
    assert "retry-after" not in refused.value.response.headers
    assert "another one answers" in refused.value.message
    assert "the answer will be in conversation 'openai-" in refused.value.message
    assert await begun(room) == 1


async def test_with_an_id_of_its_own_it_may_be_asked_again(room: Room) -> None:
    client = await room.home.client(**{"Idempotency-Key": "q-1"})
    (gateway,) = room.home.gateways.values()
    asking = asyncio.create_task(client.post(CHAT, json=BODY))
    await room.model.hangs.wait()

    gateway.closing.set()
    refused = await asking
    again = await client.post(CHAT, json=BODY)

    assert (refused.status_code, again.status_code) == (503, 503)
    assert refused.headers["retry-after"] == "1"
    assert "x-should-retry" not in refused.headers
    assert await begun(room) == 1

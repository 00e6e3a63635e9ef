"""Who sends the same history at the same instant shares no conversation with another one."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from stepfold.events.event import MessageReceived
from tests.gateway.talker import QUESTION, Room, answer, talking

CALLERS = 8


def name(completion: Any) -> str:
    return str(completion.id).removeprefix("chatcmpl-").rpartition(".")[0]


async def said(room: Room, conversation: str) -> list[str]:
    entries = await room.home.found.log.read("acme", conversation)
    return [each.event.text for each in entries if isinstance(each.event, MessageReceived)]


async def ask(client: Any, messages: list[dict[str, str]], **more: Any) -> Any:
    return await client.chat.completions.create(model="clerk", messages=messages, **more)


def history(*words: str) -> list[dict[str, str]]:
    roles = ("user", "assistant")
    return [{"role": roles[n % 2], "content": each} for n, each in enumerate(words)]


async def test_who_begins_with_the_same_history_is_alone(tmp_path: Path) -> None:
    messages = history(QUESTION, "Yes.", "Sure?")
    async with talking(tmp_path) as room:
        client = await room.openai()

        told = await asyncio.gather(*(ask(client, messages) for _ in range(CALLERS)))

        names = [name(each) for each in told]
        assert len(set(names)) == CALLERS
        assert [len(await said(room, each)) for each in names] == [1] * CALLERS
        assert all(each.choices[0].message.content.endswith(answer(1)) for each in told)


async def test_who_goes_on_in_the_same_conversation_is_alone_from_there(tmp_path: Path) -> None:
    messages = history(QUESTION, "Yes.", "Sure?")
    async with talking(tmp_path) as room:
        client = await room.openai()
        first = await ask(client, messages)
        messages += history("", first.choices[0].message.content)[1:] + history("Really?")

        told = await asyncio.gather(*(ask(client, messages) for _ in range(CALLERS)))

        names = [name(each) for each in told]
        assert len(set(names)) == CALLERS
        assert sorted([len(await said(room, each)) for each in names]) == [1] * 7 + [2]
        assert name(first) in names


async def test_the_same_id_at_the_same_instant_is_one_message(tmp_path: Path) -> None:
    messages = history(QUESTION, "Yes.", "Sure?")
    async with talking(tmp_path) as room:
        client = await room.openai()
        again = {"Idempotency-Key": "once"}

        told = await asyncio.gather(
            *(ask(client, messages, extra_headers=again) for _ in range(CALLERS))
        )

        assert len({each.id for each in told}) == 1
        assert len({each.choices[0].message.content for each in told}) == 1
        assert len(await said(room, name(told[0]))) == 1
        assert len(room.model.prompts) == 2


async def test_who_begins_a_conversation_of_the_same_name_joins_it(tmp_path: Path) -> None:
    messages = history(QUESTION, "Yes.", "Sure?")
    async with talking(tmp_path) as room:
        client = await room.openai()
        named = {"conversation": "ours"}

        await asyncio.gather(*(ask(client, messages, metadata=named) for _ in range(CALLERS)))

        texts = await said(room, "ours")
        assert len(texts) == CALLERS
        assert [f"> {QUESTION}" in each for each in texts] == [True] + [False] * 7

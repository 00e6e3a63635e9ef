"""The AI SDK's UI message stream; with STEPFOLD_AI_SDK=<node_modules> spoken by `ai` itself."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import pytest_asyncio

from stepfold.events.event import ConversationStarted, MessageReceived
from stepfold.gateway.principal import CHAT
from stepfold.gateway.visitors import Claims
from tests.gateway.talker import PREAMBLE, QUESTION, QUOTE, TITLE, Room, answer, talking

pytestmark = pytest.mark.asyncio(loop_scope="module")
MODULES = os.environ.get("STEPFOLD_AI_SDK", "")
CLIENT = Path(__file__).parent / "ai_sdk_client.mjs"
LIMIT_S = 30.0
real = pytest.mark.skipif(
    not MODULES or shutil.which("node") is None, reason="STEPFOLD_AI_SDK names no node_modules"
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def open_room(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Room]:
    async with talking(tmp_path_factory.mktemp("room")) as made:
        yield made


@pytest.fixture
def room(open_room: Room) -> Room:
    open_room.model.begin()
    return open_room


def user(id: str, text: str) -> dict[str, Any]:
    return {"id": id, "role": "user", "parts": [{"type": "text", "text": text}]}


async def parts(response: httpx2.Response) -> AsyncIterator[dict[str, Any]]:
    """Until [DONE], which must be the last."""
    assert response.status_code == 200, await response.aread()
    assert response.headers["x-vercel-ai-ui-message-stream"] == "v1"
    done = False
    async for line in response.aiter_lines():
        if line.startswith("data: "):
            assert not done
            done = line == "data: [DONE]"
            if not done:
                yield json.loads(line.removeprefix("data: "))
    assert done


async def said(client: httpx2.AsyncClient, body: dict[str, Any]) -> list[dict[str, Any]]:
    async with client.stream("POST", "/v1/ai-sdk", json=body) as response:
        return [each async for each in parts(response)]


def text(told: list[dict[str, Any]]) -> str:
    return "".join(each["delta"] for each in told if each["type"] == "text-delta")


async def test_an_answer_is_a_message_of_steps_tools_and_sources(room: Room) -> None:
    client = await room.home.client()

    told = await said(client, {"id": "plain", "messages": [user("u1", QUESTION)]})

    kinds = [each["type"] for each in told]
    assert kinds[:5] == ["start", "start-step", "text-start", "text-delta", "text-end"]
    assert sorted(kinds[5:9]) == ["tool-input-available"] * 2 + ["tool-output-available"] * 2
    assert kinds[9:11] == ["finish-step", "start-step"]
    assert kinds[-4:] == ["text-end", "source-document", "finish-step", "finish"]
    assert text(told) == PREAMBLE + answer(1)
    by = {each["toolName"]: each for each in told if each["type"] == "tool-input-available"}
    assert by["order_status"]["input"] == {"order": 17}
    assert by["order_status"]["providerExecuted"]
    source = told[-3]
    assert source["title"] == TITLE
    assert source["providerMetadata"]["stepfold"]["quote"] == QUOTE
    (cite,) = told[-4]["citations"]
    assert answer(1)[cite["startIndex"] : cite["endIndex"]] == QUOTE
    assert told[-1]["messageMetadata"]["usage"]["totalTokens"] == 240


async def test_what_the_model_thinks_is_told_to_who_asks_and_may_read(room: Room) -> None:
    reader, talker = (
        await room.home.client(),
        await room.home.client(await room.home.key(scopes=(CHAT,))),
    )
    body = {"messages": [user("u1", QUESTION)]}

    unasked = await said(reader, {"id": "t1", **body})
    asked = await said(reader, {"id": "t2", "thinking": True, **body})
    refused = await said(talker, {"id": "t3", "thinking": True, **body})

    thought = "".join(each["delta"] for each in asked if each["type"] == "reasoning-delta")
    assert thought == "They want money."
    assert text(asked) == text(unasked) == text(refused)
    for told in (unasked, refused):
        assert not any(each["type"].startswith("reasoning") for each in told)
    assert all(each.get("input", {}) == {} for each in refused)
    assert all(each.get("output") is None for each in refused)


async def test_the_last_message_is_said_once_and_again_when_it_is_changed(room: Room) -> None:
    client = await room.home.client()
    body = {"id": "once", "messages": [user("u1", "one")]}
    first = await said(client, body)

    again = await said(client, body)
    changed = await said(client, {"id": "once", "message": user("u1", "two")})
    anew = await said(client, {**body, "trigger": "regenerate-message"})

    assert again == first
    entries = await room.home.found.log.read("acme", "once")
    heard = [each.event.text for each in entries if isinstance(each.event, MessageReceived)]
    assert heard == ["one", "two", "one"]
    assert text(changed).endswith(answer(2))
    assert text(anew).endswith(answer(3))


async def test_who_comes_back_hears_the_running_answer_from_its_beginning(room: Room) -> None:
    client = await room.home.client()
    room.model.may.clear()
    body = {"id": "back", "messages": [user("u1", QUESTION)]}
    assert (await client.get("/v1/ai-sdk/back/stream")).status_code == 204
    async with client.stream("POST", "/v1/ai-sdk", json=body) as response:
        async for part in parts(response):
            if part.get("delta") == answer(1)[:20]:
                break

    async with client.stream("GET", "/v1/ai-sdk/back/stream") as response:
        told = []
        async for part in parts(response):
            told.append(part)
            if part.get("delta") == answer(1)[:20]:
                room.model.may.set()

    assert told[0]["type"] == "start"
    assert text(told) == PREAMBLE + answer(1)
    assert (await client.get("/v1/ai-sdk/back/stream")).status_code == 204


async def test_a_visitor_names_chats_among_its_own(room: Room) -> None:
    key, shown = await room.home.keys.create("acme", (CHAT,))
    (gateway,) = room.home.gateways.values()
    assert gateway.guard.visitors is not None

    def token(contact: str) -> str:
        assert gateway.guard.visitors is not None
        claims = Claims(key.id, "acme", contact, 4_000_000_000)
        return gateway.guard.visitors.token(claims)

    ada, bob = await room.home.client(token("ada")), await room.home.client(token("bob"))
    body = {"id": "chat", "messages": [user("u1", QUESTION)]}

    first, other = await said(ada, body), await said(bob, body)

    names = [each[0]["messageMetadata"]["conversation"] for each in (first, other)]
    assert names[0] != names[1]
    entries = await room.home.found.log.read("acme", names[0])
    started = entries[0].event
    assert isinstance(started, ConversationStarted)
    assert (started.contact, started.channel) == ("ada", "ai-sdk")
    assert shown


async def test_a_body_that_says_nothing_is_refused(room: Room) -> None:
    client = await room.home.client()
    file = {"type": "file", "url": "https://example.org/a.png", "mediaType": "image/png"}

    empty = await client.post("/v1/ai-sdk", json={"id": "c", "messages": []})
    image = await client.post(
        "/v1/ai-sdk", json={"id": "c", "messages": [{"role": "user", "parts": [file]}]}
    )

    assert (empty.status_code, image.status_code) == (422, 422)
    assert "files cannot be sent" in image.json()["detail"]
    assert not room.model.prompts


async def node(room: Room, what: str) -> dict[str, Any]:
    """What the real client told; the model may go on once it has come back."""
    key = await room.home.key()
    process = await asyncio.create_subprocess_exec(
        "node", str(CLIENT), MODULES, room.home.url, key, what, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    told: dict[str, Any] = {}
    async with asyncio.timeout(LIMIT_S):
        async for line in process.stdout:
            each = json.loads(line)
            told[each["name"]] = each["value"]
            if each["name"] == "back":
                room.model.may.set()
        assert await process.wait() == 0
    return told


@real
async def test_the_package_itself_holds_a_conversation(room: Room) -> None:
    told = await node(room, "talk")

    assert "error" not in told
    for turn, message in enumerate((told["first"], told["second"]), start=1):
        by: dict[str, list[dict[str, Any]]] = {}
        for part in message["parts"]:
            by.setdefault(part["type"], []).append(part)
        assert [part["text"] for part in by["text"]] == [PREAMBLE, answer(turn)]
        tools = {each["toolName"]: each for each in by["dynamic-tool"]}
        assert tools["order_status"]["state"] == "output-available"
        assert tools["order_status"]["output"]["status"] == "shipped"
        (source,) = by["source-document"]
        assert source["filename"] == "trial-and-refunds.md"
        assert source["title"] == TITLE
        assert source["providerMetadata"]["stepfold"]["quote"] == QUOTE
        assert message["metadata"]["usage"]["totalTokens"] == 240
        assert message["states"] > 5
    assert told["again"]["parts"] == told["second"]["parts"]
    assert told["anew"]["parts"][-2]["text"] == answer(3)
    assert told["rest"] is None


@real
async def test_the_package_itself_comes_back_to_a_running_answer(room: Room) -> None:
    room.model.may.clear()

    told = await node(room, "resume")

    assert told["back"] is True
    words = [part["text"] for part in told["whole"]["parts"] if part["type"] == "text"]
    assert words == [PREAMBLE, answer(1)]

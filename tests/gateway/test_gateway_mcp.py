"""The gateway as an MCP server, spoken to by the library's own client, with a customer's key."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from mcp_types import TextContent

from stepfold.gateway.front import CHAT, READ
from tests.gateway.talker import QUESTION, QUOTE, Room, answer, talking
from tests.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def open_room(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Room]:
    async with talking(tmp_path_factory.mktemp("room")) as made:
        yield made


@pytest.fixture
def room(open_room: Room) -> Room:
    open_room.model.begin()
    return open_room


@asynccontextmanager
async def session(
    room: Room, *, customer: str = "acme", scopes: tuple[str, ...] = (CHAT, READ), modern: bool
) -> AsyncIterator[ClientSession]:
    key = await room.home.key(customer, scopes)
    shown = {"Authorization": f"Bearer {key}"}
    async with (
        httpx2.AsyncClient(headers=shown, timeout=20) as http,
        streamable_http_client(f"{room.home.url}/mcp", http_client=http) as streams,
        ClientSession(*streams, read_timeout_seconds=20) as made,
    ):
        await (made.discover() if modern else made.initialize())
        yield made


def refusal(result: Any) -> str:
    assert result.is_error
    (said,) = result.content
    assert isinstance(said, TextContent)
    return said.text


@pytest.mark.parametrize("modern", [False, True])
async def test_a_client_asks_with_a_tool_call_and_gets_citations(room: Room, modern: bool) -> None:
    steps: list[str] = []

    async def watch(progress: float, total: float | None, message: str | None) -> None:
        steps.append(message or "")

    async with session(room, modern=modern) as client:
        tools = {tool.name for tool in (await client.list_tools()).tools}
        asked = await client.call_tool("ask", {"question": QUESTION}, progress_callback=watch)
        given: Any = asked.structured_content
        again = await client.call_tool(
            "ask", {"question": "And now?", "conversation": given["conversation"]}
        )
        told: Any = (
            await client.call_tool("conversation", {"id": given["conversation"]})
        ).structured_content

    assert tools == {"ask", "search_knowledge", "conversation"}
    assert given["answer"] == answer(1)
    assert [each["quote"] for each in given["citations"]] == [QUOTE]
    assert {"tool.returned", "response.given"} <= set(steps)
    assert again.structured_content["answer"] == answer(2)
    assert [said["who"] for said in told["said"]] == ["contact", "agent"] * 2


async def test_a_key_has_the_conversations_of_its_own_customer(room: Room) -> None:
    async with session(room, modern=False) as client:
        asked: Any = (await client.call_tool("ask", {"question": QUESTION})).structured_content
    name = asked["conversation"]

    async with session(room, customer="other", modern=False) as stranger:
        shown = await stranger.call_tool("conversation", {"id": name})
        joined = await stranger.call_tool("ask", {"question": "Hm?", "conversation": name})

    assert refusal(shown) == refusal(joined) == f"there is no conversation {name!r}"
    assert len(await room.home.found.log.read("other", name)) == 0


async def test_a_key_that_may_only_talk_reads_no_documents(room: Room) -> None:
    async with session(room, scopes=(CHAT,), modern=False) as client:
        found = await client.call_tool("search_knowledge", {"query": "refund"})

    assert "it needs the scope read" in refusal(found)


async def test_without_a_good_key_nothing_is_said(room: Room) -> None:
    client = await room.home.client("sfk_nobody_nothing")
    reader = await room.home.client(await room.home.key(scopes=(READ,)))

    assert (await client.post("/mcp", json={})).status_code == 401
    assert (await reader.post("/mcp", json={})).status_code == 403
    assert (await reader.get("/mcp")).status_code == 405


async def test_requests_leave_nothing_open(room: Room) -> None:
    async with session(room, modern=False) as client:
        await client.list_tools()

    (gateway,) = room.home.gateways.values()
    await eventually(lambda: gateway.guard.limits.streams == 0)

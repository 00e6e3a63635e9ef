"""The gateway as an MCP server, spoken to by the library's own client, with a customer's key."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from mcp_types import TextContent

from stepfold.cli.mcp_listen import Place, bound
from stepfold.gateway.principal import CHAT, READ
from tests.gateway.talker import QUESTION, QUOTE, Room, answer, talking
from tests.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")
TITLE = "Trials, cancellation and refunds"


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
    (cite,) = given["citations"]
    assert (cite["quote"], cite["title"]) == (QUOTE, TITLE)
    assert cite["url"].startswith("urn:stepfold:document:trial-and-refunds.md#char=")
    assert told["said"][-1]["citations"][0]["title"] == TITLE
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


async def test_why_a_turn_failed_is_for_those_who_may_read(room: Room) -> None:
    room.model.broken = 100
    async with session(room, scopes=(CHAT,), modern=False) as client:
        talks = refusal(await client.call_tool("ask", {"question": QUESTION}))
    async with session(room, modern=False) as client:
        reads = refusal(await client.call_tool("ask", {"question": QUESTION}))

    assert talks.startswith("no answer: model; conversation ")
    assert "it broke off" in reads


async def test_a_gateway_that_ends_lets_go_at_once(tmp_path: Path) -> None:
    asked = {"name": "ask", "arguments": {"question": QUESTION}}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": asked}
    accepts = {"Accept": "application/json, text/event-stream"}
    async with talking(tmp_path) as room:
        room.model.may.clear()
        client = await room.home.client(url=room.home.url)
        waiting = asyncio.create_task(client.post("/mcp", json=body, headers=accepts))
        await room.model.hangs.wait()
        (gateway,) = room.home.gateways.values()
        gateway.closing.set()
        async with asyncio.timeout(2):
            told = await asyncio.gather(waiting, return_exceptions=True)
        room.model.may.set()

    (answered,) = told
    assert isinstance(answered, httpx2.Response)
    assert gateway.guard.limits.streams == 0
    assert answered.status_code == 503 or '"result"' not in answered.text


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


async def test_what_stepfold_mcp_serve_answers_is_sent_at_once() -> None:
    options: list[int] = []

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        made = writer.get_extra_info("socket")
        options.append(made.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    with bound(Place("127.0.0.1", 0)) as listener:
        async with await asyncio.start_server(connected, sock=listener):
            reader, writer = await asyncio.open_connection(*listener.getsockname())
            await reader.read()
            writer.close()

    assert options[0]

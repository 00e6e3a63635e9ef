"""`stepfold mcp serve`, spoken to by the library's own client: over stdin and stdout, over HTTP."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult, TextContent

from stepfold.cli.exits import CommandRefused
from stepfold.cli.mcp_listen import Place, check
from stepfold.gateway.mcp_desk import reading
from stepfold.knowledge.documents import SAMPLE
from stepfold.policy.agent import Agent
from stepfold.policy.grant import Grant
from stepfold.tools.mcp import McpServer
from stepfold.tools.mcp_link import ServerAway
from tests.mcp_servers.begun import by_name, website
from tests.mcp_servers.mcp_command import PROGRAM, environ, running, spawn

TOKEN = "a token of sufficient length"
QUESTION = "Within how many days can I get a refund of my first payment?"
HOOKS = """
from stepfold.tools.tool import FunctionTool, ToolSpec

async def nothing(arguments, call):
    return "done"

TOOLS = [
    FunctionTool(ToolSpec("look", effect="read"), nothing),
    FunctionTool(ToolSpec("pay", effect="external"), nothing),
]
"""
AGENT = 'name = "clerk"\ninstructions = "Help."\nmodels = ["extractive"]\ntools = ["look", "pay"]\n'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with the sample as its knowledge, and a conversation of a contact."""
    folder = tmp_path_factory.mktemp("mcp")
    assert spawn("knowledge", "add", SAMPLE, "--data", folder).returncode == 0
    for customer in ("acme", "other"):
        words = ("publish", QUESTION, "--customer", customer, "--conversation", f"of-{customer}")
        assert spawn(*words, "--data", folder).returncode == 0
    return folder


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    """Of a server that wants a token."""
    words = ("mcp", "serve", "--customer", "acme", "--http", "0", "--json", "--data", folder)
    with running(*words, STEPFOLD_MCP_TOKEN=TOKEN) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["url"]


@asynccontextmanager
async def client(way: str, url: str, folder: Path) -> AsyncIterator[ClientSession]:
    async with AsyncExitStack() as stack:
        if way == "stdio":
            words = [*PROGRAM[1:], "mcp", "serve", "--customer", "acme", "--data", str(folder)]
            program = StdioServerParameters(command=PROGRAM[0], args=words)
            streams = await stack.enter_async_context(stdio_client(program))
        else:
            shown = {"Authorization": f"Bearer {TOKEN}"}
            http = await stack.enter_async_context(httpx2.AsyncClient(headers=shown, timeout=30))
            streams = await stack.enter_async_context(streamable_http_client(url, http_client=http))
        session = await stack.enter_async_context(ClientSession(*streams, read_timeout_seconds=60))
        if way == "modern":
            await session.discover()
        else:
            await session.initialize()
        yield session


def refusal(result: CallToolResult) -> str:
    assert result.is_error
    (said,) = result.content
    assert isinstance(said, TextContent)
    return said.text


@pytest.mark.parametrize("way", ["stdio", "http", "modern"])
async def test_a_client_asks_and_gets_an_answer_with_citations(
    way: str, url: str, folder: Path
) -> None:
    steps: list[str] = []

    async def watch(progress: float, total: float | None, message: str | None) -> None:
        steps.append(message or "")

    async with client(way, url, folder) as session:
        tools = {tool.name: tool for tool in (await session.list_tools()).tools}
        asked = await session.call_tool("ask", {"question": QUESTION}, progress_callback=watch)
        answer = asked.structured_content
        again = await session.call_tool(
            "ask", {"question": "And by card?", "conversation": answer["conversation"]}
        )
        told = await session.call_tool("conversation", {"id": answer["conversation"]})

    assert set(tools) == {"ask", "search_knowledge", "conversation"}
    assert tools["search_knowledge"].annotations.read_only_hint  # type: ignore[union-attr]
    assert answer["outcome"] == "answer"
    assert answer["citations"][0]["quote"] in answer["answer"]
    assert again.structured_content["conversation"] == answer["conversation"]
    assert [said["who"] for said in told.structured_content["said"]] == [
        "contact",
        "agent",
        "contact",
        "agent",
    ]
    assert not told.structured_content["answering"]
    assert "response.given" in steps


async def test_our_own_client_asks_our_own_server(url: str) -> None:
    told = website(urlsplit(url).port or 0, headers={"Authorization": "Bearer ${env:T}"})

    async with McpServer(told, environment={"T": TOKEN}) as server:
        answer = await by_name(server.tools)["s_ask"].run({"question": QUESTION}, call="c1")

    assert "within 30 days" in answer["answer"]


async def test_a_client_without_the_token_is_told_where_to_look(url: str) -> None:
    told = website(urlsplit(url).port or 0)

    with pytest.raises(ServerAway, match=r"it answered 401: check the `headers` in the file"):
        await McpServer(told).__aenter__()


def test_a_signal_ends_it_though_the_client_still_listens(folder: Path) -> None:
    words = [*PROGRAM, "mcp", "serve", "--customer", "acme", "--data", str(folder)]
    with subprocess.Popen(
        words, env=environ(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write('{"jsonrpc": "2.0", "id": 1, "method": "ping"}\n')
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["id"] == 1

        process.terminate()

        assert process.wait(20) == 0


async def test_a_client_searches_what_the_agent_knows(url: str, folder: Path) -> None:
    async with client("http", url, folder) as session:
        found = await session.call_tool("search_knowledge", {"query": "refund", "passages": 2})

    passages = found.structured_content["passages"]
    assert len(passages) == 2
    assert "refund" in passages[0]["text"].lower()


async def test_a_client_sees_one_customer_and_joins_only_what_was_begun_here(
    url: str, folder: Path
) -> None:
    async with client("http", url, folder) as session:

        async def call(name: str, **arguments: Any) -> CallToolResult:
            return await session.call_tool(name, arguments)

        own = await call("conversation", id="of-acme")
        other = await call("conversation", id="of-other")
        climbing = await call("conversation", id="../other/of-other")
        joined = await call("ask", question="Hm?", conversation="of-acme")

    assert own.structured_content["said"][0]["text"] == QUESTION
    assert refusal(other) == "there is no conversation 'of-other'"
    assert "would be misread" in refusal(climbing)
    assert "was not begun here" in refusal(joined)


async def test_what_does_not_fit_is_refused_with_its_place(url: str, folder: Path) -> None:
    async with client("http", url, folder) as session:
        empty = await session.call_tool("ask", {"question": ""})
        extra = await session.call_tool("ask", {"question": "x", "customer": "other"})
        unknown = await session.call_tool("drop_tables", {})

    assert refusal(empty).startswith("question: String should have at least 1 character")
    assert refusal(extra) == "customer: Extra inputs are not permitted"
    assert "there is no tool 'drop_tables'" in refusal(unknown)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": f"bearer {TOKEN}x"}, 401),
        ({"Authorization": f"Bearer {TOKEN}", "Host": "rebound.example"}, 421),
        ({"Authorization": f"Bearer {TOKEN}", "Origin": "https://evil.example"}, 403),
        ({"Authorization": f"Bearer {TOKEN}", "Origin": "null"}, 403),
    ],
)
async def test_who_shows_no_token_or_comes_by_another_name_is_turned_away(
    url: str, headers: dict[str, str], status: int
) -> None:
    hello = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    accepts = {"Accept": "application/json, text/event-stream"}
    async with httpx2.AsyncClient() as http:
        response = await http.post(url, json=hello, headers={**accepts, **headers})

    assert response.status_code == status


@pytest.mark.parametrize(
    ("place", "why"),
    [
        (Place("0.0.0.0", 0), "0.0.0.0 is not loopback, so whoever asks must show a token: set"),
        (Place("::", 0), ":: is not loopback"),
        (Place("192.168.1.5", 0), "192.168.1.5 is not loopback"),
        (Place("host.example", 0), "host.example is not loopback"),
        (Place("0.0.0.0", 0, TOKEN), "0.0.0.0 is no name: give those that clients use, by --name"),
        (Place("127.0.0.1", 0, "short"), "STEPFOLD_MCP_TOKEN has fewer than 16 characters"),
    ],
)
def test_it_is_open_to_nobody_by_mistake(place: Place, why: str) -> None:
    with pytest.raises(CommandRefused, match=re.escape(why)):
        check(place)


def test_loopback_needs_no_token_and_elsewhere_one_is_enough() -> None:
    for place in (
        Place("127.0.0.1", 0),
        Place("::1", 0),
        Place("localhost", 0),
        Place("192.168.1.5", 0, TOKEN),
        Place("0.0.0.0", 0, TOKEN, ("agents.example",)),
    ):
        check(place)


def test_a_refusal_ends_the_command_before_anything_is_started(tmp_path: Path) -> None:
    words = ("mcp", "serve", "--customer", "a", "--http", "0.0.0.0:0", "--data", tmp_path / "new")

    ended = spawn(*words)

    assert ended.returncode == 1
    assert "stepfold: 0.0.0.0 is not loopback" in ended.stderr
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(("more", "tools"), [((), ["look"]), (("--writes",), ["look", "pay"])])
def test_an_agent_brings_no_tool_that_writes_unless_that_is_wanted(
    tmp_path: Path, more: tuple[str, ...], tools: list[str]
) -> None:
    (tmp_path / "clerk_hooks.py").write_text(HOOKS)
    (tmp_path / "clerk.toml").write_text(AGENT)
    words = ("--http", "0", "--json", "--agent", tmp_path / "clerk.toml", "--data", tmp_path)

    with running(
        "mcp", "serve", "--customer", "a", *words, "--hooks", "clerk_hooks", *more, cwd=tmp_path
    ) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["tools"] == tools


def test_a_tool_of_which_nothing_is_known_may_write() -> None:
    agent = Agent("a", tools=("known", "unknown"), grants={"known": Grant("read")}, sandbox="monty")

    kept = reading(agent, {})

    assert (kept.tools, kept.sandbox) == (("known",), "")
    assert reading(kept, {}) == kept

"""MCP servers that mean harm, or are broken: each ends as a clear outcome, within its limits."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from stepfold.tools.mcp import McpServer
from stepfold.tools.mcp_file import Described
from stepfold.tools.mcp_link import ServerAway
from stepfold.tools.tool import ToolError
from stepfold.tools.unsure import Unsure
from tests.mcp_servers.begun import WICKED, by_name, python, website
from tests.mcp_servers.wicked_site import site

MEGABYTE = 1_000_000


def wicked(vice: str, **keys: Any) -> Described:
    return python(WICKED, vice, **{"timeout_s": 5, "bytes_max": MEGABYTE, **keys})


async def call(server: McpServer) -> Any:
    return await by_name(server.tools)["s_act"].run({"word": "x"}, call="c1")


@pytest.mark.parametrize(
    ("vice", "why"),
    [
        ("silent", "did not answer within 1 s"),
        ("other id", "did not answer within 1 s"),
        ("huge", "sent a message of more than 1,000,000 bytes"),
        ("endless line", "sent a message of more than 1,000,000 bytes"),
        ("floods", "sent 10,001 messages that nobody asked for"),
        ("garbage", "sent 101 lines that are no JSON-RPC"),
        ("wrong shape", "its answer is not what it promised"),
        ("liar", "its answer is not what it promised"),
        ("error", r"it broke \(-32603\)"),
    ],
)
async def test_an_answer_that_is_none_leaves_a_write_unsure_and_a_read_failed(
    vice: str, why: str
) -> None:
    limit = 1 if "within" in why else 10
    for keys, error in (({}, Unsure), ({"reads": ["*"]}, ToolError)):
        async with McpServer(wicked(vice, timeout_s=limit, **keys)) as server:
            with pytest.raises(error, match=f"MCP server 's': .*{why}"):
                await call(server)


@pytest.mark.parametrize("vice", ["samples", "elicits", "roots"])
async def test_a_server_that_wants_our_model_our_people_or_our_files_gets_nothing(
    vice: str,
) -> None:
    async with McpServer(wicked(vice)) as server:
        said = await call(server)

    assert "not supported" in said


async def test_a_server_that_takes_all_and_says_nothing_is_given_up() -> None:
    begin = asyncio.get_running_loop().time()
    with pytest.raises(ServerAway, match="MCP server 's': it was not ready within 1 s"):
        await McpServer(wicked("deaf", start_s=1)).__aenter__()

    assert asyncio.get_running_loop().time() - begin < 10


async def test_a_list_of_tools_that_is_none_is_told_with_its_place() -> None:
    with pytest.raises(ServerAway, match=r"tools\.0\.inputSchema\.type: Input should be 'object'"):
        await McpServer(wicked("no tool")).__aenter__()


async def test_a_list_of_tools_without_end_is_not_read_to_the_end() -> None:
    with pytest.raises(ServerAway, match=r"its list of tools has no end \(50 so far\)"):
        await McpServer(wicked("endless list")).__aenter__()


@pytest.mark.parametrize(
    ("vice", "why"),
    [
        ("outward", "refers to 'http://169.254.169.254/latest', outside of itself"),
        ("no schema", "the schema of its arguments is none"),
        ("vast schema", "more than 64,000"),
    ],
)
async def test_a_schema_that_does_harm_keeps_its_tool_out(vice: str, why: str) -> None:
    async with McpServer(wicked(vice)) as server:
        (left_out,) = server.left_out

    assert not server.tools
    assert why in left_out.why


async def test_of_two_tools_that_would_have_one_name_the_first_is_used() -> None:
    async with McpServer(wicked("twins")) as server:
        (left_out,) = server.left_out

    assert [each.name for each in server.offered] == ["a.b"]
    assert (left_out.name, left_out.why) == (
        "a/b",
        "its name would be s_a_b, which 'a.b' has already",
    )


async def test_words_that_nobody_sees_are_not_shown_to_a_model() -> None:
    async with McpServer(wicked("unseen")) as server:
        (tool,) = server.tools

    assert tool.spec.description.startswith("Adds. erongi[2Jxxx")
    assert len(tool.spec.description) <= 4_001


async def test_what_a_program_shouts_reaches_our_log_up_to_a_limit(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO, "stepfold.mcp"):
        async with McpServer(wicked("shouts")) as server:
            assert await call(server) == "done"

    lines = [each.getMessage() for each in caplog.records if "says" in each.getMessage()]
    assert len(lines) == 201
    assert lines[-1] == "s says more, which is not kept"


async def test_a_program_that_greets_on_its_stdout_is_used_all_the_same() -> None:
    async with McpServer(wicked("greets")) as server:
        assert await call(server) == "acted"


async def test_after_a_session_was_cut_the_next_call_has_another() -> None:
    async with McpServer(wicked("huge", reads=["*"])) as server:
        for _ in range(2):
            with pytest.raises(ToolError, match="more than 1,000,000 bytes"):
                await call(server)


@pytest.mark.parametrize(
    ("vice", "why"),
    [
        ("elsewhere", r"Redirect to http://169\.254\.169\.254/latest/meta-data not followed"),
        ("huge", r"127\.0\.0\.1 answers with more than 1,000,000 bytes"),
        ("packed", r"127\.0\.0\.1 answers with more than 1,000,000 bytes"),
        ("floods", "SSE stream ended without a response"),
        ("polls", "reconnection attempts were exhausted"),
        ("drips", "did not answer within 1 s"),
        ("page", "Unexpected content type: text/html"),
        ("accepted", "server answered a request with 202 Accepted"),
        ("cut", "without sending complete message body"),
        ("broken", "Server returned an error response"),
    ],
)
async def test_a_site_that_does_not_answer_as_it_must_leaves_a_write_unsure(
    vice: str, why: str
) -> None:
    limit = 1 if "within" in why else 20
    async with (
        site(vice) as port,
        McpServer(website(port, timeout_s=limit, bytes_max=MEGABYTE)) as server,
    ):
        with pytest.raises(Unsure, match=f"MCP server 's': .*{why}.*'act'"):
            await call(server)

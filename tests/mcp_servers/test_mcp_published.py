"""Servers that others have published, where they are installed:

STEPFOLD_MCP_EVERYTHING   dist/index.js of npm's @modelcontextprotocol/server-everything
STEPFOLD_MCP_TIME         the program of PyPI's mcp-server-time
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stepfold.tools.mcp import McpServer
from stepfold.tools.mcp_file import Described
from stepfold.tools.tool import ToolError
from tests.mcp_servers.begun import by_name, described, website
from tests.servers import free_port, listens
from tests.waiting import eventually

EVERYTHING = os.environ.get("STEPFOLD_MCP_EVERYTHING", "")
TIME = os.environ.get("STEPFOLD_MCP_TIME", "")
needs_everything = pytest.mark.skipif(not EVERYTHING, reason="STEPFOLD_MCP_EVERYTHING is not set")
needs_time = pytest.mark.skipif(not TIME, reason="STEPFOLD_MCP_TIME is not set")


@contextmanager
def everything_over_http() -> Iterator[int]:
    port = free_port()
    environment = {**os.environ, "PORT": str(port)}
    with subprocess.Popen(
        ["node", EVERYTHING, "streamableHttp"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            yield port
        finally:
            process.kill()


async def _use(server: Described) -> None:
    async with McpServer(server) as begun:
        tools = by_name(begun.tools)
        assert await tools["s_echo"].run({"message": "hi"}, call="c1") == "Echo: hi"
        added = await tools["s_get-sum"].run({"a": 19, "b": 23}, call="c2")
        assert "42" in added
        weather = await tools["s_get-structured-content"].run({"location": "Chicago"}, call="c3")
        assert set(weather) == {"temperature", "conditions", "humidity"}
        assert "[left out: image, image/png" in await tools["s_get-tiny-image"].run({}, call="c4")
        with pytest.raises(ToolError):
            await tools["s_get-sum"].run({"a": "x"}, call="c5")


@needs_everything
async def test_a_server_from_npm_is_used_over_stdin_and_stdout() -> None:
    await _use(described(command="node", args=[EVERYTHING, "stdio"], tools=["*"]))


@needs_everything
async def test_a_server_from_npm_is_used_over_http() -> None:
    with everything_over_http() as port:
        await eventually(lambda: listens(port))

        await _use(website(port))


@needs_time
async def test_a_server_from_pypi_is_used_over_stdin_and_stdout() -> None:
    folder = str(Path(TIME).parent)
    told = described(command=TIME, tools=["get_*"], reads=["get_*"], folder=folder)

    async with McpServer(told) as server:
        now = await by_name(server.tools)["s_get_current_time"].run(
            {"timezone": "Asia/Tokyo"}, call="c1"
        )

    assert now["datetime"].endswith("+09:00")

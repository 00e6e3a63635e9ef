"""What a process that works has beside its own parts: the tools that lie in the data folder or were
named, and the sandboxes.

    tools/*.py, tools/*.toml    functions and HTTP tools
    connections/*.toml          operations of APIs (`stepfold connect`)
    mcp.toml                    servers of tools that speak MCP

What cannot be loaded is told and left out: it keeps no agent away that does not need it. What was
named on the command line must be there.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from msgspec.structs import replace

from stepfold.app import EVERYTHING, Opened, Parts
from stepfold.cli import exits
from stepfold.cli.exits import CommandRefused
from stepfold.cli.screen import warn
from stepfold.policy.agent import Agent
from stepfold.sandbox.sandbox import Sandbox
from stepfold.settings import Settings
from stepfold.tools.openapi.credentials import Credentials
from stepfold.tools.printed import aside
from stepfold.tools.tool import Tool

TOOLS, CONNECTIONS, MCP = "tools", "connections", "mcp.toml"
NEED_TOOLS = frozenset({"agent", "reason", "tool"})
"""The roles that need the tools: to appoint an agent, to tell a model of them, to run them."""
SANDBOX = "sandbox"


@asynccontextmanager
async def equipped(
    found: Opened,
    here: Settings,
    parts: Parts,
    files: Sequence[Path] = (),
    *,
    roles: Iterable[str] = EVERYTHING,
) -> AsyncIterator[Parts]:
    """`parts` with all of it, until the block ends; a process that only runs code gets no tools,
    and so none of their secrets.
    """
    async with AsyncExitStack() as stack:
        if NEED_TOOLS.intersection(roles):
            tools = await _tools(found, here, files, stack)
            parts = replace(parts, tools=_together(parts.tools, tools))
        if SANDBOX in roles:
            sandboxes = _sandboxes()
            for each in sandboxes.values():
                stack.push_async_callback(each.close)
            parts = replace(parts, sandboxes=sandboxes)
        yield parts


async def isolation(agent: Agent, parts: Parts) -> None:
    """CommandRefused where the sandbox of `agent` cannot isolate what it runs."""
    sandbox = parts.sandboxes.get(agent.sandbox)
    if sandbox is not None and (why := await sandbox.missing()):
        raise CommandRefused(f"agent {agent.name!r}: sandbox {agent.sandbox!r}: {why}")


async def _tools(
    found: Opened, here: Settings, files: Sequence[Path], stack: AsyncExitStack
) -> list[tuple[str, Tool]]:
    """(where it comes from, the tool)."""
    told = [(str(path), tool) for path in files for tool in _named(path)]
    told += _lying(here.folder / TOOLS)
    paths = sorted((here.folder / CONNECTIONS).glob("*.toml"))
    if paths:
        told += _connections(found, here, paths, stack)
    if (here.folder / MCP).exists():
        told += await _served(here.folder / MCP, stack)
    return told


def _named(path: Path) -> Sequence[Tool]:
    if not path.exists():
        raise CommandRefused(f"--tools {path}: there is no such file or folder")
    from stepfold.tools.files import load_tools

    with aside():
        return load_tools(path)


def _lying(folder: Path) -> list[tuple[str, Tool]]:
    if not folder.is_dir():
        return []
    from stepfold.tools.files import ToolsRefused, load_tools, tool_files

    told: list[tuple[str, Tool]] = []
    for path in tool_files(folder):
        try:
            with aside():
                told += [(str(path), tool) for tool in load_tools(path)]
        except ToolsRefused as error:
            _leave_out(error)
    return told


def _leave_out(error: Exception) -> None:
    for line in exits.lines(error):
        warn(f"left out: {line}")


async def _served(path: Path, stack: AsyncExitStack) -> list[tuple[str, Tool]]:
    from stepfold.tools.mcp import mcp_tools
    from stepfold.tools.mcp_file import read_mcp
    from stepfold.tools.mcp_link import ServerAway

    told: list[tuple[str, Tool]] = []
    for server in read_mcp(path):
        try:
            tools = await stack.enter_async_context(mcp_tools((server,)))
        except ServerAway as error:
            _leave_out(error)
        else:
            told += [(f"{path} {server.name}", tool) for tool in tools]
    return told


def _connections(
    found: Opened, here: Settings, paths: Sequence[Path], stack: AsyncExitStack
) -> list[tuple[str, Tool]]:
    from stepfold.streams.jetstream.sealed import JetStreamSealed
    from stepfold.tools.oauth import OAuthConnections
    from stepfold.tools.oauth_errors import AuthTableRefused
    from stepfold.tools.openapi.errors import ConnectionRefused
    from stepfold.tools.openapi.loading import load_connection
    from stepfold.tools.vault import Vault, read_keys

    made: list[OAuthConnections] = []

    def oauth(path: Path) -> Credentials:
        """Keys are read, and made, only where a connection has tokens."""
        if not made:
            keys = read_keys(here.folder, os.environ, make=not here.nats_url)
            made.append(OAuthConnections(Vault(JetStreamSealed(found.client), keys), os.environ))
        return made[0](path)

    told: list[tuple[str, Tool]] = []
    for path in paths:
        try:
            told += [(str(path), tool) for tool in load_connection(path, os.environ, oauth)]
        except (AuthTableRefused, ConnectionRefused) as error:
            _leave_out(error)
    for each in made:
        stack.push_async_callback(each.close)
    return told


def _together(own: Mapping[str, Tool], more: Iterable[tuple[str, Tool]]) -> dict[str, Tool]:
    tools, places = dict(own), dict.fromkeys(own, "--hooks")
    for where, tool in more:
        name = tool.spec.name
        if name in tools:
            raise CommandRefused(
                f"the tool {name!r} is in {places[name]} and in {where}: rename one"
            )
        tools[name], places[name] = tool, where
    return tools


def _sandboxes() -> dict[str, Sandbox]:
    from stepfold.sandbox.backends import BACKENDS

    return {name: make() for name, make in BACKENDS.items()}

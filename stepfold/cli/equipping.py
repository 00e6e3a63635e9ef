"""What a process that works has beside its own parts: the tools that lie in the data folder or were
named, and the sandboxes.

    tools/*.py, tools/*.toml    functions and HTTP tools
    connections/*.toml          operations of APIs (`stepfold connect`)
    mcp.toml                    servers of tools that speak MCP
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from msgspec.structs import replace

from stepfold.app import EVERYTHING, Opened, Parts
from stepfold.cli.exits import CommandRefused
from stepfold.policy.agent import Agent
from stepfold.sandbox.sandbox import Sandbox
from stepfold.settings import Settings
from stepfold.tools.openapi.credentials import Credentials
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
    own = here.folder / TOOLS
    paths = (own, *files) if own.exists() else files
    told = [(str(path), tool) for path in paths for tool in _from_files(path)]
    folder = here.folder / CONNECTIONS
    if any(folder.glob("*.toml")):
        told += [(str(folder), tool) for tool in await _connections(found, here, stack)]
    if (here.folder / MCP).exists():
        from stepfold.tools.mcp import mcp_tools
        from stepfold.tools.mcp_file import read_mcp

        servers = read_mcp(here.folder / MCP)
        served = await stack.enter_async_context(mcp_tools(servers))
        told += [(str(here.folder / MCP), tool) for tool in served]
    return told


def _from_files(path: Path) -> Sequence[Tool]:
    if not path.exists():
        raise CommandRefused(f"--tools {path}: there is no such file or folder")
    from stepfold.tools.files import load_tools

    return load_tools(path)


async def _connections(
    found: Opened, here: Settings, stack: AsyncExitStack
) -> Sequence[Tool]:
    from stepfold.streams.jetstream.sealed import JetStreamSealed
    from stepfold.tools.oauth import OAuthConnections
    from stepfold.tools.openapi.loading import load_connections
    from stepfold.tools.vault import Vault, read_keys

    made: list[OAuthConnections] = []

    def oauth(path: Path) -> Credentials:
        """Keys are read, and made, only where a connection has tokens."""
        if not made:
            keys = read_keys(here.folder, os.environ, make=not here.nats_url)
            made.append(OAuthConnections(Vault(JetStreamSealed(found.client), keys), os.environ))
        return made[0](path)

    tools = load_connections(here.folder / CONNECTIONS, oauth=oauth)
    for each in made:
        stack.push_async_callback(each.close)
    return tools


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

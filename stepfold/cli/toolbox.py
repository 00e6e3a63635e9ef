"""The tools of a data folder, for commands that look at them or run one by hand.

    tools/*.py, tools/*.toml    functions and HTTP tools
    connections/*.toml          operations of APIs
    mcp.toml                    tools of servers, which must be started to tell them

What cannot be loaded is told beside the rest and keeps nothing else away.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from msgspec import Struct

from stepfold.app import opened
from stepfold.cli.exits import lines
from stepfold.cli.where import existing
from stepfold.policy.toolspec import ToolSpec
from stepfold.settings import Settings
from stepfold.streams.jetstream.sealed import JetStreamSealed
from stepfold.tools.files import ENDINGS, ToolsRefused, load_tools, tool_files
from stepfold.tools.mcp_file import McpFileRefused, read_mcp
from stepfold.tools.oauth import OAuthConnections, OAuthCredentials
from stepfold.tools.oauth_errors import AuthTableRefused
from stepfold.tools.openapi.connection import FOLDER
from stepfold.tools.openapi.errors import ConnectionRefused
from stepfold.tools.openapi.loading import OAuth, load_connection
from stepfold.tools.printed import aside, kept_apart
from stepfold.tools.tool import Tool
from stepfold.tools.vault import Vault, read_keys

TOOLS, MCP = "tools", "mcp.toml"

Loaded = tuple[str, Tool]
"""Where it comes from, and the tool."""


class Toolbox(Struct, frozen=True):
    """`problems` say what could not be loaded: the place, and the way out."""

    tools: Mapping[str, Tool]
    problems: tuple[str, ...] = ()


def described(here: Settings) -> tuple[Mapping[str, ToolSpec], tuple[str, ...]]:
    """What is known of the tools in a data folder, and what could not be loaded. No secret is read,
    nothing is connected to, and no MCP server is started: theirs are not among them.
    """
    found = folders_tools(here, environment={})
    return {name: tool.spec for name, tool in found.tools.items()}, found.problems


def folders_tools(here: Settings, *, environment: Mapping[str, str] = os.environ) -> Toolbox:
    """The tools of files and connections in a data folder. A log is opened only by a call that
    needs a token.
    """
    problems: list[str] = []
    files = _files(tool_files(here.folder / TOOLS), problems, environment)
    connections = sorted((here.folder / FOLDER).glob("*.toml"))
    told = [*files, *_connections(connections, problems, environment, here)]
    return _together(told, problems)


def servers(here: Settings) -> tuple[str, ...]:
    """The names of the MCP servers in a data folder, with which those of their tools begin."""
    if not (here.folder / MCP).exists():
        return ()
    try:
        return tuple(server.name for server in read_mcp(here.folder / MCP))
    except McpFileRefused:
        return ()


@asynccontextmanager
async def gathered(
    here: Settings, paths: Sequence[Path] = (), *, mcp: bool = False
) -> AsyncIterator[Toolbox]:
    """The tools of these paths, or of the data folder where none is named; `mcp`: those of its MCP
    servers too, which run until the block ends.
    """
    found = _from_paths(paths) if paths else folders_tools(here)
    async with AsyncExitStack() as stack:
        if mcp:
            problems = list(found.problems)
            told = [("the files", tool) for tool in found.tools.values()]
            told += await _served(here.folder / MCP, stack, problems)
            found = _together(told, problems)
        yield found


def _from_paths(paths: Sequence[Path]) -> Toolbox:
    problems: list[str] = []
    files: list[Path] = []
    for path in paths:
        found = list(tool_files(path)) if path.exists() else []
        if not found:
            problems.append(f"{path}: {_nothing(path)}: name files or folders with --tools PATH")
        files += found
    return _together(_files(files, problems, os.environ), problems)


def _nothing(path: Path) -> str:
    if path.is_dir():
        return "no tool is in it"
    return f"it is no {' or '.join(ENDINGS)} file" if path.exists() else "there is no such file"


def _files(
    files: Iterable[Path], problems: list[str], environment: Mapping[str, str]
) -> Iterator[Loaded]:
    for file in files:
        try:
            with kept_apart(), aside():
                tools = load_tools(file, environment=environment)
        except ToolsRefused as error:
            problems += error.problems
        else:
            yield from ((str(file), tool) for tool in tools)


def _connections(
    paths: Iterable[Path], problems: list[str], environment: Mapping[str, str], here: Settings
) -> Iterator[Loaded]:
    oauth: OAuth = lambda path: _OnDemand(path, here)  # noqa: E731
    for path in paths:
        try:
            tools = load_connection(path, environment, oauth)
        except (AuthTableRefused, ConnectionRefused) as error:
            problems += error.problems
        else:
            yield from ((str(path), tool) for tool in tools)


async def _served(path: Path, stack: AsyncExitStack, problems: list[str]) -> list[Loaded]:
    from stepfold.tools.mcp import mcp_tools
    from stepfold.tools.mcp_link import ServerAway

    told: list[Loaded] = []
    try:
        described = read_mcp(path)
    except McpFileRefused as error:
        problems += error.problems
        return told
    for server in described:
        try:
            tools = await stack.enter_async_context(mcp_tools((server,)))
        except ServerAway as error:
            problems += lines(error)
        else:
            told += [(f"{path} {server.name}", tool) for tool in tools]
    return told


def _together(told: Iterable[Loaded], problems: list[str]) -> Toolbox:
    """A name that stands twice is nobody's."""
    found: dict[str, Loaded] = {}
    twice: set[str] = set()
    for where, tool in told:
        name = tool.spec.name
        if name in found:
            problems.append(
                f"{where}: the tool {name!r} stands in {found[name][0]} already: rename one"
            )
            twice.add(name)
        found.setdefault(name, (where, tool))
    tools = {name: found[name][1] for name in sorted(found) if name not in twice}
    return Toolbox(tools, tuple(problems))


class _OnDemand:
    """Tokens out of the log's vault, which is opened for a call that needs one."""

    def __init__(self, path: Path, here: Settings) -> None:
        self._path = path
        self._here = here

    async def headers(self, customer: str) -> dict[str, str]:
        async with self._tokens() as found:
            return await found.headers(customer)

    async def rejected(self, customer: str, sent: Mapping[str, str]) -> dict[str, str] | None:
        async with self._tokens() as found:
            return await found.rejected(customer, sent)

    @asynccontextmanager
    async def _tokens(self) -> AsyncIterator[OAuthCredentials]:
        here = existing(self._here.folder)
        async with opened(here) as found:
            keys = read_keys(here.folder, os.environ, make=not here.nats_url)
            credentials = OAuthConnections(Vault(JetStreamSealed(found.client), keys), os.environ)
            try:
                yield credentials(self._path)
            finally:
                await credentials.close()

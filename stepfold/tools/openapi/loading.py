"""The tools of all connections in a folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from stepfold.tools.oauth_errors import AuthTableRefused
from stepfold.tools.openapi.connection import (
    NAME,
    NAMED,
    Connection,
    read_catalogue,
    read_connection,
)
from stepfold.tools.openapi.credentials import Credentials
from stepfold.tools.openapi.errors import ConnectionRefused
from stepfold.tools.openapi.find_tool import FindTool, UseTool
from stepfold.tools.openapi.openapi_tool import OpenApiTool
from stepfold.tools.openapi.operation import Catalogue, Operation
from stepfold.tools.openapi.selection import Selection, matches, select
from stepfold.tools.openapi.ways import ConnectionWays, unknown
from stepfold.tools.tool import Tool

OAuth = Callable[[Path], Credentials]
"""The tokens of the connection whose file it is."""


def load_connections(
    folder: Path,
    *,
    environment: Mapping[str, str] = os.environ,
    oauth: OAuth | None = None,
) -> Sequence[Tool]:
    """Each enabled operation as a tool, and for each connection with reads the two that stand for
    them. ConnectionRefused: what is wrong in any of the files, with line and way out.
    """
    tools: list[Tool] = []
    problems: list[str] = []
    for path in sorted(folder.glob("*.toml")) if folder.is_dir() else ():
        try:
            tools += load_connection(path, environment, oauth)
        except (AuthTableRefused, ConnectionRefused) as error:
            problems += error.problems
    if problems:
        raise ConnectionRefused(*problems)
    return tools


def load_connection(
    path: Path, environment: Mapping[str, str], oauth: OAuth | None
) -> Sequence[Tool]:
    """The tools of one connection. ConnectionRefused, AuthTableRefused."""
    name = path.stem
    if not NAME.fullmatch(name):
        raise ConnectionRefused(f"{path}: {NAMED}")
    connection = read_connection(path)
    catalogue = read_catalogue(path.with_suffix(".json"))
    selection = select(catalogue, connection.reads, connection.writes)
    problems = [*selection.problems, *unknown(connection, catalogue)]
    if connection.oauth and oauth is None:
        problems.append("[auth] is of OAuth 2, and nobody keeps tokens here")
    if problems:
        raise ConnectionRefused(*(f"{path}: {problem}" for problem in problems))
    tokens = oauth(path) if connection.oauth and oauth is not None else None
    ways = ConnectionWays(name, connection, catalogue, environment, tokens)
    return tuple(tools_of(name, connection, catalogue, selection, ways))


def tools_of(
    name: str,
    connection: Connection,
    catalogue: Catalogue,
    selection: Selection,
    ways: ConnectionWays,
) -> Iterator[Tool]:
    """The tools of one connection."""
    reads = {each.name: _tool(name, connection, each, ways, True) for each in selection.reads}
    yield from reads.values()
    for each in selection.writes:
        yield _tool(name, connection, each, ways, False)
    found = findable(connection, selection)
    if found:
        yield FindTool(name, catalogue.title, found)
        yield UseTool(name, {each.name: reads[each.name] for each in found})


def findable(connection: Connection, selection: Selection) -> tuple[Operation, ...]:
    """The reads that are not kept to their own names."""
    return tuple(
        each
        for each in selection.reads
        if not any(matches(each, pattern) for pattern in connection.own)
    )


def _tool(
    name: str, connection: Connection, operation: Operation, ways: ConnectionWays, reads: bool
) -> OpenApiTool:
    return OpenApiTool(
        operation,
        ways,
        name=f"{name}_{operation.name}",
        reads=reads,
        reach=connection.reach,
        results=connection.results,
        key_header=connection.key_header or operation.key_header,
    )

"""Tools of an MCP server: one session, begun again when it breaks, and a list that is pinned.

    async with McpServer(described) as server:
        server.tools                               what it offers, as tools of ours
    async with mcp_tools(read_mcp(path)) as tools: of all servers in a file

What a model is told of a tool is what was read first. A tool that is something else later is not
called: that server is not what was let in.

    ToolError
    └── ServerAway    the server cannot be reached; nothing was asked of it
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Self

from mcp.shared.exceptions import MCPError
from mcp_types import (
    CONNECTION_CLOSED,
    HEADER_MISMATCH,
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    CallToolResult,
    InputRequiredResult,
)

from stepfold.events.values import Arguments
from stepfold.policy.toolspec import ToolSpec
from stepfold.tools.mcp_file import About, Described
from stepfold.tools.mcp_http import UNSENT
from stepfold.tools.mcp_link import Link, ServerAway, said
from stepfold.tools.mcp_offer import LeftOut, Offered, offer
from stepfold.tools.mcp_result import complaint, told
from stepfold.tools.secrets import hidden
from stepfold.tools.tool import Tool, ToolError
from stepfold.tools.unsure import Unsure

REFUSED = frozenset({UNSENT, HEADER_MISMATCH, INVALID_PARAMS, METHOD_NOT_FOUND})
"""Errors of a call that the server did not begin."""
TERMINATED = "Session terminated"
"""What the library says of a session that the server does not know any more."""
BEGINNINGS_MAX = 2
log = logging.getLogger("stepfold.mcp")


class McpServer:
    """Enter it to begin the session; ServerAway when that fails. `environment` is where the
    variables are looked up that the file names, by default ours.
    """

    def __init__(self, server: Described, *, environment: Mapping[str, str] | None = None) -> None:
        self.described = server
        self.offered: tuple[Offered, ...] = ()
        self.left_out: tuple[LeftOut, ...] = ()
        self._environment = os.environ if environment is None else environment
        self._link: Link | None = None
        self._links: set[Link] = set()
        self._opening = asyncio.Lock()

    async def __aenter__(self) -> Self:
        try:
            link = await self._begin()
        except BaseException:
            await self.__aexit__()
            raise
        found = offer(self.described, link.tools)
        self.offered, self.left_out = found.tools, found.left_out
        return self

    async def __aexit__(self, *ended: object) -> None:
        await asyncio.gather(*(link.close() for link in self._links))

    @property
    def tools(self) -> Sequence[Tool]:
        return tuple(
            (ReconcilingMcpTool if each.spec.recovery == "reconcile" else McpTool)(self, each)
            for each in self.offered
        )

    async def ask(self, tool: Offered, arguments: Arguments, *, call: str) -> Any:
        """One call of a tool: ToolError when nothing has happened, Unsure when that is not sure."""
        about = self.described.about(tool.name)
        given = {**arguments, about.key: call} if about.key else dict(arguments)
        sent = False
        try:
            async with asyncio.timeout(self.described.timeout_s):
                for _ in range(BEGINNINGS_MAX):
                    link = await self._live()
                    _refuse_changed(tool, link)
                    sent = True
                    result = await self._sent(link, tool, given, call)
                    if result is not None:
                        return self._outcome(tool, result)
                    sent = False
        except TimeoutError:
            limit = f"within {self.described.timeout_s:g} s"
            if not sent:
                raise self._failure(f"it could not be reached {limit}") from None
            link.doubt()
            raise self._doubtful(tool, f"it did not answer {limit}") from None
        raise self._failure("it ends each session at once")

    async def _sent(
        self, link: Link, tool: Offered, arguments: dict[str, Any], call: str
    ) -> CallToolResult | InputRequiredResult | None:
        """The answer; None when the server had forgotten the session, so that nothing happened."""
        try:
            return await link.call(tool.name, arguments, call)
        except MCPError as error:
            why = f"{error.message} ({error.code})"
            if error.code == INVALID_REQUEST and error.message == TERMINATED:
                link.retire()
                return None
            if error.code in REFUSED:
                raise self._failure(why) from None
            if error.code == CONNECTION_CLOSED:
                link.retire()
                why = link.why() if link.gone else why
            else:
                link.doubt()
            raise self._doubtful(tool, why) from error
        except (ValueError, RuntimeError) as error:
            why = f"its answer is not what it promised: {said(error)}"
            raise self._doubtful(tool, why) from error

    async def _live(self) -> Link:
        """A session whose list of tools is fresh enough; ServerAway."""
        async with self._opening:
            link = self._link
            if link is None or link.broken:
                return await self._begin()
            if link.stale():
                try:
                    await link.check()
                except ServerAway as error:
                    log.warning("%s; its session begins again", error)
                    return await self._begin()
            return link

    async def _begin(self) -> Link:
        before = self._link
        if before is not None:
            self._link = None
            before.retire()
        link = Link(self.described, self._environment)
        self._links = {each for each in self._links if not each.ended} | {link}
        await link.open()
        self._link = link
        return link

    def _outcome(self, tool: Offered, result: CallToolResult | InputRequiredResult) -> Any:
        if isinstance(result, InputRequiredResult):
            wanted = ", ".join(each.method for each in (result.input_requests or {}).values())
            raise self._failure(f"it asks for {wanted or 'more input'}, which it does not get")
        if result.is_error:
            raise ToolError(self._shown(complaint(result)))
        return self._shown(told(result))

    def _shown(self, value: Any) -> Any:
        return hidden(value, self.described.secrets, self._environment)

    def _failure(self, why: str) -> ToolError:
        return ToolError(f"MCP server {self.described.name!r}: {self._shown(why)}")

    def _doubtful(self, tool: Offered, why: str) -> Exception:
        """What reads has done nothing, whatever became of it."""
        if tool.spec.effect == "read":
            return self._failure(why)
        text = f"MCP server {self.described.name!r}: {self._shown(why)}"
        return Unsure(f"{text}; whether {tool.name!r} took effect is not known")


class McpTool:
    """One tool of a server, as it was when it was read first."""

    def __init__(self, server: McpServer, offered: Offered) -> None:
        self._server = server
        self._offered = offered

    @property
    def spec(self) -> ToolSpec:
        return self._offered.spec

    async def run(self, arguments: Arguments, *, call: str) -> Any:
        return await self._server.ask(self._offered, arguments, call=call)


class ReconcilingMcpTool(McpTool):
    """One whose server has a tool that finds a call by its key."""

    async def reconcile(self, arguments: Arguments, *, call: str) -> Any:
        """What the lookup finds; None when it finds nothing: no text, or an empty answer."""
        about: About = self._server.described.about(self._offered.name)
        for each in self._server.offered:
            if each.name == about.lookup:
                found = await self._server.ask(each, {about.lookup_key: call}, call=call)
                return None if _empty(found) else found
        raise ToolError(f"the lookup {about.lookup!r} is not among the tools of its server")


def _empty(found: Any) -> bool:
    """Nothing, or only names of nothing, as `{"result": null}`."""
    if isinstance(found, dict):
        return all(_empty(each) for each in found.values())
    return found is None or found in ("", [])


def _refuse_changed(tool: Offered, link: Link) -> None:
    now = link.digests.get(tool.name)
    if now == tool.digest:
        return
    what = "has it no more" if now is None else "describes it otherwise than when it was let in"
    raise ToolError(
        f"tool {tool.spec.name!r} is not called: MCP server {link.server.name!r} {what}; look at it"
        f" (stepfold mcp tools {link.server.file}) and start again"
    )


@asynccontextmanager
async def mcp_tools(
    servers: Sequence[Described], *, environment: Mapping[str, str] | None = None
) -> AsyncIterator[Sequence[Tool]]:
    """The tools of all these servers, until the block ends; ServerAway when one does not begin."""
    async with AsyncExitStack() as stack:
        begun = [McpServer(each, environment=environment) for each in servers]
        for each in begun:
            await stack.enter_async_context(each)
            for left in each.left_out:
                log.info(
                    "MCP server %s: %s is left out: %s", each.described.name, left.name, left.why
                )
        yield tuple(tool for each in begun for tool in each.tools)

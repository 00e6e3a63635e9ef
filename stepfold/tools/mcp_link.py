"""One live session with an MCP server, held by a task of its own.

The library's sessions belong to the task that opened them. Calls come from any task, and a session
that broke is replaced under them, so it lives here until it is closed or breaks.

ServerAway    the server cannot be reached, or does not do what a server must; nothing was asked
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any, cast

from mcp import Client
from mcp.client.session import IncomingMessage
from mcp.shared.exceptions import MCPError
from mcp_types import (
    CallToolResult,
    Implementation,
    InputRequiredResult,
    PaginatedRequestParams,
    RequestParamsMeta,
    Tool,
    ToolListChangedNotification,
)
from pydantic import ValidationError

from stepfold import __version__
from stepfold.tools.mcp_file import Described
from stepfold.tools.mcp_http import website
from stepfold.tools.mcp_offer import digest
from stepfold.tools.mcp_stdio import Program, program
from stepfold.tools.secrets import expand, hidden
from stepfold.tools.tool import ToolError, traceparent

PAGES_MAX = 50
TOOLS_MAX = 1_000
CLOSE_S = 8.0
LIST_S = 10.0
KEY = "stepfold/call"
"""Where in a request's `_meta` the call's idempotency key stands."""
log = logging.getLogger("stepfold.mcp")


class ServerAway(ToolError):
    """Nothing was asked of the server, because it cannot be reached."""


class Link:
    """`tools` are as listed at `listed_at` (monotonic seconds); `digests` tell what each was."""

    def __init__(self, server: Described, environment: Mapping[str, str]) -> None:
        self.server = server
        self.tools: tuple[Tool, ...] = ()
        self.digests: Mapping[str, str] = {}
        self.retired = False
        self._environment = environment
        self._listed_at = float("-inf")
        self._calls = 0
        self._closing = asyncio.Event()
        self._gone: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._ready: asyncio.Future[Client] = asyncio.get_running_loop().create_future()
        self._task: asyncio.Task[None] | None = None
        self._client: Client | None = None

    async def open(self) -> None:
        """Begin the session and read the list of tools; ServerAway. Close it also when it fails."""
        self._task = asyncio.create_task(self._hold())
        try:
            async with asyncio.timeout(self.server.start_s):
                self._client = await self._ready
                await self._list()
        except TimeoutError:
            self._abandon()
            raise self._away(f"it was not ready within {self.server.start_s:g} s") from None
        except BaseException:
            self._abandon()
            raise

    @property
    def broken(self) -> bool:
        return self.retired or self.gone or self.ended

    @property
    def ended(self) -> bool:
        return self._task is None or self._task.done()

    def stale(self) -> bool:
        """Is the list of tools older than it may be?"""
        return time.monotonic() - self._listed_at > self.server.check_s

    def doubt(self) -> None:
        """Something is wrong: the list is read again before the next call, or a session begun."""
        self._listed_at = float("-inf")

    async def check(self) -> None:
        """Read the list again; ServerAway."""
        try:
            async with asyncio.timeout(min(LIST_S, self.server.start_s)):
                await self._list()
        except TimeoutError:
            raise self._away("it does not answer") from None

    async def call(
        self, name: str, arguments: dict[str, Any], key: str
    ) -> CallToolResult | InputRequiredResult:
        """One call. MCPError and whatever else is wrong with the answer."""
        assert self._client is not None
        meta: dict[str, Any] = {KEY: key}
        if traceparent():
            meta["traceparent"] = traceparent()
        self._calls += 1
        try:
            return await self._client.session.call_tool(
                name, arguments, meta=cast(RequestParamsMeta, meta), allow_input_required=True
            )
        finally:
            self._calls -= 1
            if self.retired:
                self.retire()

    def retire(self) -> None:
        """No new calls; those that run may end."""
        self.retired = True
        if not self._calls:
            self._closing.set()

    @property
    def gone(self) -> bool:
        """Will the server say nothing more in this session?"""
        return self._gone.done()

    def why(self) -> str:
        """Why it is gone."""
        return self._gone.result()

    async def close(self) -> None:
        """End the session and wait for its end; a server that does not let go is left."""
        self.retired = True
        self._closing.set()
        if self._task is not None:
            await asyncio.wait((self._task,), timeout=CLOSE_S)
            self._abandon()
            with suppress(asyncio.CancelledError):
                await self._task

    def _abandon(self) -> None:
        self.retired = True
        if self._task is not None:
            self._task.cancel()

    async def _list(self) -> None:
        assert self._client is not None
        tools: list[Tool] = []
        cursor = None
        for _ in range(PAGES_MAX):
            try:
                page = await self._client.session.list_tools(
                    params=PaginatedRequestParams(cursor=cursor)
                )
            except (MCPError, ValueError, RuntimeError) as error:
                raise self._away(f"its list of tools: {said(error)}") from error
            tools += page.tools
            cursor = page.next_cursor
            if cursor is None or len(tools) > TOOLS_MAX:
                break
        if cursor is not None or len(tools) > TOOLS_MAX:
            raise self._away(f"its list of tools has no end ({len(tools):,} so far)")
        self.tools = tuple(tools)
        self.digests = {tool.name: digest(tool) for tool in tools}
        self._listed_at = time.monotonic()

    async def _hold(self) -> None:
        """The session, until it is closed or breaks. Never raises: says why in `_ready`."""
        closing = asyncio.create_task(self._closing.wait())
        try:
            async with Client(
                self._way(),
                cache=None,
                client_info=Implementation(name="stepfold", version=__version__),
                message_handler=self._heard,
                read_timeout_seconds=self.server.start_s,
            ) as client:
                if not self._ready.done():
                    self._ready.set_result(client)
                await asyncio.wait((closing, self._gone), return_when=asyncio.FIRST_COMPLETED)
                if self._gone.done():
                    log.warning("MCP server %s: %s", self.server.name, self._gone.result())
        except Exception as error:  # noqa: BLE001  # whatever a stranger's server brings about
            self._fail(said(_leaf(error)).removeprefix(self._name))
        finally:
            closing.cancel()
            if not self._gone.done():
                self._gone.set_result("the session ended")

    def _fail(self, why: str) -> None:
        if self._gone.done():
            why = self._gone.result()
        else:
            self._gone.set_result(why)
        if not self._ready.done():
            self._ready.set_exception(self._away(why))
        elif not self._closing.is_set():
            log.warning("MCP server %s: %s", self.server.name, why)

    def _way(self) -> AbstractAsyncContextManager[Any]:
        if self.server.command:
            return self._program()
        return website(self.server, self._expanded("headers", self.server.headers))

    @asynccontextmanager
    async def _program(self) -> AsyncIterator[Any]:
        server = self.server
        environment = {"PATH": self._environment.get("PATH", os.defpath)}
        environment |= self._expanded("env", server.env)
        command = shutil.which(server.command, path=environment["PATH"])
        if command is None:
            raise self._away(f"no program {server.command!r} on PATH: install it")
        place = f"{server.file}: servers.{server.name}.args"
        arguments = (expand(each, self._environment, place=place) for each in server.args)
        started = Program(
            server.name,
            command,
            tuple(arguments),
            environment,
            server.folder,
            server.bytes_max,
            self._hide,
        )
        async with program(started, self._gone) as streams:
            yield streams

    def _expanded(self, table: str, texts: Mapping[str, str]) -> dict[str, str]:
        place = f"{self.server.file}: servers.{self.server.name}.{table}"
        return {
            key: expand(text, self._environment, place=f"{place}.{key}")
            for key, text in texts.items()
        }

    def _hide(self, text: str) -> str:
        return str(hidden(text, self.server.secrets, self._environment))

    async def _heard(self, message: IncomingMessage) -> None:
        if isinstance(message, ToolListChangedNotification):
            self.doubt()

    def _away(self, why: str) -> ServerAway:
        return ServerAway(f"{self._name}{self._hide(why)}")

    @property
    def _name(self) -> str:
        """What each of its errors begins with."""
        return f"MCP server {self.server.name!r}: "


def _leaf(error: BaseException) -> BaseException:
    """The first of the errors that a group holds."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def said(error: BaseException) -> str:
    """An error in one line."""
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:300]

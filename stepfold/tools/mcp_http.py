"""The way to an MCP server behind a URL. Every request goes through the guard of all tools.

The library ends a whole session when one request fails. Here a request that fails is answered as
JSON-RPC answers, by us, with a code that says whether anything left.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import msgspec
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CONNECTION_CLOSED

from stepfold.tools.guard import Reach, transport
from stepfold.tools.guard_reach import USER_AGENT
from stepfold.tools.mcp_file import Described
from stepfold.tools.tool import ToolError

UNSENT = -31_001
"""Our own code, outside of those that JSON-RPC keeps for itself: nothing has happened."""
RESUMES_MAX = 50
"""Of cut answers, in one session."""
JSON = "application/json"
UNREAD = frozenset({401, 403})
"""The server did not let us in."""


def reach(server: Described) -> Reach:
    """Its own scheme, port and networks, and no redirect but within its origin."""
    return Reach(
        schemes=(server.url.partition(":")[0],),
        ports=(server.port,),
        private=server.private,
        bytes_max=server.bytes_max,
        timeout_s=max(server.timeout_s, server.start_s),
        redirects_max=0,
    )


@asynccontextmanager
async def website(server: Described, headers: Mapping[str, str]) -> AsyncIterator[Any]:
    """The streams to a server behind a URL."""
    far = reach(server)
    async with (
        httpx2.AsyncClient(
            transport=_Answering(transport(far)),
            headers={"user-agent": USER_AGENT, **{k.lower(): v for k, v in headers.items()}},
            trust_env=False,
            timeout=far.timeout_s,
        ) as http,
        streamable_http_client(
            server.url, http_client=http, max_sse_event_size=server.bytes_max
        ) as streams,
    ):
        yield streams


class _Answering(httpx2.AsyncBaseTransport):
    """Turns the failure of one request into the answer to it."""

    def __init__(self, inner: httpx2.AsyncBaseTransport) -> None:
        self._inner = inner
        self._resumed = 0

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if request.method == "GET" and not self._may_resume(request):
            return httpx2.Response(405)
        try:
            response = await self._inner.handle_async_request(request)
            if JSON in response.headers.get("content-type", "").lower():
                response = await _whole(response)
        except (httpx2.ConnectError, httpx2.ConnectTimeout, ToolError) as error:
            return _failed(503, UNSENT, str(error))
        except httpx2.RequestError as error:
            return _failed(502, CONNECTION_CLOSED, str(error) or type(error).__name__)
        if response.status_code in UNREAD:
            await response.aclose()
            why = f"it answered {response.status_code}: check the `headers` in the file"
            return _failed(response.status_code, UNSENT, why)
        return response

    def _may_resume(self, request: httpx2.Request) -> bool:
        """A GET is either for what nobody asked, which is not heard, or goes on with an answer that
        was cut. A server says itself how often and how soon that happens, so it has a limit.
        """
        self._resumed += 1
        return "last-event-id" in request.headers and self._resumed <= RESUMES_MAX

    async def aclose(self) -> None:
        await self._inner.aclose()


async def _whole(response: httpx2.Response) -> httpx2.Response:
    """The answer with its body, which may fail before the library reads it."""
    try:
        body = await response.aread()
    finally:
        await response.aclose()
    return httpx2.Response(response.status_code, headers=response.headers, content=body)


def _failed(status: int, code: int, why: str) -> httpx2.Response:
    told = {"jsonrpc": "2.0", "id": None, "error": {"code": code, "message": why}}
    return httpx2.Response(
        status, headers={"content-type": JSON}, content=msgspec.json.encode(told)
    )

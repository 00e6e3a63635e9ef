"""All outgoing HTTP of tools: no request leaves before its address was resolved, checked, pinned.

    Reach           how far requests may go
    ReachRefused    a request that may not leave; nothing has happened
    client(reach)   an httpx2 client that goes no further; it knows no cookies and no proxies
    transport(reach)   what such a client stands on, for libraries that bring a client of their own

An answer that is too large or too slow is an httpx2.RequestError like any other cut answer.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, contextmanager
from functools import cache

import httpcore2
import httpx2

from stepfold.tools.guard_dial import HEAD_BYTES_MAX, Dialler, Exchange, Resolve, resolve, too_large
from stepfold.tools.guard_reach import PUBLIC, USER_AGENT, Reach, ReachRefused, refused
from stepfold.tools.guard_redirects import onward
from stepfold.tools.guard_urls import Target, target

__all__ = ["PUBLIC", "Reach", "ReachRefused", "Resolve", "client", "resolve", "target", "transport"]

_PACKINGS = frozenset({b"", b"identity", b"gzip", b"deflate"})
"""Never several in a row: the inner ones would be unpacked without a limit on the way."""
_PACKED = (b"content-encoding", b"content-length", b"transfer-encoding")
"""Headers that are no longer true of an unpacked answer."""


def client(
    reach: Reach, *, resolve: Resolve = resolve, trust: ssl.SSLContext | None = None
) -> httpx2.AsyncClient:
    """`trust` holds the authorities whose certificates count, by default the machine's. From now on
    the log lines of httpx2 tell no query of a URL: keys stand there.
    """
    logging.getLogger("httpx2").addFilter(_without_queries)
    return httpx2.AsyncClient(
        transport=transport(reach, resolve=resolve, trust=trust),
        headers={"User-Agent": USER_AGENT},
        trust_env=False,
        follow_redirects=False,
        timeout=reach.timeout_s,
    )


def transport(
    reach: Reach, *, resolve: Resolve = resolve, trust: ssl.SSLContext | None = None
) -> httpx2.AsyncBaseTransport:
    return Guard(reach, resolve, trust)


def _without_queries(record: logging.LogRecord) -> bool:
    if isinstance(record.args, tuple):
        record.args = tuple(
            each.copy_with(query=None) if isinstance(each, httpx2.URL) else each
            for each in record.args
        )
    return True


class Guard(httpx2.AsyncBaseTransport):
    def __init__(self, reach: Reach, resolve: Resolve, trust: ssl.SSLContext | None) -> None:
        self._reach = reach
        self._resolve = resolve
        self._trust = trust

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        until = asyncio.get_running_loop().time() + self._reach.timeout_s
        for _ in range(self._reach.redirects_max + 1):
            where = target(str(request.url), self._reach)
            response = await self._answer(request, Exchange(self._reach, where, until))
            try:
                following = onward(request, response, self._reach)
            except ReachRefused:
                await response.aclose()
                raise
            if following is None:
                return response
            await response.aclose()
            request = following
        rule = f"it leads through more than {self._reach.redirects_max} redirects"
        raise refused(where.host, rule, "name the URL where they end")

    async def _answer(self, request: httpx2.Request, exchange: Exchange) -> httpx2.Response:
        where = exchange.target
        connection = httpcore2.AsyncHTTPConnection(
            httpcore2.Origin(where.scheme.encode(), where.host.encode(), where.port),
            ssl_context=self._trusted(where),
            network_backend=Dialler(exchange, self._resolve),
        )
        try:
            with _as_httpx():
                answer = await connection.handle_async_request(_outgoing(request))
            _check_head(answer, where)
        except BaseException:
            await connection.aclose()
            raise
        exchange.answered()
        raw = _Raw(answer, connection)
        headers = [each for each in answer.headers if each[0].lower() != b"set-cookie"]
        packed = httpx2.Response(answer.status, headers=headers, stream=raw, request=request)
        return _unpacked(packed, exchange)

    def _trusted(self, where: Target) -> ssl.SSLContext | None:
        if where.scheme != "https":
            return None
        return self._trust or _machine_trust()


@cache
def _machine_trust() -> ssl.SSLContext:
    return httpx2.create_ssl_context()


@contextmanager
def _as_httpx() -> Iterator[None]:
    """What fails in the block fails as httpx2 says it."""
    try:
        yield
    except _CORE_ERRORS as error:
        raise _told(error) from None


_CORE_ERRORS = (
    httpcore2.TimeoutException,
    httpcore2.NetworkError,
    httpcore2.ProtocolError,
    httpcore2.UnsupportedProtocol,
)


def _told(error: Exception) -> httpx2.RequestError:
    """The error of the same name one floor above."""
    kind = getattr(httpx2, type(error).__name__, httpx2.TransportError)
    told: httpx2.RequestError = kind(str(error) or type(error).__name__)
    return told


def _outgoing(request: httpx2.Request) -> httpcore2.Request:
    """As asked, but for the Host: that is the URL's, whatever the headers say."""
    url = request.url
    headers = [each for each in request.headers.raw if each[0].lower() != b"host"]
    return httpcore2.Request(
        request.method,
        httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
        headers=[(b"Host", url.netloc), *headers],
        content=request.stream,
    )


def _check_head(answer: httpcore2.Response, where: Target) -> None:
    size = sum(len(name) + len(value) + 4 for name, value in answer.headers)
    if size > HEAD_BYTES_MAX:
        raise httpx2.RemoteProtocolError(f"{where.host} answers with {size:,} bytes of headers")
    packings = [value for name, value in answer.headers if name.lower() == b"content-encoding"]
    packing = b",".join(packings).strip().lower()
    if packing not in _PACKINGS:
        told = packing[:40].decode("ascii", "replace")
        raise httpx2.DecodingError(f"{where.host} packs its answer as {told!r}, not as gzip")


class _Raw(httpx2.AsyncByteStream):
    """The body as it arrives. Closing it closes its connection."""

    def __init__(
        self, answer: httpcore2.Response, connection: httpcore2.AsyncHTTPConnection
    ) -> None:
        self._answer = answer
        self._connection = connection

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _as_httpx():
            async for part in self._answer.aiter_stream():
                yield part

    async def aclose(self) -> None:
        await self._connection.aclose()


class _Unpacked(httpx2.AsyncByteStream):
    def __init__(self, packed: httpx2.Response, exchange: Exchange) -> None:
        self._packed = packed
        self._exchange = exchange

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async with aclosing(self._packed.aiter_bytes()) as parts:
            async for part in parts:
                size += len(part)
                if size > self._exchange.reach.bytes_max:
                    raise too_large(self._exchange.target, self._exchange.reach)
                yield part

    async def aclose(self) -> None:
        await self._packed.aclose()


def _unpacked(packed: httpx2.Response, exchange: Exchange) -> httpx2.Response:
    headers = [each for each in packed.headers.raw if each[0].lower() not in _PACKED]
    return httpx2.Response(packed.status_code, headers=headers, stream=_Unpacked(packed, exchange))

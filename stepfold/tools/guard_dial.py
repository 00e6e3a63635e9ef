"""Dials the address that was checked, and counts what comes back.

One name is resolved once for one connection, and that connection serves one exchange. So there is
no second look-up that could answer differently, and nothing that one answer leaves behind is read
as the next.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import cache, partial
from ipaddress import ip_address
from typing import Any

import httpcore2
import httpx2

from stepfold.tools.guard_addresses import Address
from stepfold.tools.guard_reach import Reach, refused
from stepfold.tools.guard_urls import Target, check_address

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""All addresses of a host. It raises OSError where there is none."""

HEAD_BYTES_MAX = 64 * 1024
"""Of status and headers; interim answers (1xx) count as well."""
SLACK_BYTES = 256 * 1024
ADDRESSES_MAX = 32
LOOK_UPS_MAX = 64
"""At the same time."""
READ_BYTES_MAX = 16 * 1024
"""At once. Between two reads other calls have their turn."""


async def resolve(host: str, port: int) -> Sequence[str]:
    """As the machine resolves names. A look-up cannot be broken off, so a slow server of names
    holds up threads: those are our own, and others of the process stay free.
    """
    look_up = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    found = await asyncio.get_running_loop().run_in_executor(_look_ups(), look_up)
    return tuple(dict.fromkeys(str(each[4][0]) for each in found))


@cache
def _look_ups() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(LOOK_UPS_MAX, "look-up")


class Exchange:
    """One request and its answer: what was received so far, and until when (in the time of the
    loop) all of it must be.
    """

    def __init__(self, reach: Reach, target: Target, until: float) -> None:
        self.reach = reach
        self.target = target
        self._until = until
        self.received = 0
        self.received_max = HEAD_BYTES_MAX + SLACK_BYTES

    def answered(self) -> None:
        """The head is here: what follows is the body, packed or in chunks."""
        self.received_max = self.received + 2 * self.reach.bytes_max + SLACK_BYTES

    @asynccontextmanager
    async def within(self, kind: type[httpcore2.TimeoutException]) -> AsyncIterator[None]:
        """Whatever waits for the network waits in such a block."""
        try:
            async with asyncio.timeout_at(self._until):
                yield
        except TimeoutError:
            slow = f"{self.target.host} took longer than {self.reach.timeout_s:.2g} s"
            raise kind(slow) from None

    def count(self, received: int) -> None:
        self.received += received
        if self.received > self.received_max:
            raise too_large(self.target, self.reach)


def too_large(target: Target, reach: Reach) -> httpx2.ReadError:
    return httpx2.ReadError(f"{target.host} answers with more than {reach.bytes_max:,} bytes")


class Dialler(httpcore2.AsyncNetworkBackend):
    def __init__(self, exchange: Exchange, resolve: Resolve) -> None:
        self._exchange = exchange
        self._resolve = resolve
        self._inner = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        failure: Exception = httpcore2.ConnectError(f"{host} has no address")
        async with self._exchange.within(httpcore2.ConnectTimeout):
            for address in await self._addresses():
                try:
                    stream = await self._inner.connect_tcp(str(address), port, timeout)
                except httpcore2.ConnectError as error:
                    failure = error
                else:
                    return Counted(stream, self._exchange)
        raise failure

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)

    async def _addresses(self) -> Sequence[Address]:
        """Those of the target, all checked: one that may not be dialled refuses them all."""
        target, reach = self._exchange.target, self._exchange.reach
        if target.address is not None:
            return (target.address,)
        try:
            found = await self._resolve(target.host, target.port)
            addresses = tuple(ip_address(each) for each in found)
        except (OSError, ValueError, UnicodeError) as error:
            raise httpcore2.ConnectError(f"{target.host} does not resolve: {error}") from None
        if len(addresses) > ADDRESSES_MAX:
            rule = f"it resolves to more than {ADDRESSES_MAX} addresses"
            raise refused(target.host, rule, "name the one that is meant")
        for address in addresses:
            check_address(target.host, target.port, address, reach)
        return addresses


class Counted(httpcore2.AsyncNetworkStream):
    """A stream that ends when too much is received, or too late."""

    def __init__(self, inner: httpcore2.AsyncNetworkStream, exchange: Exchange) -> None:
        self._inner = inner
        self._exchange = exchange

    async def read(
        self,
        max_bytes: int,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> bytes:
        async with self._exchange.within(httpcore2.ReadTimeout):
            data = await self._inner.read(min(max_bytes, READ_BYTES_MAX), timeout)
        self._exchange.count(len(data))
        return data

    async def write(
        self,
        buffer: bytes,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> None:
        async with self._exchange.within(httpcore2.WriteTimeout):
            await self._inner.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> httpcore2.AsyncNetworkStream:
        async with self._exchange.within(httpcore2.ConnectTimeout):
            inner = await self._inner.start_tls(ssl_context, server_hostname, timeout)
        return Counted(inner, self._exchange)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)

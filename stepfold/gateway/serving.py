"""A gateway over HTTP until the block ends; then its streams say goodbye and close.

Only this file knows uvicorn.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import h11
import uvicorn
from msgspec import Struct
from starlette.routing import BaseRoute
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from uvicorn.protocols.http.h11_impl import H11Protocol

from stepfold.app import Opened
from stepfold.gateway.doors import Door
from stepfold.gateway.front import Front
from stepfold.gateway.guarding import Guard
from stepfold.gateway.keys import keys_of
from stepfold.gateway.limits import Limiting, Limits, network
from stepfold.gateway.table import DOORS
from stepfold.gateway.visitors import Visitors, read_visitor_keys
from stepfold.gateway.web import Gateway, Render
from stepfold.knowledge.knowledge import Knowledge
from stepfold.settings import Settings
from stepfold.tools.vault import KeyMissing

CONNECTIONS_MAX = 10_000
BACKLOG = 2_048
KEEP_S = 75
"""Longer than what stands before it keeps a connection that is idle (most of them 60 s): else it
sends a request on one that is just being closed.
"""
STOP_S = 5
"""How long requests in hand may take when it ends."""


class Patience(Struct, frozen=True):
    """What those have who do not show a key. `head_s`: how long the head of a request may take.
    `connections`: how many one address may have open at a time; a proxy may have all there are.
    `proxies` are addresses as uvicorn takes them, None: those of FORWARDED_ALLOW_IPS.
    """

    head_s: float = 10.0
    connections: int = 2_000
    proxies: str | None = None


PATIENCE = Patience()
Mounts = Callable[[Front, Guard], Sequence[BaseRoute]]


def no_mounts(front: Front, guard: Guard) -> Sequence[BaseRoute]:
    return ()


class Made(Struct, frozen=True):
    """What a gateway is made with. `mounts` are routes that look after their own rights; `numbers`
    renders those of the log.
    """

    doors: tuple[Door, ...] = DOORS
    mounts: Mounts = no_mounts
    limits: Limits = Limits()
    numbers: Render | None = None


PLAIN = Made()


def gateway_on(
    found: Opened,
    here: Settings,
    knowledge: Knowledge,
    *,
    made: Made = PLAIN,
    environment: Mapping[str, str] = os.environ,
) -> Gateway:
    """A gateway on this log. VaultError where the key for visitors' tokens is none."""
    front = Front(found, knowledge)
    visitors = _visitors(here.folder, environment, make=not here.nats_url)
    guard = Guard(front, keys_of(found), visitors, Limiting(made.limits))
    mounts = made.mounts(front, guard)
    return Gateway(front, guard, made.doors, mounts=mounts, numbers=made.numbers)


def _visitors(folder: Path, environment: Mapping[str, str], *, make: bool) -> Visitors | None:
    """None where all gateways need one key and nobody has given it: then there are no visitors."""
    try:
        return Visitors(read_visitor_keys(folder, environment, make=make))
    except KeyMissing:
        return None


@asynccontextmanager
async def serving(
    gateway: Gateway, host: str, port: int, *, patience: Patience = PATIENCE
) -> AsyncIterator[str]:
    """Serve until the block ends; yields the address. OSError where it cannot be."""
    listener = _listener(host, port)
    web = _Web(
        uvicorn.Config(
            gateway,
            http=_patient(patience),
            forwarded_allow_ips=patience.proxies,
            lifespan="off",
            ws="none",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_S,
            limit_concurrency=CONNECTIONS_MAX,
            timeout_graceful_shutdown=STOP_S,
        )
    )
    running = asyncio.create_task(web.serve(sockets=[listener]))
    try:
        port = listener.getsockname()[1]
        yield f"http://{f'[{host}]' if ':' in host else host}:{port}"
    finally:
        gateway.closing.set()
        web.should_exit = True
        await running
        listener.close()


def _listener(host: str, port: int) -> socket.socket:
    """asyncio sends at once only on sockets that say they are TCP: else each answer takes 40 ms."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


class _Web(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are for the command, which ends this in order."""
        yield


def _patient(patience: Patience) -> type[asyncio.Protocol]:
    """A protocol whose connections share what one address may have."""
    open_: Counter[str] = Counter()

    class Patient(_Connection):
        def __init__(self, **given: Any) -> None:
            super().__init__(patience, open_, **given)

    return Patient


class _Connection(H11Protocol):
    """One connection. uvicorn waits for ever for the first request of one, and for the rest of a
    later one that has begun: who sends nothing would keep everybody else out.
    """

    def __init__(self, patience: Patience, open_: Counter[str], **given: Any) -> None:
        super().__init__(**given)
        self._patience = patience
        self._open = open_
        self._from = ""
        self._late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        host = self.client[0] if self.client else ""
        self._from = network(host)
        self._open[self._from] += 1
        if self._open[self._from] > self._patience.connections and not self._is_proxy(host):
            transport.close()
        else:
            self._wait()

    def _is_proxy(self, host: str) -> bool:
        proxies = self.app
        return isinstance(proxies, ProxyHeadersMiddleware) and host in proxies.trusted_hosts

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._come()
        self._open[self._from] -= 1
        if not self._open[self._from]:
            del self._open[self._from]

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not getattr(self.cycle, "response_complete", True):
            self._come()
        elif self.conn.their_state is h11.IDLE and not self.conn.trailing_data[0]:
            self._come()  # the rest of a request that was answered before its end
            self._keep()
        else:
            self._wait()

    def _wait(self) -> None:
        """For the head of a request."""
        if self._late is None and not self.transport.is_closing():
            late_s = self._patience.head_s
            self._late = self.loop.call_later(late_s, self.timeout_keep_alive_handler)

    def _come(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _keep(self) -> None:
        """For another request, as after every answer."""
        if self.timeout_keep_alive_task is None and not self.transport.is_closing():
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

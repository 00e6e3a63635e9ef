"""A gateway over HTTP until the block ends; then its streams say goodbye and close.

Only this file knows uvicorn.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import uvicorn
from msgspec import Struct
from starlette.routing import BaseRoute

from stepfold.app import Opened
from stepfold.gateway.doors import Door
from stepfold.gateway.front import Front
from stepfold.gateway.guarding import Guard
from stepfold.gateway.keys import keys_of
from stepfold.gateway.limits import Limiting, Limits
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
async def serving(gateway: Gateway, host: str, port: int) -> AsyncIterator[str]:
    """Serve until the block ends; yields the address. OSError where it cannot be."""
    listener = _listener(host, port)
    web = _Web(
        uvicorn.Config(
            gateway,
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

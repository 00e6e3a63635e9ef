"""One connection to NATS: made, lost, back, and what its errors mean to a caller."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime

import nats.errors
import nats.js.errors
from nats.aio.client import Client

from stepfold.streams.jetstream.parser import Tap, TappingParser
from stepfold.streams.log import LogUnavailable

TIMEOUT_S = 5.0
CONNECT_S = 5.0
RECONNECT_S = 0.2
AWAY = (
    nats.errors.TimeoutError,
    nats.errors.NoRespondersError,
    nats.errors.ConnectionClosedError,
    nats.errors.ConnectionReconnectingError,
    nats.errors.OutboundBufferLimitError,
    nats.js.errors.ServiceUnavailableError,
)
"""The server, or the way to it, is not there: trying again may help."""
log = logging.getLogger("stepfold.nats")
_WHO = re.compile(r"[^/@\s]*@")


class Connection(Client):
    """nats-py's client, quicker where a log is read back: its header parsing looks at every
    character of every name (server headers are plain ASCII), and messages of a subscription in
    `taps` are given to its tap as they are read (parser.py).

    A killed server forgets what it handed out in its last moments, and hands it out as if for the
    first time: what was stored before `back_at` may have been handled already.
    """

    back_at = datetime.min.replace(tzinfo=UTC)

    def __init__(self) -> None:
        super().__init__()
        self.taps: dict[int, Tap] = {}
        self._ps = TappingParser(self, self.taps)

    async def _process_msg(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None
    ) -> None:
        try:
            await super()._process_msg(sid, subject, reply, data, headers or b"")
        except UnicodeDecodeError as error:  # a stranger's subject: it would end the reader
            await self._error_cb(error)

    @staticmethod
    def _parse_header_lines(raw: bytes) -> dict[str, str]:
        lines = (line.partition(b":") for line in raw.split(b"\r\n"))
        return {
            name.decode("ascii", "replace"): value.strip().decode("utf-8", "replace")
            for name, colon, value in lines
            if colon
        }


@asynccontextmanager
async def connect(
    url: str, *, name: str = "stepfold", within_s: float = CONNECT_S
) -> AsyncIterator[Connection]:
    """A connection that never gives up reconnecting; LogUnavailable when there is no server now."""
    client = Connection()
    told = _Told(client, url)
    try:
        async with asyncio.timeout(within_s):
            await client.connect(
                url,
                name=name,
                max_reconnect_attempts=-1,
                reconnect_time_wait=RECONNECT_S,  # type: ignore[arg-type]
                error_cb=told.error,
                disconnected_cb=told.lost,
                reconnected_cb=told.back,
            )
    except (OSError, nats.errors.Error, TimeoutError) as error:
        why = str(told.last or error) or "timed out"
        way = "is it there? is NATS_URL right?"
        raise LogUnavailable(f"no NATS server answers at {_place(url)}: {why}: {way}") from error
    try:
        yield client
    finally:
        await client.close()


class _Told:
    """What the client tells of its connection: once when it is lost, once when it is back."""

    def __init__(self, client: Connection, url: str) -> None:
        self.last: Exception | None = None
        self._client = client
        self._url = _place(url)

    async def error(self, error: Exception) -> None:
        self.last = error
        level = logging.WARNING if self._client.is_connected else logging.DEBUG
        log.log(level, "NATS at %s: %s: %s", self._url, type(error).__name__, error)

    async def lost(self) -> None:
        """A request whose answer cannot come any more fails now, not when its time is over."""
        self._client.back_at = datetime.max.replace(tzinfo=UTC)
        for answer in self._client._resp_map.values():
            if not answer.done():
                answer.set_exception(nats.errors.ConnectionReconnectingError())
        if not self._client.is_closed:
            log.warning("the connection to NATS at %s is lost: trying again", self._url)

    async def back(self) -> None:
        self._client.back_at = datetime.now(UTC)
        log.warning("connected to NATS at %s again", self._url)


@contextmanager
def unavailable(what: str) -> Iterator[None]:
    try:
        yield
    except (nats.errors.Error, TimeoutError) as error:
        raise LogUnavailable(f"{what}: {error}") from error


def away(client: Client, error: Exception) -> str:
    url = client.connected_url
    where = f"{url.hostname}:{url.port}" if url else "nowhere"
    what = "connected" if client.is_connected else "not connected"
    if client.is_connected and isinstance(error, TimeoutError):
        what += ", but it does not answer: is its disk full? see its log"
    return f"the log is away ({what}, server {where}): {type(error).__name__} {error}".rstrip()


def _place(url: str) -> str:
    """An address, or several, without the names and passwords in it: errors and logs tell it."""
    return _WHO.sub("", url)

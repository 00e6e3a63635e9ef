"""What is configured, every version of it by digest, and which one is current."""

from __future__ import annotations

import time

from nats.aio.client import Client

from stepfold.streams.jetstream.connection import TIMEOUT_S, unavailable
from stepfold.streams.jetstream.gets import Gets
from stepfold.streams.log import content_digest


class JetStreamShelf:
    """Implements Shelf, on the subjects `where.<digest>` and `where.current` of `stream`."""

    def __init__(self, client: Client, stream: str, where: str) -> None:
        self._js = client.jetstream(timeout=TIMEOUT_S)
        self._gets = Gets(client, TIMEOUT_S)
        self._stream = stream
        self._where = where

    async def put(self, raw: bytes) -> str:
        name = content_digest(raw)
        if await self.get(name) is None:
            await self._publish(self._place(name), raw)
        return name

    async def get(self, digest: str) -> bytes | None:
        found = await self._gets.last(self._stream, self._place(digest))
        return found.data if found else None

    async def appoint(self, raw: bytes) -> str:
        """What was appointed before stays known, with its time: `where.appointed.<number>`."""
        name = await self.put(raw)
        await self._publish(f"{self._where}.appointed.{time.time_ns()}", name.encode())
        await self._publish(f"{self._where}.current", raw)
        return name

    async def appointed(self) -> bytes | None:
        found = await self._gets.last(self._stream, f"{self._where}.current")
        return found.data if found else None

    def _place(self, digest: str) -> str:
        return f"{self._where}.{digest.replace(':', '-')}"

    async def _publish(self, where: str, raw: bytes) -> None:
        with unavailable(f"{where} was not kept"):
            await self._js.publish(where, raw, stream=self._stream)

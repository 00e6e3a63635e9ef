"""The bytes of images and documents, in the object store, by `sha256:` and their hash."""

from __future__ import annotations

import asyncio

import nats.js.errors
from nats.aio.client import Client

from stepfold.streams.config import BLOBS
from stepfold.streams.jetstream.connection import TIMEOUT_S, unavailable
from stepfold.streams.log import FileMissing, FileRefused, content_digest

FILE_BYTES_MAX = 32 * 1024 * 1024
FILE_S = 30.0


class JetStreamFiles:
    """Implements Files. The same bytes have the same name, and are kept once."""

    def __init__(self, client: Client) -> None:
        self._js = client.jetstream(timeout=TIMEOUT_S)

    async def put(self, data: bytes) -> str:
        """Keep it; returns its name. FileRefused."""
        if len(data) > FILE_BYTES_MAX:
            raise FileRefused(
                f"a file of {len(data)} bytes is too large (at most {FILE_BYTES_MAX})"
            )
        name = content_digest(data)
        with unavailable(f"{name} was not kept"):
            async with asyncio.timeout(FILE_S):
                store = await self._js.object_store(BLOBS)
                try:
                    await store.get_info(name)
                except nats.js.errors.NotFoundError:
                    await store.put(name, data)
        return name

    async def get(self, name: str) -> bytes:
        """FileMissing."""
        with unavailable(f"{name} cannot be read now"):
            async with asyncio.timeout(FILE_S):
                store = await self._js.object_store(BLOBS)
                try:
                    found = await store.get(name)
                except nats.js.errors.NotFoundError as error:
                    raise FileMissing(f"file {name} is not in this log's object store") from error
        return found.data or b""

"""What is kept of keys, each the last message of its subject, changed under its own fence."""

from __future__ import annotations

from stepfold.streams.config import KEYS
from stepfold.streams.jetstream.connection import Connection
from stepfold.streams.jetstream.sealed import JetStreamSealed


class JetStreamKeys:
    """Implements Store (gateway/keys.py)."""

    def __init__(self, client: Connection) -> None:
        self._kept = JetStreamSealed(client, KEYS)

    async def get(self, id: str) -> tuple[bytes, int]:
        """What is kept of a key, and its revision; 0 when there never was one."""
        return await self._kept.get(id)

    async def put(self, id: str, kept: bytes, *, after: int) -> int:
        """The new revision; LogConflict when what is there is not of revision `after`."""
        return await self._kept.put(id, kept, after=after)

    async def all(self) -> list[bytes]:
        """Every key that there is, in the order of their last change."""
        found = await self._kept.all("")
        return [kept for kept, _ in sorted(found.values(), key=lambda each: each[1])]

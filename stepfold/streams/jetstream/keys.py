"""What is kept of keys, each the last message of its subject, changed under its own fence."""

from __future__ import annotations

import msgspec

from stepfold.streams.config import KEYS
from stepfold.streams.jetstream.connection import AWAY, TIMEOUT_S, Connection, away
from stepfold.streams.jetstream.gets import Gets
from stepfold.streams.jetstream.headers import FENCE
from stepfold.streams.log import LogConflict, LogUnavailable

CONFLICT = 10071


class _Ack(msgspec.Struct, frozen=True):
    seq: int = 0
    error: dict[str, object] | None = None


class JetStreamKeys:
    """Implements Store (gateway/keys.py)."""

    def __init__(self, client: Connection) -> None:
        self._client = client
        self._gets = Gets(client, TIMEOUT_S)

    async def get(self, id: str) -> tuple[bytes, int]:
        """What is kept of a key, and its revision; 0 when there never was one."""
        found = await self._gets.last(KEYS, f"{KEYS}.{id}")
        if found is None:
            return b"", 0
        return found.data, int((found.headers or {})["Nats-Sequence"])

    async def put(self, id: str, kept: bytes, *, after: int) -> int:
        """The new revision; LogConflict when what is there is not of revision `after`."""
        where, headers = f"{KEYS}.{id}", {FENCE: str(after)}
        try:
            told = await self._client.request(where, kept, timeout=TIMEOUT_S, headers=headers)
        except AWAY as error:
            raise LogUnavailable(away(self._client, error)) from error
        ack = msgspec.json.decode(told.data, type=_Ack)
        if ack.error is None:
            return ack.seq
        if ack.error.get("err_code") == CONFLICT:
            raise LogConflict(f"key {id}: another change was first")
        raise LogUnavailable(f"key {id} was not kept: {ack.error.get('description')}")

    async def all(self) -> list[bytes]:
        """Every key that there is, in the order of their last change."""
        return [message.data async for message in self._gets.all(KEYS, f"{KEYS}.*", 0)]

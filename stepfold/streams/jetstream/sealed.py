"""Values that are changed under their own fence: the last message of a subject each. In the stream
`vault` they are sealed (tokens of connections); nothing in the open ever comes there.
"""

from __future__ import annotations

import msgspec

from stepfold.streams.config import VAULT
from stepfold.streams.jetstream.connection import AWAY, TIMEOUT_S, Connection, away
from stepfold.streams.jetstream.gets import Gets
from stepfold.streams.jetstream.headers import FENCE
from stepfold.streams.log import LogConflict, LogUnavailable

CONFLICT = 10071


class _Ack(msgspec.Struct, frozen=True):
    seq: int = 0
    error: dict[str, object] | None = None


class JetStreamSealed:
    """Implements Store (tools/vault.py). A value that was forgotten is a message without a body."""

    def __init__(self, client: Connection, stream: str = VAULT) -> None:
        self._client = client
        self._stream = stream
        self._gets = Gets(client, TIMEOUT_S)

    async def get(self, place: str) -> tuple[bytes, int]:
        found = await self._gets.last(self._stream, f"{self._stream}.{place}")
        if found is None:
            return b"", 0
        return found.data, int((found.headers or {})["Nats-Sequence"])

    async def put(self, place: str, sealed: bytes, *, after: int) -> int:
        where, headers = f"{self._stream}.{place}", {FENCE: str(after)}
        try:
            told = await self._client.request(where, sealed, timeout=TIMEOUT_S, headers=headers)
        except AWAY as error:
            raise LogUnavailable(away(self._client, error)) from error
        ack = msgspec.json.decode(told.data, type=_Ack)
        if ack.error is None:
            return ack.seq
        if ack.error.get("err_code") == CONFLICT:
            raise LogConflict(f"{place}: another change was first")
        raise LogUnavailable(f"{place}: {ack.error.get('description')}")

    async def all(self, under: str) -> dict[str, tuple[bytes, int]]:
        found = {}
        async for message in self._gets.all(self._stream, f"{self._stream}.{under}>", 0):
            headers = message.headers or {}
            place = headers["Nats-Subject"].removeprefix(f"{self._stream}.")
            found[place] = (message.data, int(headers["Nats-Sequence"]))
        return found

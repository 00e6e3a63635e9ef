"""Accounts of budgets: the last message of a subject each, changed under its own fence."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from stepfold.streams.config import ACCOUNTS
from stepfold.streams.jetstream.connection import (
    AWAY,
    TIMEOUT_S,
    Connection,
    away,
)
from stepfold.streams.jetstream.gets import Gets
from stepfold.streams.jetstream.headers import FENCE
from stepfold.streams.log import Balance, LogConflict, LogUnavailable

CONFLICT = 10071
_decoder = msgspec.json.Decoder(Balance)
_encoder = msgspec.json.Encoder(decimal_format="string")


class _Ack(msgspec.Struct, frozen=True):
    seq: int = 0
    error: dict[str, object] | None = None


class JetStreamBalances:
    """Implements Balances."""

    def __init__(self, client: Connection) -> None:
        self._client = client
        self._gets = Gets(client, TIMEOUT_S)

    async def get(self, account: str) -> Balance:
        found = await self._gets.last(ACCOUNTS, f"{ACCOUNTS}.{account}")
        if found is None:
            return Balance()
        seq = int((found.headers or {})["Nats-Sequence"])
        return replace(_decoder.decode(found.data), seq=seq)

    async def put(self, account: str, balance: Balance) -> Balance:
        where = f"{ACCOUNTS}.{account}"
        body = _encoder.encode(replace(balance, seq=0))
        headers = {FENCE: str(balance.seq)}
        try:
            told = await self._client.request(where, body, timeout=TIMEOUT_S, headers=headers)
        except AWAY as error:
            raise LogUnavailable(away(self._client, error)) from error
        ack = msgspec.json.decode(told.data, type=_Ack)
        if ack.error is None:
            return replace(balance, seq=ack.seq)
        if ack.error.get("err_code") == CONFLICT:
            raise LogConflict(f"account {account}: another change was first")
        raise LogUnavailable(f"account {account}: {ack.error.get('description')}")

    async def all(self) -> dict[str, Balance]:
        found = {}
        async for message in self._gets.all(ACCOUNTS, f"{ACCOUNTS}.>", 0):
            headers = message.headers or {}
            balance = replace(_decoder.decode(message.data), seq=int(headers["Nats-Sequence"]))
            found[headers["Nats-Subject"].removeprefix(f"{ACCOUNTS}.")] = balance
        return found

"""What the vault holds of one connection and one customer."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from stepfold.tools.oauth_server import Tokens
from stepfold.tools.vault import Place, Secret, Vault

TOKENS = "tokens"


class Record(Struct, frozen=True):
    """`needs`: why a person must authorize again, empty while nobody must. `lease`: who is asking
    for new tokens since `leased_at`, a name that is used once.
    """

    tokens: Tokens | None = None
    needs: str = ""
    lease: str = ""
    leased_at: datetime | None = None


NOTHING = Record()


class Found(NamedTuple):
    record: Record
    revision: int


def shown(value: object) -> str:
    """A Secret, on its way into the vault."""
    if isinstance(value, Secret):
        return value.reveal()
    raise NotImplementedError(type(value).__name__)


def hidden(form: type, value: Any) -> object:
    """A Secret, on its way out of the vault."""
    if form is Secret:
        return Secret(value)
    raise NotImplementedError(form.__name__)


encoder = msgspec.json.Encoder(enc_hook=shown)
_decoder = msgspec.json.Decoder(Record, dec_hook=hidden)


class Records:
    """Those of one connection, by the customer that holds them."""

    def __init__(self, vault: Vault, connection: str) -> None:
        self._vault = vault
        self._connection = connection

    async def get(self, holder: str) -> Found:
        value, revision = await self._vault.get(self._place(holder))
        return Found(_decoder.decode(value) if value is not None else NOTHING, revision)

    async def put(self, holder: str, record: Record, *, after: int) -> int:
        return await self._vault.put(self._place(holder), encoder.encode(record), after=after)

    async def revision(self, holder: str) -> int:
        return await self._vault.revision(self._place(holder))

    async def forget(self, holder: str, *, after: int) -> None:
        await self._vault.forget(self._place(holder), after=after)

    async def holders(self) -> tuple[str, ...]:
        return await self._vault.customers(TOKENS, self._connection)

    def _place(self, holder: str) -> Place:
        return Place(TOKENS, self._connection, holder)

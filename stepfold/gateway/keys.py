"""Keys of customers: `sfk_<id>_<secret>`, of which only a hash is kept.

The secret is 256 bits of chance, so that guessing it from its hash is as hopeless as guessing it at
once: SHA-256 with a salt is enough, and a slow hash would only let strangers keep this process
busy. A key that is revoked stops within FRESH_S in every process.

KeyRefused    there is no such key, or it cannot be made so
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from stepfold.app import Opened
from stepfold.events.names import token
from stepfold.gateway.principal import OPERATOR, SCOPES, Principal
from stepfold.streams.jetstream.keys import JetStreamKeys
from stepfold.streams.log import LogConflict
from stepfold.streams.memory import utc_now

PREFIX = "sfk"
ID_BYTES, SECRET_BYTES, SALT_BYTES = 6, 32, 16
FRESH_S = 1.0
"""How long a key is believed to be as it was."""
CACHED_MAX = 10_000
RACES_MAX = 10
NAME_CHARS_MAX = 200
_KEY = re.compile(rf"{PREFIX}_([0-9a-f]{{{2 * ID_BYTES}}})_([A-Za-z0-9_-]{{43}})")
_ORIGIN = re.compile(r"https?://[a-z0-9.:\[\]-]+")


class KeyRefused(Exception):
    """There is no such key, or it cannot be made so."""


class Key(Struct, frozen=True, omit_defaults=True):
    """What is kept of a key. `origins` are the sites whose pages may use it in a browser. A key of
    an operator is of no customer.
    """

    id: str
    customer: str
    scopes: tuple[str, ...]
    salt: str
    hash: str
    made_at: datetime
    name: str = ""
    origins: tuple[str, ...] = ()
    expires_at: datetime | None = None
    revoked_at: datetime | None = None

    def good(self, now: datetime) -> bool:
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


class Store(Protocol):
    """Where keys are kept (streams/jetstream/keys.py). LogUnavailable."""

    async def get(self, id: str) -> tuple[bytes, int]: ...

    async def put(self, id: str, kept: bytes, *, after: int) -> int:
        """LogConflict."""
        ...

    async def all(self) -> list[bytes]: ...


class Keys:
    """`clock` tells what has expired, `timer` what is fresh."""

    def __init__(
        self,
        store: Store,
        clock: Callable[[], datetime],
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._clock = clock
        self._timer = timer
        self._cache: OrderedDict[str, tuple[float, Key | None]] = OrderedDict()

    # -- for who has the log ----------------------------------------------------------------------

    async def create(
        self,
        customer: str,
        scopes: tuple[str, ...],
        *,
        name: str = "",
        origins: tuple[str, ...] = (),
        expires_at: datetime | None = None,
    ) -> tuple[Key, str]:
        """The key as it is kept, and the key itself, which nobody can read again. KeyRefused."""
        _check(customer, scopes, name, origins)
        id, secret = secrets.token_hex(ID_BYTES), secrets.token_urlsafe(SECRET_BYTES)
        salt = secrets.token_hex(SALT_BYTES)
        key = Key(
            id=id,
            customer=customer,
            scopes=tuple(sorted(set(scopes))),
            salt=salt,
            hash=_hash(salt, secret),
            made_at=self._clock(),
            name=name,
            origins=origins,
            expires_at=expires_at,
        )
        await self._store.put(id, msgspec.json.encode(key), after=0)
        return key, f"{PREFIX}_{id}_{secret}"

    async def every(self) -> list[Key]:
        """All of them, the expired and the revoked too, the first made first."""
        keys = [msgspec.json.decode(raw, type=Key) for raw in await self._store.all()]
        return sorted(keys, key=lambda key: (key.made_at, key.id))

    async def revoke(self, id: str) -> Key:
        """From now on it opens nothing; revoking it again changes nothing. KeyRefused."""
        for _ in range(RACES_MAX):
            raw, revision = await self._store.get(_id_of(id))
            if not raw:
                raise KeyRefused(f"there is no key {id!r}: `stepfold key list` names them")
            key = msgspec.json.decode(raw, type=Key)
            if key.revoked_at is not None:
                return key
            key = replace(key, revoked_at=self._clock())
            try:
                await self._store.put(key.id, msgspec.json.encode(key), after=revision)
            except LogConflict:
                continue
            self._cache.pop(key.id, None)
            return key
        raise KeyRefused(f"key {id!r} is being changed by others: try again")

    # -- for who is asked -------------------------------------------------------------------------

    async def check(self, shown: str) -> Key | None:
        """The key that somebody shows, when it is good; None for anything else."""
        found = _KEY.fullmatch(shown)
        if found is None:
            return None
        key = await self.known(found[1])
        # As much is done for a key that is not there: how long it takes tells nothing.
        wanted = key or _NOBODY
        right = hmac.compare_digest(_hash(wanted.salt, found[2]), wanted.hash)
        return key if key is not None and right and key.good(self._clock()) else None

    async def known(self, id: str) -> Key | None:
        """What is kept of a key, as it was FRESH_S ago or later."""
        now = self._timer()
        at, key = self._cache.get(id, (0.0, None))
        if id not in self._cache or now - at > FRESH_S:
            raw, _ = await self._store.get(id)
            key = msgspec.json.decode(raw, type=Key) if raw else None
            self._cache[id] = now, key
            self._cache.move_to_end(id)
            if len(self._cache) > CACHED_MAX:
                self._cache.popitem(last=False)
        return key


def keys_of(found: Opened) -> Keys:
    """Those of this log."""
    return Keys(JetStreamKeys(found.client), utc_now)


def principal(key: Key) -> Principal:
    return Principal(key.customer, frozenset(key.scopes), key.id)


def _hash(salt: str, secret: str) -> str:
    return hashlib.sha256(f"{salt}{secret}".encode()).hexdigest()


def _id_of(shown: str) -> str:
    """Of a whole key, too: whoever wants it gone may not know its parts."""
    found = _KEY.fullmatch(shown)
    id = found[1] if found else shown
    if not re.fullmatch(r"[0-9a-f]{12}", id):
        raise KeyRefused(f"{shown[:20]!r} names no key: `stepfold key list` names them")
    return id


def _check(customer: str, scopes: tuple[str, ...], name: str, origins: tuple[str, ...]) -> None:
    if set(scopes) == {OPERATOR}:
        if customer:
            raise KeyRefused("a key of an operator is of no customer: leave the customer out")
    else:
        token("customer", customer)
        for scope in scopes:
            if scope not in SCOPES:
                known = ", ".join(SCOPES)
                raise KeyRefused(f"unknown scope {scope!r} (known: {known})")
        if not scopes:
            raise KeyRefused(f"a key without a scope opens nothing (known: {', '.join(SCOPES)})")
    if len(name) > NAME_CHARS_MAX:
        raise KeyRefused(f"the name has {len(name)} characters, at most {NAME_CHARS_MAX} fit")
    for origin in origins:
        if not _ORIGIN.fullmatch(origin):
            raise KeyRefused(
                f"{origin!r} is no origin: write it as a browser does, https://shop.example"
            )


_NOBODY = Key("", "", (), "0" * 32, "0" * 64, datetime.min)

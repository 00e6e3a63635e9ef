"""The vault: what must stay secret, sealed before it is stored, by whom it belongs to.

AES-GCM with the place (kind, connection, customer) as associated data: a sealed value that is
moved to another customer does not open. The first key seals, all open.

    VaultError (a ToolError)    nothing was done
    ├── KeyMissing     there is no key, and none may be made here
    ├── KeyRefused     a key that is none, or a file of it that others can read
    ├── SealBroken     sealed with a key that is not here, changed, or moved
    └── VaultAway      the store of the sealed values is away
A change that was not the first one is a LogConflict.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, NoReturn, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from stepfold.events.names import token
from stepfold.streams.log import LogConflict, LogUnavailable
from stepfold.tools.tool import ToolError

VARIABLE = "STEPFOLD_VAULT_KEY"
FILE = "vault.key"
KEY_BYTES = 32
SEALED = b"\x01"
"""The first byte of all that is sealed in this form: form, key, nonce, ciphertext."""
NAME_BYTES, NONCE_BYTES = 4, 12
HEAD_BYTES = len(SEALED) + NAME_BYTES + NONCE_BYTES
MAKE_ONE = "`openssl rand -base64 32` makes one"
OTHERS = stat.S_IRWXG | stat.S_IRWXO


class VaultError(ToolError):
    """The vault could not do what was asked."""


class KeyMissing(VaultError):
    """There is no key."""


class KeyRefused(VaultError):
    """A key that cannot be used."""


class SealBroken(VaultError):
    """A sealed value that does not open."""


class VaultAway(VaultError):
    """The store is away: try again later."""


class Secret:
    """A text that shows itself only to whoever asks for it by name."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "Secret(***)"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._text.encode(), other._text.encode())

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not pickled: seal it in the vault")


class Place(NamedTuple):
    """Where a sealed value is kept, and whose it is."""

    kind: str
    connection: str
    customer: str

    @property
    def subject(self) -> str:
        """NameRefused when a name would be misread."""
        words = (token(what, word) for what, word in zip(self._fields, self, strict=True))
        return ".".join(words)


class Held(NamedTuple):
    """What is in a place; `revision` is where this stands, 0 when nothing ever did."""

    value: bytes | None
    revision: int


class Store(Protocol):
    """Sealed values that many processes change, each change only right after the one it has seen.
    No bytes = nothing is there. LogUnavailable.
    """

    async def get(self, place: str) -> tuple[bytes, int]:
        """What is there, and its revision; 0 when there never was anything."""
        ...

    async def put(self, place: str, sealed: bytes, *, after: int) -> int:
        """The new revision; LogConflict when what is there is not of revision `after`."""
        ...

    async def all(self, under: str) -> dict[str, tuple[bytes, int]]:
        """What is in the places that begin with `under`: nothing, or words with a dot behind."""
        ...


class MemoryStore:
    """A Store for tests and for one process."""

    def __init__(self) -> None:
        self._values: dict[str, tuple[bytes, int]] = {}
        self._revision = 0

    async def get(self, place: str) -> tuple[bytes, int]:
        return self._values.get(place, (b"", 0))

    async def put(self, place: str, sealed: bytes, *, after: int) -> int:
        if self._values.get(place, (b"", 0))[1] != after:
            raise LogConflict(f"{place}: another change was first")
        self._revision += 1
        self._values[place] = (sealed, self._revision)
        return self._revision

    async def all(self, under: str) -> dict[str, tuple[bytes, int]]:
        return {place: v for place, v in self._values.items() if place.startswith(under)}


# -- keys ---------------------------------------------------------------------------------------


class Keys:
    """The first seals, all open. Shown by their names only."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys:
            raise KeyMissing(f"no key: set {VARIABLE} ({MAKE_ONE})")
        self._keys = {_name(key): AESGCM(key) for key in keys}
        self._first = _name(keys[0])

    def __repr__(self) -> str:
        return f"Keys({self.names})"

    @property
    def names(self) -> str:
        return ", ".join(name.hex() for name in self._keys)

    def seal(self, place: str, value: bytes) -> bytes:
        nonce = os.urandom(NONCE_BYTES)
        sealed = self._keys[self._first].encrypt(nonce, value, SEALED + place.encode())
        return SEALED + self._first + nonce + sealed

    def open(self, place: str, sealed: bytes) -> bytes:
        """SealBroken."""
        name, nonce = sealed[1 : 1 + NAME_BYTES], sealed[1 + NAME_BYTES : HEAD_BYTES]
        if not sealed.startswith(SEALED) or len(sealed) < HEAD_BYTES:
            raise SealBroken(f"{place} holds what this version did not seal: {_again(place)}")
        if name not in self._keys:
            raise SealBroken(
                f"{place} is sealed with key {name.hex()}, here is {self.names}:"
                f" add that key to {VARIABLE}, after a comma, or {_again(place)}"
            )
        try:
            return self._keys[name].decrypt(nonce, sealed[HEAD_BYTES:], SEALED + place.encode())
        except InvalidTag:
            raise SealBroken(
                f"{place} was changed, or moved there from another place: {_again(place)}"
            ) from None

    def current(self, sealed: bytes) -> bool:
        """Whether it is sealed with the key that seals now."""
        return sealed.startswith(SEALED + self._first)


def read_keys(folder: Path, environment: Mapping[str, str], *, make: bool) -> Keys:
    """The keys of STEPFOLD_VAULT_KEY, else that of the file `vault.key` in `folder`. With `make`
    such a file is made when there is none; without (the store is shared by other machines, which
    could not open what such a key seals): KeyMissing.
    """
    written = [word.strip() for word in environment.get(VARIABLE, "").split(",") if word.strip()]
    if written:
        return Keys([_key(each, f"{VARIABLE}: key {n}") for n, each in enumerate(written, 1)])
    path = folder / FILE
    if not path.exists():
        if not make:
            raise KeyMissing(
                f"{VARIABLE} is not set and there is no {path}: the log is a shared server, so all"
                f" its processes need one key ({MAKE_ONE})"
            )
        _make(path)
    return Keys([_read(path)])


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_mode & OTHERS:
            raise KeyRefused(f"{path} can be read by others: `chmod 600 {path}`")
        return _key(path.read_text().strip(), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise KeyMissing(
            f"{path} cannot be read ({type(error).__name__}): {_either(path)}"
        ) from None


def _make(path: Path) -> None:
    """Whole or not at all: of several processes that make it at once one wins."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, new = tempfile.mkstemp(dir=path.parent, prefix=FILE)  # mode 0600
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(base64.b64encode(os.urandom(KEY_BYTES)) + b"\n")
                file.flush()
                os.fsync(file.fileno())
            os.link(new, path)
        finally:
            os.unlink(new)
    except FileExistsError:
        return
    except OSError as error:
        raise KeyMissing(f"{path} cannot be made ({error.strerror}): {_either(path)}") from None


def _key(written: str, where: str) -> bytes:
    try:
        key = base64.b64decode(written.translate(str.maketrans("-_", "+/")), validate=True)
    except (ValueError, binascii.Error):
        key = b""
    if len(key) != KEY_BYTES:
        raise KeyRefused(f"{where} is not {KEY_BYTES} bytes in base64: {MAKE_ONE}")
    return key


def _name(key: bytes) -> bytes:
    """What tells a key from others without telling it."""
    return hashlib.sha256(b"stepfold vault key " + key).digest()[:NAME_BYTES]


def _either(path: Path) -> str:
    return f"mend {path.parent}, or set {VARIABLE}"


def _again(place: str) -> str:
    _, connection, customer = place.split(".")
    return f"authorize again (`stepfold connection authorize {connection} --customer {customer}`)"


# -- the vault ----------------------------------------------------------------------------------


class Vault:
    """Values in the open on this side, sealed ones in the store."""

    def __init__(self, store: Store, keys: Keys) -> None:
        self._store = store
        self._keys = keys

    async def get(self, place: Place) -> Held:
        """SealBroken, VaultAway."""
        where = place.subject
        with _away():
            sealed, revision = await self._store.get(where)
        return Held(self._keys.open(where, sealed) if sealed else None, revision)

    async def put(self, place: Place, value: bytes, *, after: int) -> int:
        """The new revision; LogConflict when another change was first. VaultAway: it may be there,
        or not.
        """
        where = place.subject
        with _away():
            return await self._store.put(where, self._keys.seal(where, value), after=after)

    async def revision(self, place: Place) -> int:
        """The revision of what is there, whether it opens or not."""
        with _away():
            return (await self._store.get(place.subject))[1]

    async def forget(self, place: Place, *, after: int) -> int:
        """Leave nothing there but a revision; LogConflict, VaultAway."""
        with _away():
            return await self._store.put(place.subject, b"", after=after)

    async def customers(self, kind: str, connection: str) -> tuple[str, ...]:
        """Of whom something is kept, in order."""
        under = f"{token('kind', kind)}.{token('connection', connection)}."
        with _away():
            found = await self._store.all(under)
        return tuple(sorted(where.removeprefix(under) for where, (s, _) in found.items() if s))

    async def reseal(self) -> int:
        """Seal with the first key what others have sealed, so that those can go; how many it were.
        SealBroken at the first that does not open.
        """
        with _away():
            found = await self._store.all("")
        old = [(w, s, r) for w, (s, r) in found.items() if s and not self._keys.current(s)]
        for where, sealed, revision in old:
            again = self._keys.seal(where, self._keys.open(where, sealed))
            with _away():
                await self._store.put(where, again, after=revision)
        return len(old)


@contextmanager
def _away() -> Iterator[None]:
    try:
        yield
    except LogUnavailable as error:
        raise VaultAway(f"the sealed tokens cannot be reached now: {error}") from error

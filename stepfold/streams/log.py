"""The log: the one place where steps are kept, and the contract that every log fulfils.

Every append is fenced: it goes only right after the position that was read. Errors:

    LogError
    ├── LogConflict      somebody else appended first: read the tail and decide again
    ├── LogRefused       the log cannot take this step (too large, wrong name): change the step
    ├── ShelfUnreadable  what is current on a shelf is of another version: upgrade, or replace it
    └── LogUnavailable   the server is away or its store is full: try again later
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple, Protocol

from msgspec import Struct
from msgspec.structs import replace

from stepfold.events.envelope import Draft, Entry, kind
from stepfold.events.event import Unreadable
from stepfold.events.steps import Stored
from stepfold.events.wire import UNKNOWN
from stepfold.policy.agent import Agent

BATCH = 1_000


class LogError(Exception):
    """The log could not do what was asked."""


class LogConflict(LogError):
    """Somebody else appended first."""


class LogRefused(LogError):
    """The log cannot take this step."""


class ShelfUnreadable(LogError):
    """What is current on a shelf cannot be read."""


class LogUnavailable(LogError):
    """The server is away, or its store is full."""


class Tail(NamedTuple):
    position: int
    kind: str


NOWHERE = Tail(0, "")


class Log(Protocol):
    async def append(self, drafts: Sequence[Draft], *, after: int) -> tuple[Entry, ...]:
        """Append to one conversation, the first right after position `after` (0 = it is new).

        All or a first part of the drafts are in the log when this raises. Appending a draft again
        whose id is already there, right after `after`, returns the entry that is there.
        """
        ...

    async def read(self, customer: str, conversation: str, *, after: int = 0) -> list[Entry]:
        """A conversation's steps with positions beyond `after`, in order."""
        ...

    async def tail(self, customer: str, conversation: str) -> Tail:
        """Where a conversation ends: its last step's position and kind, NOWHERE when it is new."""
        ...

    def scan(
        self, *, after: int = 0, follow: bool = False
    ) -> AsyncGenerator[Sequence[Stored], None]:
        """All steps beyond `after`, raw, in batches; with `follow` it goes on for ever."""
        ...

    async def last(self) -> int:
        """The position of the log's last step, 0 when it is empty."""
        ...

    async def bury(self, entry: Entry, reason: str) -> None:
        """Keep a step that cannot be handled in the stream of dead letters, with the reason."""
        ...


class Agents(Protocol):
    """Every version of every agent, by digest."""

    async def put(self, agent: Agent) -> str:
        """Keep this version; returns its digest."""
        ...

    async def get(self, digest: str) -> Agent:
        """The version with this digest; AgentUnknown when it was never kept."""
        ...


class FileMissing(LogError):
    """No file of this name was ever kept."""


class FileRefused(LogError):
    """The file is too large."""


class AgentUnknown(LogError):
    """No agent with this digest was ever kept in this log."""


class Shelf(Protocol):
    """Every version of one thing that is configured, as JSON, by the digest of its bytes; and which
    one is current.
    """

    async def put(self, raw: bytes) -> str:
        """Keep this version; returns its digest."""
        ...

    async def get(self, digest: str) -> bytes | None:
        """The version with this digest; None when it was never kept."""
        ...

    async def appoint(self, raw: bytes) -> str:
        """Keep this version, and make it the current one."""
        ...

    async def appointed(self) -> bytes | None:
        """The current version; None when there never was one."""
        ...


class Balance(Struct, frozen=True):
    """What an account has spent, and what is held for calls that run: by call, with the time. `seq`
    is where this stands, 0 when nothing does.
    """

    spent_usd: Decimal = Decimal(0)
    held: dict[str, Hold] = {}
    seq: int = 0

    @property
    def used_usd(self) -> Decimal:
        return self.spent_usd + sum((hold.usd for hold in self.held.values()), Decimal(0))


class Hold(Struct, frozen=True):
    usd: Decimal
    at: datetime


class Balances(Protocol):
    """Accounts that many processes change, each change only right after the one it has seen."""

    async def get(self, account: str) -> Balance: ...

    async def put(self, account: str, balance: Balance) -> Balance:
        """Put `balance` in the place of the one at its `seq`; returns it with its new place.
        LogConflict when another is there.
        """
        ...

    async def all(self) -> dict[str, Balance]: ...


def content_digest(raw: bytes) -> str:
    """The name of bytes that are kept by what they are."""
    return "sha256:" + hashlib.sha256(raw).hexdigest()


class Timers(Protocol):
    async def set(self, customer: str, conversation: str, turn: int, due: datetime) -> None:
        """Have a turn expire at `due`, whatever dies in between. Setting it again replaces it."""
        ...


def chain(entries: Iterable[Entry], after: int) -> Iterator[Entry]:
    """`entries` of one conversation, checked: each was fenced on the one before it.

    A step that was not is unreadable: nobody can tell what its writer had seen.
    """
    for entry in entries:
        yield entry if entry.after in (after, UNKNOWN) else _broken(entry, after)
        after = entry.position


def _broken(entry: Entry, after: int) -> Entry:
    reason = (
        f"broken chain: step {entry.position} says it follows {entry.after},"
        f" but it follows {after};"
        " somebody published to steps.> without the fence, or steps were removed"
    )
    return replace(entry, event=Unreadable(kind=kind(entry.event), reason=reason))

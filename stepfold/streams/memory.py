"""The log in memory: for tests, replay and worlds. It keeps bytes, as the real one does."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Sequence
from datetime import UTC, datetime

from msgspec.structs import replace

from stepfold.events.envelope import Draft, Entry, record
from stepfold.events.names import split_subject
from stepfold.events.steps import Stored
from stepfold.events.wire import decode, encode, subject
from stepfold.policy.agent import Agent, digest
from stepfold.streams.log import (
    BATCH,
    NOWHERE,
    AgentUnknown,
    Balance,
    FileMissing,
    LogConflict,
    Tail,
    chain,
    content_digest,
)

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    return datetime.now(UTC)


class MemoryLog:
    """`clock` gives the time of each append."""

    def __init__(self, clock: Clock = utc_now) -> None:
        self._clock = clock
        self.steps: list[Stored] = []
        self.dead: list[tuple[Entry, str]] = []
        self._of: dict[tuple[str, str], list[int]] = defaultdict(list)

    async def append(self, drafts: Sequence[Draft], *, after: int) -> tuple[Entry, ...]:
        entries: list[Entry] = []
        for draft in drafts:
            entries.append(self._append(draft, after))
            after = entries[-1].position
        return tuple(entries)

    def _append(self, draft: Draft, after: int) -> Entry:
        where = subject(draft)
        positions = self._of[draft.customer, draft.conversation]
        tail = positions[-1] if positions else 0
        if tail != after:
            return self._already(draft, after, tail)
        at, position = self._clock(), len(self.steps) + 1
        payload = encode(draft, at=at, after=after)
        self.steps.append(Stored(position, where, payload, at))
        positions.append(position)
        return record(draft, position=position, at=at, after=after)

    async def append_raw(
        self, subject: str, payload: bytes, *, id: str, after: int, at: datetime | None = None
    ) -> int | None:
        """Append a payload as it is, fenced on `after`: its position, None when another step is
        there. `at` stands in where the payload tells no time.
        """
        customer, conversation, _ = split_subject(subject)
        positions = self._of[customer, conversation]
        if (positions[-1] if positions else 0) != after:
            return None
        self.steps.append(Stored(len(self.steps) + 1, subject, payload, at or self._clock()))
        positions.append(len(self.steps))
        return len(self.steps)

    def _already(self, draft: Draft, after: int, tail: int) -> Entry:
        for position in self._of[draft.customer, draft.conversation]:
            if position > after:
                entry = self._entry(position)
                if entry.id == draft.id:
                    return entry
        raise LogConflict(
            f"conversation {draft.customer}/{draft.conversation} is at {tail}, not at {after}"
        )

    def _entry(self, position: int) -> Entry:
        stored = self.steps[position - 1]
        return decode(stored.subject, stored.payload, position=position, at=stored.at)

    def inject(self, subject: str, payload: bytes) -> int:
        """What a stranger would do: publish any bytes on any subject, without a fence."""
        self.steps.append(Stored(len(self.steps) + 1, subject, payload, self._clock()))
        words = subject.split(".")
        self._of[words[1], words[2]].append(len(self.steps))
        return len(self.steps)

    async def read(self, customer: str, conversation: str, *, after: int = 0) -> list[Entry]:
        positions = [p for p in self._of[customer, conversation] if p > after]
        return list(chain(map(self._entry, positions), after))

    async def tail(self, customer: str, conversation: str) -> Tail:
        positions = self._of[customer, conversation]
        if not positions:
            return NOWHERE
        return Tail(positions[-1], self.steps[positions[-1] - 1].subject.split(".", 3)[3])

    async def scan(
        self, *, after: int = 0, follow: bool = False
    ) -> AsyncGenerator[Sequence[Stored], None]:
        if follow:
            raise ValueError("the memory log cannot be followed: scan it again instead")
        for start in range(after, len(self.steps), BATCH):
            yield self.steps[start : start + BATCH]

    async def last(self) -> int:
        return len(self.steps)

    async def bury(self, entry: Entry, reason: str) -> None:
        self.dead.append((entry, reason))


class MemoryAgents:
    def __init__(self, *agents: Agent) -> None:
        self._agents = {digest(agent): agent for agent in agents}

    async def put(self, agent: Agent) -> str:
        self._agents[digest(agent)] = agent
        return digest(agent)

    async def get(self, digest: str) -> Agent:
        if digest not in self._agents:
            raise AgentUnknown(f"no agent with digest {digest} was ever kept in this log")
        return self._agents[digest]


class MemoryShelf:
    def __init__(self) -> None:
        self._versions: dict[str, bytes] = {}
        self._current: bytes | None = None

    async def put(self, raw: bytes) -> str:
        self._versions[content_digest(raw)] = raw
        return content_digest(raw)

    async def get(self, digest: str) -> bytes | None:
        return self._versions.get(digest)

    async def appoint(self, raw: bytes) -> str:
        self._current = raw
        return await self.put(raw)

    async def appointed(self) -> bytes | None:
        return self._current


class MemoryBalances:
    def __init__(self) -> None:
        self._accounts: dict[str, Balance] = {}
        self._seq = 0

    async def get(self, account: str) -> Balance:
        return self._accounts.get(account, Balance())

    async def put(self, account: str, balance: Balance) -> Balance:
        if (await self.get(account)).seq != balance.seq:
            raise LogConflict(f"account {account}: another change was first")
        self._seq += 1
        self._accounts[account] = replace(balance, seq=self._seq)
        return self._accounts[account]

    async def all(self) -> dict[str, Balance]:
        return dict(self._accounts)


class MemoryTimers:
    """Timers that whoever owns them fires: `due` holds what was set and when it is due."""

    def __init__(self) -> None:
        self.due: dict[tuple[str, str, int], datetime] = {}

    async def set(self, customer: str, conversation: str, turn: int, due: datetime) -> None:
        self.due[customer, conversation, turn] = due


class MemoryFiles:
    """Implements Files: bytes by their name."""

    def __init__(self) -> None:
        self._kept: dict[str, bytes] = {}

    async def put(self, data: bytes) -> str:
        name = content_digest(data)
        self._kept[name] = data
        return name

    async def get(self, name: str) -> bytes:
        """FileMissing."""
        if name not in self._kept:
            raise FileMissing(f"file {name} is not in this log's object store")
        return self._kept[name]

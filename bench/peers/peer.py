"""The contract of a peer: one system that holds many conversations and keeps them.

A peer is tuned as an expert of that system would tune it, and says in `arrangement` how. It counts
every call of its model and its tool, so that the bench can tell that the work was really done.
"""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

MODEL_CALLS = 2
TOOL_CALLS = 1
STEPS = 4

Store = Literal["sqlite", "postgres", "memory"]
Sync = Literal["interval", "every"]


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a peer keeps conversations; `sync` says what a commit survives.

    `interval`: a killed worker loses nothing, a power cut may lose the last moments (SQLite with
    `synchronous=NORMAL` in WAL, PostgreSQL with `synchronous_commit=off`).
    `every`: each commit is on the disk before it counts.
    """

    folder: Path
    sync: Sync
    postgres: str = ""
    worker: int = 0


@dataclass
class Calls:
    """How often the instant model and the instant tool have run in this process."""

    model: int = 0
    tool: int = 0


class Talk(Protocol):
    """An open peer."""

    calls: Calls

    async def turn(self, conversation: int, turn: int) -> str:
        """Send the turn's question; the answer, once everything about it is stored."""

    async def texts(self, conversation: int, turns: int) -> list[str]:
        """Read the conversation from the store, in the form of `bench.conversation.texts`."""


class Peer(Protocol):
    name: str
    store: Store
    durable: str
    arrangement: str
    distributions: tuple[str, ...]

    def open(self, place: Place) -> AbstractAsyncContextManager[Talk]: ...

"""A file of steps appended to a log, each as it was: id, time, cause, author and event.

ArchiveError
└── ConversationDiffers    the log holds other steps of it; nothing was written
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Protocol

from msgspec import Struct

from stepfold.events.envelope import Entry
from stepfold.events.event import Unreadable
from stepfold.events.wire import decode
from stepfold.streams.archive import Archive, ArchiveError, Key, Line, entries
from stepfold.streams.log import Agents, Log, LogConflict, Shelf


class ConversationDiffers(ArchiveError):
    """The log already holds other steps of a conversation."""


class RestorableLog(Log, Protocol):
    async def append_raw(
        self, subject: str, payload: bytes, *, id: str, after: int, at: datetime | None = None
    ) -> int | None:
        """Append a payload as it is, fenced on `after`: its position; None when another step is
        there already. `id` may be empty: the fence alone makes trying again safe. `at` is its time
        where the payload tells none.
        """
        ...


class Restored(Struct, frozen=True):
    """`steps` were appended, `there` were in the log already, `strays` belong to no conversation
    and cannot be appended.
    """

    conversations: int
    steps: int
    there: int
    strays: int


async def restore(archive: Archive, log: RestorableLog, agents: Agents, routes: Shelf) -> Restored:
    """Append an archive's steps to a log, each as it was: id, time, cause, author and event.

    The whole file is checked before anything is written. What is there already is skipped, so that
    a second run finishes the first. Stop the workers of the log before: a worker that meets a
    request whose outcome is not yet restored would do it again.
    """
    there = await _compare(archive, log)
    for agent in archive.agents.values():
        await agents.put(agent)
    for table in archive.routes.values():
        await routes.put(table)
    done: Counter[Key] = Counter()
    last: dict[Key, int] = {}
    skipped = strays = 0
    for line in archive.lines():
        key = line.key
        if key is None:
            strays += 1
            continue
        index, after = done[key], last.get(key, 0)
        done[key] += 1
        if index < len(there[key]):
            last[key] = there[key][index]
            skipped += 1
        else:
            last[key] = await _append(log, line, key, after)
    return Restored(len(done), done.total() - skipped, skipped, strays)


async def _compare(archive: Archive, log: Log) -> dict[Key, list[int]]:
    """The positions of what the log holds of each conversation, all of it in the archive too."""
    held: dict[Key, list[Entry]] = {}
    done: Counter[Key] = Counter()
    for mine in entries(archive):
        key = mine.key
        if key not in held:
            held[key] = await log.read(*key) if (await log.tail(*key)).position else []
        index = done[key]
        done[key] += 1
        if index < len(held[key]) and not _same(mine, held[key][index]):
            raise ConversationDiffers(
                f"conversation {'/'.join(key)} is already in the log, and its step {index + 1} is"
                f" another than in {archive.name}: restore into an empty log"
            )
    return {key: [entry.position for entry in found] for key, found in held.items()}


def _same(mine: Entry, theirs: Entry) -> bool:
    if mine.id != theirs.id:
        return False
    if isinstance(mine.event, Unreadable) and isinstance(theirs.event, Unreadable):
        return mine.event.kind == theirs.event.kind
    return (mine.event, mine.cause, mine.by) == (theirs.event, theirs.cause, theirs.by)


async def _append(log: RestorableLog, line: Line, key: Key, after: int) -> int:
    payload = line.payload(after)
    told = line.at if line.raw is not None else None
    position = await log.append_raw(line.subject, payload, id="", after=after, at=told)
    if position is not None:
        return position
    mine = decode(line.subject, payload, position=0, at=line.at)
    found = await log.read(*key, after=after)
    if found and _same(mine, found[0]):
        return found[0].position
    raise LogConflict(
        f"conversation {'/'.join(key)}: somebody appended after step {after} while it was restored;"
        " stop the workers, then restore again"
    )

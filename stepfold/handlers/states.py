"""The states of conversations that a worker holds, brought up to date with as little reading as it
takes: none when the step is the next one, the tail when others were there, the whole when unknown.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from stepfold.events.envelope import Draft, Entry
from stepfold.events.event import ApprovalRequested, ToolStarted
from stepfold.handlers.decide import BY
from stepfold.projections.conversation import evolve
from stepfold.projections.state import EMPTY, Conversation, without_text
from stepfold.streams.log import Log

ITEMS_MAX = 200_000
"""How many transcript items the cached states may hold together."""
IDLE_S = 60.0
"""A state is forgotten when nobody has wanted its conversation for so long: to read it again takes
milliseconds.
"""


class Start(Struct, frozen=True):
    """By which process a call was started, when, and how often it has been."""

    worker: str
    at: datetime
    number: int = 1


class Known(Struct, frozen=True):
    """A conversation as of `position`, the place of its `last` step. `cause` is the last one that
    was not a decision: what is decided now follows from it. `opened` is when the latest turn was,
    or went on after people were asked; `waits` are the calls that they are asked about, with the
    time until which they may agree; `starts` are the last starts of calls without an outcome.
    """

    state: Conversation = EMPTY
    position: int = 0
    cause: Draft | None = None
    opened: datetime | None = None
    last: Entry | None = None
    waits: Mapping[str, datetime] = {}
    starts: Mapping[str, Start] = {}


def advance(known: Known, entries: Iterable[Entry]) -> Known:
    state, position, cause, opened = known.state, known.position, known.cause, known.opened
    last, waits, starts = known.last, known.waits, known.starts
    for entry in entries:
        if entry.position <= position:
            continue
        turns = state.turns
        state = evolve(state, entry.event)
        position, last = entry.position, entry
        cause = cause if cause is not None and entry.by == BY else entry
        starts = _starts(starts, state, entry)
        waited, waits = waits, _waits(waits, state, entry)
        opened = entry.at if state.turns > turns or (waited and not waits) else opened
    return Known(state, position, cause, opened, last, waits, starts)


def _starts(starts: Mapping[str, Start], state: Conversation, entry: Entry) -> Mapping[str, Start]:
    """Of the calls that have begun and not ended after `entry`, the last start of each."""
    event = entry.event
    if isinstance(event, ToolStarted):
        before = starts.get(event.call)
        start = Start(event.worker, entry.at, before.number + 1 if before else 1)
        starts = {**starts, event.call: start}
    if len(starts) <= len(state.begun):
        return starts
    return {call: start for call, start in starts.items() if call in state.begun}


def _waits(
    waits: Mapping[str, datetime], state: Conversation, entry: Entry
) -> Mapping[str, datetime]:
    """What people are still asked about, after `entry`."""
    event = entry.event
    if isinstance(event, ApprovalRequested):
        waits = {**waits, event.call: entry.at + timedelta(seconds=event.expires_s)}
    if not waits:
        return waits
    pending = {request.call for request in state.turn.pending} if state.turn else set()
    return {call: due for call, due in waits.items() if call in pending}


class States:
    """`text`: whether what was said and found is kept too, for who makes prompts of it."""

    def __init__(
        self,
        log: Log,
        *,
        text: bool = True,
        items_max: int = ITEMS_MAX,
        idle_s: float = IDLE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._text = text
        self._items_max = items_max
        self._idle_s = idle_s
        self._clock = clock
        self._items = 0
        self._known: OrderedDict[tuple[str, str], Known] = OrderedDict()
        self._kept: dict[tuple[str, str], float] = {}

    async def including(self, entry: Entry) -> Known:
        """The conversation's state as of `entry` or later."""
        known = self._known.get(entry.key)
        if known is None or not known.position:
            return await self.refresh(*entry.key)
        if known.position >= entry.position:
            return known
        if entry.after == known.position:
            return self.keep(entry.key, advance(known, (entry,)))
        return await self.refresh(*entry.key)

    def latest(self, key: tuple[str, str], known: Known) -> Known:
        """`known`, or what this process has learnt since."""
        return max(known, self._known.get(key, known), key=_position)

    def cached(self, customer: str, conversation: str) -> Known:
        """The conversation's state as this process last saw it."""
        return self._known.get((customer, conversation), Known())

    async def refresh(self, customer: str, conversation: str) -> Known:
        """The conversation's state as of now."""
        key = customer, conversation
        known = self._known.get(key, Known())
        tail = await self._log.read(customer, conversation, after=known.position)
        return self.keep(key, advance(known, tail))

    def keep(self, key: tuple[str, str], known: Known) -> Known:
        """Remember `known`, unless a later state is known by now; returns the later one."""
        before = self._known.pop(key, None)
        if before is not None:
            self._items -= _weight(before)
            known = max(before, known, key=_position)
        if not self._text:
            known = replace(known, state=without_text(known.state))
        now = self._clock()
        self._known[key], self._kept[key] = known, now
        self._items += _weight(known)
        while len(self._known) > 1 and (self._items > self._items_max or self._idle(now)):
            oldest, forgotten = self._known.popitem(last=False)
            self._items -= _weight(forgotten)
            del self._kept[oldest]
        return known

    def _idle(self, now: float) -> bool:
        """Has nobody wanted the oldest one for long?"""
        return now - self._kept[next(iter(self._known))] > self._idle_s


def _position(known: Known) -> int:
    return known.position


def _weight(known: Known) -> int:
    return 1 + len(known.state.transcript)

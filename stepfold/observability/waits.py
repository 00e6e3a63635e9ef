"""How long contacts wait: from the first message that a turn hears to the turn's end. Pure."""

from __future__ import annotations

from collections import OrderedDict
from datetime import datetime

from msgspec import Struct

from stepfold.events.envelope import Entry
from stepfold.events.event import (
    ConversationStopped,
    MessageReceived,
    ReasonRequested,
    ResponseGiven,
    TurnAbandoned,
    TurnCancelled,
)

OPEN_MAX = 100_000
"""Of how many conversations it is remembered; the one that moved longest ago is forgotten first."""


class Waited(Struct, frozen=True):
    outcome: str
    seconds: float


class _Wait(Struct, frozen=True):
    """`unheard` is since when a message waits to be heard, `turn` runs since `begun`."""

    unheard: datetime | None = None
    turn: int = 0
    begun: datetime | None = None


class Waits:
    """Takes the steps of any number of conversations. Who waited since before the first of them is
    not counted.
    """

    def __init__(self) -> None:
        self._waits: OrderedDict[tuple[str, str], _Wait] = OrderedDict()

    def take(self, entry: Entry) -> Waited | None:
        """How long the turn took that ends with this step."""
        before = self._waits.pop(entry.key, _Wait())
        after, waited = _advance(before, entry)
        if after.unheard or after.begun:
            self._waits[entry.key] = after
            if len(self._waits) > OPEN_MAX:
                self._waits.popitem(last=False)
        return waited


def _advance(wait: _Wait, entry: Entry) -> tuple[_Wait, Waited | None]:
    match entry.event:
        case MessageReceived():
            return _Wait(wait.unheard or entry.at, wait.turn, wait.begun), None
        case ReasonRequested(shadow=False) as event:
            begun = wait.begun if wait.turn == event.turn else wait.unheard
            return _Wait(None if event.heard else wait.unheard, event.turn, begun), None
        case ResponseGiven(turn=turn):
            return _end(wait, turn, "answered", entry.at)
        case TurnAbandoned(turn=turn):
            return _end(wait, turn, "abandoned", entry.at)
        case TurnCancelled(turn=turn):
            return _end(wait, turn, "cancelled", entry.at)
        case ConversationStopped():
            return _Wait(), _end(wait, wait.turn, "stopped", entry.at)[1]
        case _:
            return wait, None


def _end(wait: _Wait, turn: int, outcome: str, at: datetime) -> tuple[_Wait, Waited | None]:
    """A turn may be given up before its first ask: then its message was not heard by an ask."""
    if wait.turn == turn and wait.begun:
        return _Wait(wait.unheard), Waited(outcome, (at - wait.begun).total_seconds())
    if outcome == "abandoned" and not wait.begun and wait.unheard:
        return _Wait(), Waited(outcome, (at - wait.unheard).total_seconds())
    return wait, None

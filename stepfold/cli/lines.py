"""Steps as lines: when, what, who did it in few words, how much it cost."""

from __future__ import annotations

from datetime import datetime

from rich.cells import cell_len

from stepfold.cli.screen import cut, lapse, pad, price, say, styled, width
from stepfold.cli.words import Priced, words
from stepfold.events.envelope import Entry, kind

WHEN, WHAT = 7, 20
_OUTSTANDING = frozenset({"message.received", "response.given"})


def say_step(entry: Entry, *, since: datetime, told: str = "") -> None:
    """One line: the time since `since`, the kind, who and what (or `told`), the price of work."""
    ms = (entry.at - since).total_seconds() * 1000
    say_line(lapse(max(ms, 0)), entry, told=told)


def say_line(when: str, entry: Entry, *, room_when: int = WHEN, told: str = "") -> None:
    event, what = entry.event, kind(entry.event)
    cost = price(event.cost_usd) if isinstance(event, Priced) else ""
    room = width() - 1 - room_when - 1 - WHAT - 2
    said = cut(told or words(event), room - (cell_len(cost) + 1 if cost else 0))
    line = f"{pad(what, WHAT)}  {pad(said, room - cell_len(cost))}{cost}".rstrip()
    say(f"{styled(when.rjust(room_when), dim=True)} {styled(line, bold=what in _OUTSTANDING)}")

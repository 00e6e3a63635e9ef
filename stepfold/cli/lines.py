"""Steps as lines: when, what, who did it in few words, how much it cost."""

from __future__ import annotations

from datetime import datetime

from rich.cells import cell_len

from stepfold.cli.screen import cut, lapse, pad, price, say, styled, width
from stepfold.cli.words import Priced, words
from stepfold.events.envelope import Entry, kind

WHEN, WHAT = 7, 20
_OUTSTANDING = frozenset({"message.received", "response.given"})


def say_step(entry: Entry, *, since: datetime) -> None:
    """One line: milliseconds since `since`, the kind, who and what, the price of work that has one.
    """
    ms = (entry.at - since).total_seconds() * 1000
    say_line(lapse(max(ms, 0)), entry)


def say_line(when: str, entry: Entry, *, room_when: int = WHEN) -> None:
    event, what = entry.event, kind(entry.event)
    cost = price(event.cost_usd) if isinstance(event, Priced) else ""
    room = width() - 1 - room_when - 1 - WHAT - 2
    said = cut(words(event), room - (cell_len(cost) + 1 if cost else 0))
    line = f"{pad(what, WHAT)}  {pad(said, room - cell_len(cost))}{cost}".rstrip()
    say(f"{styled(when.rjust(room_when), dim=True)} {styled(line, bold=what in _OUTSTANDING)}")

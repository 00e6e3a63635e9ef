"""Delivers one step after the other, to stop where a crash, a race or a forger comes in."""

from __future__ import annotations

from stepfold.events.envelope import Entry, first
from stepfold.events.event import Event
from stepfold.handlers.decide import BY
from stepfold.testing import CUSTOMER, Arrangement

KEY = (CUSTOMER, "c1")


async def until(arrangement: Arrangement, kind: type[Event], *, call: str = "") -> Entry:
    """The first step of this kind, of this call if it is named, before anybody has taken it."""
    delivered = 0
    while True:
        entries = await arrangement.log.read(*KEY)
        for entry in entries:
            about = getattr(entry.event, "call", "")
            if isinstance(entry.event, kind) and about.startswith(call):
                return entry
        await arrangement.shell.take(entries[delivered])
        delivered += 1


async def forge(arrangement: Arrangement, event: Event) -> Entry:
    """A step that somebody else wrote under the agent's name, where the log ends now."""
    tail = await arrangement.log.tail(*KEY)
    draft = first(*KEY, event, by=BY, key=f"forged at {tail.position}")
    (entry,) = await arrangement.log.append([draft], after=tail.position)
    return entry


async def happened(arrangement: Arrangement, *kinds: type[Event]) -> list[Event]:
    """The steps of these kinds so far, in order."""
    return [event for event in (await arrangement.rest()).events if isinstance(event, kinds)]

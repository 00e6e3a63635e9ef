"""Which messages on Slack are ours: kept beside the log, as soon as Slack has named them. Whoever
goes on with what another process began finds them here, and touches no others.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import Struct

from stepfold.channels.slack.names import CHANNEL
from stepfold.events.names import token
from stepfold.streams.log import LogConflict, LogUnavailable
from stepfold.tools.vault import Store

RACES_MAX = 100
SHOWN_MAX = 100
"""How much of a conversation is remembered; of what is older only the log knows."""


class Shown(Struct, frozen=True, omit_defaults=True):
    """Where something stands: the time stamps of its messages, in order. `over`: all of it is
    there, and will not change.
    """

    pages: tuple[str, ...] = ()
    over: bool = False


class Kept:
    """What is kept of one conversation. LogUnavailable."""

    def __init__(self, store: Store, customer: str, conversation: str) -> None:
        self._store = store
        self._place = (
            f"{CHANNEL}.{token('customer', customer)}.{token('conversation', conversation)}"
        )
        self._known: tuple[Mapping[str, Shown], int] | None = None

    async def get(self, key: str, *, again: bool = False) -> Shown:
        """What is called `key`; `again`: as others have left it by now."""
        if again:
            self._known = None
        shown, _ = await self._read()
        return shown.get(key, Shown())

    async def claimed(self) -> frozenset[str]:
        """All messages that are somebody's already."""
        shown, _ = await self._read()
        return frozenset(ts for each in shown.values() for ts in each.pages)

    async def keep(self, key: str, told: Shown) -> None:
        for _ in range(RACES_MAX):
            shown, revision = await self._read()
            if shown.get(key) == told:
                return
            rest = {each: value for each, value in shown.items() if each != key}
            made = dict([*rest.items(), (key, told)][-SHOWN_MAX:])
            try:
                after = await self._store.put(
                    self._place, msgspec.json.encode(made), after=revision
                )
            except LogConflict:
                self._known = None
                continue
            self._known = made, after
            return
        raise LogUnavailable(f"{self._place} is changed all the time: try again")

    async def _read(self) -> tuple[Mapping[str, Shown], int]:
        if self._known is None:
            raw, revision = await self._store.get(self._place)
            known = msgspec.json.decode(raw, type=dict[str, Shown]) if raw else {}
            self._known = known, revision
        return self._known

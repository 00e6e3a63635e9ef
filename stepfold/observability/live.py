"""Tells spans while the log grows: an observer that is told of each step that may make one final.

Processes share the observer's place in the log, so each step's spans are told by one of them; when
it dies before they arrived, by another.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable

from stepfold.events.envelope import Entry
from stepfold.handlers.observer import Observer
from stepfold.observability.span import Span
from stepfold.observability.spans import START, Spans, Tracing, advance
from stepfold.streams.log import Log

NAME = "traces"
KINDS = (
    *("response.given", "turn.abandoned", "turn.cancelled", "conversation.stopped"),
    *("reason.finished", "reason.failed", "retrieval.returned", "retrieval.failed"),
    *("tool.returned", "tool.failed", "tool.refused", "tool.unknown"),
    *("generation.finished", "generation.failed", "generation.abandoned"),
)
"""What ends a turn or a job; and outcomes, which may come when their turn is over."""
CONVERSATIONS_MAX = 2_000
SPANS_MAX = 20_000
"""How much is remembered, so that a conversation is not read from its beginning at each step."""

Tell = Callable[[Spans], Awaitable[None]]


def traces(log: Log, tell: Tell) -> Observer:
    return Observer(NAME, KINDS, Telling(log, tell).see)


class Telling:
    """`tell` raises when the spans did not arrive: then the step is told again, and so are they."""

    def __init__(self, log: Log, tell: Tell) -> None:
        self._log = log
        self._tell = tell
        self._known: OrderedDict[tuple[str, str], _Known] = OrderedDict()
        self._spans = 0

    async def see(self, entry: Entry) -> None:
        known = self._take(entry)
        if known.position < entry.position:
            known.read(await self._log.read(*entry.key, after=known.position))
        told = known.untold.get(entry.position, ())
        if told:
            await self._tell(told)
            del known.untold[entry.position]
        self._keep(entry.key, known)

    def _take(self, entry: Entry) -> _Known:
        """What is known of its conversation; nothing, when that begins only after this step."""
        known = self._known.pop(entry.key, None)
        if known is None:
            return _Known(entry.position)
        self._spans -= known.weight
        return known if known.begin <= entry.position else _Known(entry.position)

    def _keep(self, key: tuple[str, str], known: _Known) -> None:
        self._known[key] = known
        self._spans += known.weight
        while len(self._known) > CONVERSATIONS_MAX or self._spans > SPANS_MAX:
            _, oldest = self._known.popitem(last=False)
            self._spans -= oldest.weight


class _Known:
    """One conversation up to `position`; of its spans those that became final from `begin` on, by
    the step that made them so, as long as this process did not tell them.
    """

    def __init__(self, begin: int) -> None:
        self.begin = begin
        self.position = 0
        self.untold: dict[int, tuple[Span, ...]] = {}
        self._state: Tracing = START

    def read(self, entries: list[Entry]) -> None:
        for entry in entries:
            self._state, told = advance(self._state, entry)
            self.position = entry.position
            if told and entry.position >= self.begin:
                self.untold[entry.position] = told

    @property
    def weight(self) -> int:
        waiting = sum(len(root.below) for root in self._state.running)
        return waiting + sum(map(len, self.untold.values()))

"""Tells spans while the log grows: a lane of each step that may make one final.

Processes share the lane, so each step's spans are told by one of them; when it dies before they
arrived, by another. A step is done when the receiver has its spans, however long that takes.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from weakref import WeakValueDictionary

from stepfold.events.envelope import Entry
from stepfold.observability.otlp import ExportRefused, PartRejected, ReceiverAway
from stepfold.observability.span import Span
from stepfold.observability.spans import START, Spans, Tracing, advance
from stepfold.streams.log import Log, LogUnavailable

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

AGAIN_S = 1.0
"""How long a step is kept in hand when its spans did not arrive; the sender has tried by then."""
REFUSED_S, REFUSED_S_MAX = 10.0, 600.0
"""How long a step is left alone whose spans were refused, times how often; at most."""

AT_ONCE = 64
"""How many steps a process has in hand at most: their spans go together."""

Key = tuple[str, str]
Tell = Callable[[Spans], Awaitable[object]]
log = logging.getLogger("stepfold.traces")


class Live:
    """While the receiver is away it keeps what it has in hand, and the rest stays in the log.
    `stop` lets go of it.
    """

    def __init__(self, steps: Log, tell: Tell) -> None:
        self._telling = Telling(steps, tell)
        self._stopping = asyncio.Event()
        self._said = ""

    async def take(self, entry: Entry, *, deliveries: int) -> float | None:
        """None = its spans are told; else hand it over again in so many seconds."""
        try:
            told = await self._telling.see(entry)
        except (ReceiverAway, LogUnavailable) as error:
            self._say(f"the traces wait: {error}")
            await self._pause()
            return 0.0
        except PartRejected as error:  # told again it would be rejected again
            log.error("spans of %s/%s, step %d: %s", *entry.key, entry.position, error)
            return None
        except ExportRefused as error:
            self._say(f"the traces wait: {error}")
            return min(deliveries * REFUSED_S, REFUSED_S_MAX)
        if told:
            self._say("")
        return None

    def stop(self) -> None:
        self._stopping.set()

    async def _pause(self) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), AGAIN_S)

    def _say(self, what: str) -> None:
        """Once, however long it lasts."""
        if what != self._said and not self._stopping.is_set():
            log.warning("%s", what or "the traces go on")
            self._said = what


class Telling:
    """`tell` raises when the spans did not arrive: then the step is told again, and so are they."""

    def __init__(self, log: Log, tell: Tell) -> None:
        self._log = log
        self._tell = tell
        self._known: OrderedDict[Key, _Known] = OrderedDict()
        self._spans = 0
        self._one_at_a_time: WeakValueDictionary[Key, asyncio.Lock] = WeakValueDictionary()

    async def see(self, entry: Entry) -> int:
        """How many spans were told."""
        async with self._one_at_a_time.setdefault(entry.key, asyncio.Lock()):
            return await self._see(entry)

    async def _see(self, entry: Entry) -> int:
        known = self._take(entry)
        if known.position < entry.position:
            known.read(await self._log.read(*entry.key, after=known.position))
        told = known.untold.get(entry.position, ())
        if told:
            await self._tell(told)
            del known.untold[entry.position]
        self._keep(entry.key, known)
        return len(told)

    def _take(self, entry: Entry) -> _Known:
        """What is known of its conversation; nothing, when that begins only after this step."""
        known = self._known.pop(entry.key, None)
        if known is None:
            return _Known(entry.position)
        self._spans -= known.weight
        return known if known.begin <= entry.position else _Known(entry.position)

    def _keep(self, key: Key, known: _Known) -> None:
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

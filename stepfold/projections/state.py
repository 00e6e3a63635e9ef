"""What is known of a conversation: the shapes that its steps are folded into, and small changes."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from stepfold.events.event import (
    ApprovalRequested,
    GenerationFailed,
    GenerationRequested,
    Reasoned,
    ReasonFailed,
    Request,
    Unreadable,
)
from stepfold.events.transcript import Heard, Item
from stepfold.events.values import Passage, ToolCall

ZERO = Decimal(0)


class Agreement(Struct, frozen=True):
    """Whether people agree to a call: who did, or why it must not be (`refused`)."""

    request: ApprovalRequested
    people: tuple[str, ...] = ()
    refused: str = ""

    @property
    def complete(self) -> bool:
        return not self.refused and len(self.people) >= self.request.people

    @property
    def pending(self) -> bool:
        return not self.refused and not self.complete


class Turn(Struct, frozen=True):
    """The running turn. `thinking` is the call of the open ask; it goes to `model`, has `offered`
    these tools and has so many `shadows`. `wanted` is what its answer called, `agreements` are of
    those calls that need some; `read` is whose text had been read when they were wanted. `contact`
    is who is heard in it, empty when nobody told or several are. `ruled_out` are the models that
    cannot do this ask; `compacted` says that its prompt was cut.
    """

    number: int
    asks: int = 0
    attempt: int = 0
    thinking: str = ""
    wanted: tuple[ToolCall, ...] = ()
    settled: frozenset[str] = frozenset()
    answer: Reasoned | None = None
    failure: ReasonFailed | None = None
    spent_usd: Decimal = ZERO
    expired: bool = False
    model: str = ""
    offered: tuple[str, ...] = ()
    shadows: int = 0
    ruled_out: frozenset[str] = frozenset()
    compacted: bool = False
    agreements: Mapping[str, Agreement] = {}
    read: frozenset[str] = frozenset()
    contact: str = ""

    @property
    def pending(self) -> tuple[ApprovalRequested, ...]:
        """The calls that wait for people."""
        return tuple(each.request for each in self.agreements.values() if each.pending)

    @property
    def waiting(self) -> bool:
        return any(call.call not in self.settled for call in self.wanted)


class Job(Struct, frozen=True):
    """A generation without its end: the latest attempt, and how that failed. `ruled_out` are the
    models that cannot do it.
    """

    request: GenerationRequested
    failure: GenerationFailed | None = None
    ruled_out: frozenset[str] = frozenset()


class Conversation(Struct, frozen=True):
    """`open` holds every request without its outcome, of any turn; `begun` the tools that started.

    `turns` and `asked` count what there has been, so that the next turn and call can be named.
    `characters` is how much of it a model would be shown, of which the last `compact` are when that
    is not 0; `files` says whether an image or a document is among it. `read` is whose text stands
    in it: names of tools, and the sources of `events.transcript`.
    """

    agent: str = ""
    channel: str = ""
    language: str = ""
    characters: int = 0
    compact: int = 0
    files: bool = False
    digest: str = ""
    origin: str = ""
    transcript: tuple[Item, ...] = ()
    unheard: tuple[Heard, ...] = ()
    turn: Turn | None = None
    turns: int = 0
    asked: int = 0
    open: Mapping[str, Request] = {}
    jobs: Mapping[str, Job] = {}
    begun: frozenset[str] = frozenset()
    passages: tuple[Passage, ...] = ()
    messages: tuple[str, ...] = ()
    spent_usd: Decimal = ZERO
    stopped: str = ""
    unreadable: Unreadable | None = None
    read: frozenset[str] = frozenset()


EMPTY = Conversation()


def without_text(state: Conversation) -> Conversation:
    """Where it stands, without what was said and found: later steps are folded into it all the
    same, and it does not grow.
    """
    if not state.transcript and not state.passages:
        return state
    return replace(state, transcript=(), passages=())


def current(state: Conversation, turn: int) -> bool:
    return state.turn is not None and state.turn.number == turn


def in_turn(state: Conversation, number: int, **changes: Any) -> Conversation:
    """Nothing changes where another turn runs."""
    if state.turn is None or state.turn.number != number:
        return state
    return replace(state, turn=replace(state.turn, **changes))


def close(state: Conversation, call: str) -> Conversation:
    """The request has its outcome."""
    if call not in state.open:
        return state
    return replace(state, open={key: event for key, event in state.open.items() if key != call})


def spend(state: Conversation, cost: Decimal | None, *, turn: int = 0) -> Conversation:
    """USD; what nobody could price adds nothing."""
    if not cost or not cost.is_finite():
        return state
    state = replace(state, spent_usd=state.spent_usd + cost)
    running = state.turn
    if running is None or running.number != turn:
        return state
    return replace(state, turn=replace(running, spent_usd=running.spent_usd + cost))

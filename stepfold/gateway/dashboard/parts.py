"""What a timeline is made of: what was said, what was done, and the rest."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Literal

from msgspec import Struct

from stepfold.events.envelope import Entry
from stepfold.events.event import (
    ApprovalRequested,
    CodeRequested,
    Generated,
    GenerationFailed,
    GenerationRequested,
    Reasoned,
    ReasonFailed,
    ReasonRequested,
    ResponseGiven,
    RetrievalFailed,
    RetrievalRequested,
    RetrievalReturned,
    ToolFailed,
    ToolRefused,
    ToolRequested,
    ToolReturned,
    ToolUnknown,
    TurnAbandoned,
    TurnCancelled,
)
from stepfold.events.values import Choice, Citation, Passage

Tone = Literal["good", "bad", "warn", "busy", "calm"]
What = Literal["ask", "tool", "search", "code", "generation"]
Priced = Reasoned | ReasonFailed | Generated | GenerationFailed
Searched = RetrievalReturned | RetrievalFailed
Asked = ReasonRequested | GenerationRequested
Outcome = (
    Reasoned | ReasonFailed | Generated | GenerationFailed | ToolReturned | ToolFailed
    | ToolRefused | ToolUnknown | RetrievalReturned | RetrievalFailed
)  # fmt: skip
Over = TurnAbandoned | TurnCancelled | ResponseGiven
WAITS = "waits for people"
NO_REASON = "the model was named, no route was asked"


class Slice(Struct, frozen=True):
    """A piece of a passage; `quoted` when an answer cites it."""

    text: str
    quoted: bool


class Found(Struct, frozen=True):
    """A passage that a search returned."""

    passage: Passage
    slices: tuple[Slice, ...]
    quoted: bool


class Offered(Struct, frozen=True):
    """A tool that a model was shown, and what became of its calls of it; `refused` says why a call
    was not permitted. A tool that was called and not offered is `offered` false.
    """

    name: str
    calls: int = 0
    refused: str = ""
    offered: bool = True


class Move(Struct, frozen=True):
    """`steps` are all entries under the call; `choice` says why this model."""

    what: What
    call: str
    title: str
    status: str
    tone: Tone
    steps: tuple[Entry, ...]
    elapsed_ms: float | None
    offset_ms: float
    cost_usd: Decimal | None
    unpriced: int
    reason: str = ""
    choice: Choice | None = None
    why: str = ""
    shadow: bool = False
    attempt: int = 1
    offered: tuple[Offered, ...] = ()
    found: tuple[Found, ...] = ()

    @property
    def first(self) -> Entry:
        return self.steps[0]

    def latest(self, *types: type) -> object:
        """The event of the last step of one of these types; None without one."""
        named = (step.event for step in reversed(self.steps) if isinstance(step.event, types))
        return next(named, None)

    @property
    def request(self) -> object:
        return self.latest(
            ReasonRequested, ToolRequested, CodeRequested, RetrievalRequested, GenerationRequested,
            ApprovalRequested,
        )  # fmt: skip

    @property
    def outcome(self) -> object:
        return self.latest(*Outcome.__args__)

    @property
    def approval(self) -> object:
        return self.latest(ApprovalRequested)


class Said(Struct, frozen=True):
    """What the contact or the agent said."""

    entry: Entry
    role: Literal["contact", "agent"]
    text: str
    citations: tuple[Citation, ...] = ()
    note: str = ""
    tone: Tone = "calm"


class Note(Struct, frozen=True):
    """A step that is neither said nor work."""

    entry: Entry
    text: str
    tone: Tone = "calm"


class Turn(Struct, frozen=True):
    """`number` is 0 before the first ask. `elapsed_ms` None: it still runs, or never did."""

    number: int
    items: tuple[Move | Said | Note, ...]
    outcome: str
    tone: Tone
    started_at: datetime
    elapsed_ms: float | None
    cost_usd: Decimal | None
    unpriced: int

    @property
    def id(self) -> str:
        return f"turn-{self.number}"

    @property
    def paid(self) -> bool:
        """Was anything paid for, at a known price or not?"""
        return self.cost_usd is not None or self.unpriced > 0

"""What each step adds to the numbers. Pure, without clock or network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from stepfold.events.envelope import Entry
from stepfold.events.event import (
    CodeRequested,
    ConversationStopped,
    Event,
    Generated,
    GenerationAbandoned,
    GenerationFailed,
    GenerationRequested,
    MessageReceived,
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
    Unreadable,
)
from stepfold.events.names import EventError, split_subject
from stepfold.events.steps import Stored
from stepfold.events.wire import KINDS, TAGS, decode
from stepfold.observability import families
from stepfold.observability.asked import Asked
from stepfold.observability.families import FAMILIES
from stepfold.observability.numbers import OTHER, Labels, Numbers, Words
from stepfold.observability.unpriced import Paid, unpriced
from stepfold.observability.waits import Waits

Call = Reasoned | ReasonFailed | Generated | GenerationFailed
Run = ToolReturned | ToolFailed | RetrievalReturned | RetrievalFailed

_MEASURED: tuple[type, ...] = (
    *(MessageReceived, ReasonRequested, Reasoned, ReasonFailed),
    *(ToolRequested, CodeRequested, ToolReturned, ToolFailed, ToolRefused, ToolUnknown),
    *(RetrievalRequested, RetrievalReturned, RetrievalFailed),
    *(GenerationRequested, Generated, GenerationFailed, GenerationAbandoned),
    *(ResponseGiven, TurnAbandoned, TurnCancelled, ConversationStopped),
)
MEASURED = frozenset(tag.partition("/")[0] for tag, kind in TAGS.items() if kind in _MEASURED)
"""The kinds of which more is counted than that there was one."""


class Lane(NamedTuple):
    """How a lane stands: steps that wait for it, steps that it has handed out."""

    waiting: int
    in_hand: int


class Metrics:
    def __init__(self) -> None:
        self.numbers = Numbers(FAMILIES)
        self._models, self._providers = Words(families.MODELS_MAX), Words(families.MODELS_MAX)
        self._tools, self._reasons = Words(families.TOOLS_MAX), Words(families.REASONS_MAX)
        self._customers, self._lanes = Words(families.CUSTOMERS_MAX), Words(families.LANES_MAX)
        self._waits = Waits()
        self._asked = Asked()

    def take(self, stored: Stored) -> None:
        """One step as it lies in the log."""
        position, subject, payload, at = stored
        try:
            kind = split_subject(subject)[2]
        except EventError:
            kind = OTHER
        self.numbers.add(families.STEPS, (kind if kind in KINDS else OTHER,))
        if kind in MEASURED:
            self._measure(decode(subject, payload, position=position, at=at), kind)

    def stand(self, lanes: Mapping[str, Lane]) -> None:
        """How the lanes stand now."""
        waiting: dict[Labels, float] = {}
        in_hand: dict[Labels, float] = {}
        for name, lane in lanes.items():
            labels = (self._lanes.known(name),)
            waiting[labels] = waiting.get(labels, 0) + lane.waiting
            in_hand[labels] = in_hand.get(labels, 0) + lane.in_hand
        self.numbers.set(families.WAITING, waiting)
        self.numbers.set(families.IN_HAND, in_hand)

    def _measure(self, entry: Entry, kind: str) -> None:
        event, customer = entry.event, self._customers.known(entry.customer)
        name = self._asked.take(entry)
        if waited := self._waits.take(entry):
            self.numbers.observe(families.TURNS, (waited.outcome, customer), waited.seconds)
        if isinstance(event, Call):
            self._call(event, name, customer)
        if isinstance(event, Run):
            self._run(event, name, customer)
        reason = failure(event)
        if reason is not None:
            self.numbers.add(families.ERRORS, (kind, self._reasons.known(reason)))

    def _call(self, event: Call, name: str, customer: str) -> None:
        who = self._who(event.provider, name or event.model)
        outcome = "failed" if isinstance(event, ReasonFailed | GenerationFailed) else "answered"
        self.numbers.observe(families.MODELS, (*who, outcome), event.elapsed_ms / 1000)
        if isinstance(event, Reasoned) and event.first_ms:
            self.numbers.observe(families.FIRST, who, event.first_ms / 1000)
        self._paid(event, who, name or event.model, customer)

    def _run(self, event: Run, name: str, customer: str) -> None:
        outcome = "failed" if isinstance(event, ToolFailed | RetrievalFailed) else "returned"
        labels = self._tools.known(name), outcome
        self.numbers.observe(families.TOOLS, labels, event.elapsed_ms / 1000)
        if isinstance(event, RetrievalReturned | RetrievalFailed):
            for bought in event.spent:
                who = self._who(bought.provider, bought.model)
                self._paid(bought, who, bought.model, customer)

    def _paid(self, bought: Paid, who: tuple[str, str], model: str, customer: str) -> None:
        usage, cost = bought.usage, bought.cost_usd
        if usage is not None:
            for direction, count in (
                ("input", usage.input),
                ("output", usage.output),
                ("cached", usage.cached),
            ):
                self.numbers.add(families.TOKENS, (*who, direction, customer), count or 0)
        if cost is not None and cost.is_finite():
            self.numbers.add(families.COST, (*who, customer), float(cost))
        elif unpriced(bought, model):
            self.numbers.add(families.UNPRICED, who)

    def _who(self, provider: str, model: str) -> tuple[str, str]:
        """A model is asked for with its provider in front, where it is not one of our own."""
        model = model.removeprefix(f"{provider}/")
        return self._providers.known(provider), self._models.known(model)


def failure(event: Event) -> str | None:
    """The word for what failed, empty where the reason is a sentence; None when nothing did."""
    match event:
        case ReasonFailed() | GenerationFailed() | GenerationAbandoned() | TurnAbandoned():
            return event.reason
        case Unreadable():
            return "unreadable"
        case ToolFailed() | ToolRefused() | ToolUnknown() | RetrievalFailed():
            return ""
        case ConversationStopped():
            return ""
        case _:
            return None

"""Metrics of a log: what each step adds to the numbers. Pure, without clock or network.

Labels are words of ours; models, providers and reasons up to a limit; customers only those that are
named beforehand. A conversation is never one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from stepfold.events.envelope import Entry
from stepfold.events.event import (
    ConversationStopped,
    Event,
    Generated,
    GenerationAbandoned,
    GenerationFailed,
    MessageReceived,
    Reasoned,
    ReasonFailed,
    ReasonRequested,
    ResponseGiven,
    RetrievalFailed,
    RetrievalReturned,
    ToolFailed,
    ToolRefused,
    ToolUnknown,
    TurnAbandoned,
    TurnCancelled,
    Unreadable,
)
from stepfold.events.names import EventError, split_subject
from stepfold.events.steps import Stored
from stepfold.events.values import Spend
from stepfold.events.wire import KINDS, TAGS, decode
from stepfold.observability.numbers import OTHER, Family, Numbers, Words
from stepfold.observability.waits import Waits

MODELS_MAX = REASONS_MAX = LANES_MAX = 64
CUSTOMERS_MAX = 50
"""How many values a label may have."""

STEPS = Family("stepfold_steps", "counter", "Steps recorded.", ("kind",))
TURNS = Family(
    "stepfold_turn_seconds",
    "histogram",
    "From the first message that a turn hears to its end.",
    ("outcome", "customer"),
)
MODELS = Family(
    "stepfold_model_seconds",
    "histogram",
    "A call of a model, as its worker measured it.",
    ("provider", "model", "outcome"),
)
TOKENS = Family(
    "stepfold_tokens",
    "counter",
    "Tokens of paid calls; cached ones are among the input.",
    ("provider", "model", "direction", "customer"),
)
COST = Family(
    "stepfold_cost_usd",
    "counter",
    "US dollars of paid calls, as far as their prices are known.",
    ("provider", "model", "customer"),
)
UNPRICED = Family(
    "stepfold_unpriced_calls",
    "counter",
    "Paid calls whose price is not known.",
    ("provider", "model"),
)
ERRORS = Family(
    "stepfold_errors", "counter", "Steps that say that something failed.", ("kind", "reason")
)
WAITING = Family(
    "stepfold_lane_waiting", "gauge", "Steps that a lane has handed to nobody yet.", ("lane",)
)
IN_HAND = Family(
    "stepfold_lane_in_hand", "gauge", "Steps that a lane has handed out, not done yet.", ("lane",)
)
FAMILIES = (STEPS, TURNS, MODELS, TOKENS, COST, UNPRICED, ERRORS, WAITING, IN_HAND)

Call = Reasoned | ReasonFailed | Generated | GenerationFailed

_MEASURED: tuple[type, ...] = (
    *(MessageReceived, ReasonRequested, Reasoned, ReasonFailed),
    *(ResponseGiven, TurnAbandoned, TurnCancelled, ConversationStopped),
    *(ToolFailed, ToolRefused, ToolUnknown, RetrievalReturned, RetrievalFailed),
    *(Generated, GenerationFailed, GenerationAbandoned),
)
MEASURED = frozenset(tag.partition("/")[0] for tag, kind in TAGS.items() if kind in _MEASURED)
"""The kinds of which more is counted than that there was one."""


class Lane(NamedTuple):
    """How a lane stands: steps that wait for it, steps that it has handed out."""

    waiting: int
    in_hand: int


class Metrics:
    """`customers` are those who are told apart; without any, no label speaks of customers."""

    def __init__(self, customers: Collection[str] = ()) -> None:
        self.numbers = Numbers(FAMILIES)
        self._customers = frozenset(customers)
        self._models, self._providers = Words(MODELS_MAX), Words(MODELS_MAX)
        self._reasons, self._lanes = Words(REASONS_MAX), Words(LANES_MAX)
        self._waits = Waits()

    def take(self, stored: Stored) -> None:
        """One step as it lies in the log."""
        position, subject, payload, at = stored
        try:
            kind = split_subject(subject)[2]
        except EventError:
            kind = OTHER
        self.numbers.add(STEPS, (kind if kind in KINDS else OTHER,))
        if kind in MEASURED:
            self._measure(decode(subject, payload, position=position, at=at), kind)

    def stand(self, lanes: Mapping[str, Lane]) -> None:
        """How the lanes stand now."""
        named = {(self._lanes.known(name),): lane for name, lane in lanes.items()}
        self.numbers.set(WAITING, {labels: lane.waiting for labels, lane in named.items()})
        self.numbers.set(IN_HAND, {labels: lane.in_hand for labels, lane in named.items()})

    def _measure(self, entry: Entry, kind: str) -> None:
        event, customer = entry.event, self._customer(entry.customer)
        if waited := self._waits.take(entry):
            self.numbers.observe(TURNS, (waited.outcome, customer), waited.seconds)
        if isinstance(event, Call):
            self._call(event, customer)
        if isinstance(event, RetrievalReturned | RetrievalFailed):
            for bought in event.spent:
                self._paid(bought, self._who(bought), customer)
        reason = failure(event)
        if reason is not None:
            self.numbers.add(ERRORS, (kind, self._reasons.known(reason)))

    def _call(self, event: Call, customer: str) -> None:
        who = self._who(event)
        outcome = "failed" if isinstance(event, ReasonFailed | GenerationFailed) else "answered"
        self.numbers.observe(MODELS, (*who, outcome), event.elapsed_ms / 1000)
        self._paid(event, who, customer)

    def _paid(self, bought: Call | Spend, who: tuple[str, str], customer: str) -> None:
        usage, cost = bought.usage, bought.cost_usd
        if usage is not None:
            for direction, count in (
                ("input", usage.input),
                ("output", usage.output),
                ("cached", usage.cached),
            ):
                self.numbers.add(TOKENS, (*who, direction, customer), count or 0)
        if cost is not None and cost.is_finite():
            self.numbers.add(COST, (*who, customer), float(cost))
        elif usage is not None:
            self.numbers.add(UNPRICED, who)

    def _who(self, bought: Call | Spend) -> tuple[str, str]:
        return self._providers.known(bought.provider), self._models.known(bought.model)

    def _customer(self, name: str) -> str:
        if not self._customers:
            return ""
        return name if name in self._customers else OTHER


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

"""A conversation made by hand: a tool, a search, a failed attempt, a shadow that comes late."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from stepfold.events.envelope import Draft, Entry, first, follow, record
from stepfold.events.event import (
    ConversationStarted,
    Event,
    MessageReceived,
    Reasoned,
    ReasonFailed,
    ReasonRequested,
    ResponseGiven,
    RetrievalRequested,
    RetrievalReturned,
    ToolRequested,
    ToolReturned,
    ToolStarted,
)
from stepfold.events.values import Choice, Options, Passage, Spend, Text, ToolCall, Usage
from stepfold.observability.span import Span
from stepfold.observability.spans import spans

CUSTOMER, CONVERSATION = "acme", "c1"
BEGIN = datetime(2026, 3, 1, 9, tzinfo=UTC)
CALLER_TRACE, CALLER_SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = f"00-{CALLER_TRACE}-{CALLER_SPAN}-01"

DIGEST = "sha256:" + "a" * 64
STARTED = ConversationStarted("help-desk", DIGEST, contact="ada")
HELLO = MessageReceived("When does my refund come?", contact="ada", message="m1")
PASSAGE = Passage("refunds.md", "Refunds", DIGEST, 10, 30, "It takes three days.", 2.5)

CHOICE = Choice("converse", 1, "the first that fits", "sha256:" + "b" * 64)
ASKED = ReasonRequested(
    "r1", 1, "openai/gpt-x", ("find", "search"), 1, choice=CHOICE, options=Options(temperature=0.5)
)
FAILED = ReasonFailed(
    "r1", 1, "openai/gpt-x", "rate_limit", "slow down", retryable=True, provider="openai"
)
AGAIN = ReasonRequested("r2", 1, "anthropic/claude-y", ("find", "search"), attempt=2)
CALLS = (ToolCall("r2.1", "find", {"order": 7}), ToolCall("r2.2", "search", {"query": "refund"}))
CALLED = Reasoned(
    "r2",
    1,
    "claude-y-2026",
    CALLS,
    finish="tool_calls",
    provider="anthropic",
    response="msg_1",
    usage=Usage(1000, 50, cached=600, cache_write=100, thinking=20, raw={"input_tokens": 300}),
    cost_usd=Decimal("0.0123"),
    elapsed_ms=900.0,
    attempt=2,
    first_ms=400.0,
)
SHADOW = ReasonRequested("r2s1", 1, "small", shadow=True, upto=1)
TOOL = ToolRequested("r2.1", 1, "find", {"order": 7})
TOOL_STARTED = ToolStarted("r2.1", 1, "w1")
TOOL_RETURNED = ToolReturned("r2.1", 1, {"state": "paid"}, 12.0)
SEARCH = RetrievalRequested("r2.2", 1, "refund", ("handbook",), 5)
BOUGHT = (
    Spend("embed", "openai/embed-s", "openai", Usage(8), Decimal("0.00000016"), elapsed_ms=100),
    Spend("rerank", "cohere/rerank-v3", "cohere", Usage(billed={"search_units": 1})),
)
FOUND = RetrievalReturned("r2.2", 1, (PASSAGE,), 250.0, BOUGHT)
ASKED_AGAIN = ReasonRequested("r3", 1, "anthropic/claude-y", ("find", "search"))
ANSWERED = Reasoned(
    "r3", 1, "claude-y-2026", (Text("In three days."),), provider="anthropic", usage=Usage(1200, 9)
)
GIVEN = ResponseGiven(1, "In three days.")
SHADOWED = Reasoned("r2s1", 1, "small", (Text("Soon."),), usage=Usage(700, 3), cost_usd=Decimal(0))

WHOLE: Sequence[Event] = (
    *(STARTED, HELLO, ASKED, FAILED, AGAIN, SHADOW, CALLED, TOOL, SEARCH, TOOL_STARTED),
    *(TOOL_RETURNED, FOUND, ASKED_AGAIN, ANSWERED, GIVEN, SHADOWED),
)


def recorded(
    events: Iterable[Event], *, trace: str = "", conversation: str = CONVERSATION
) -> list[Entry]:
    """A second between the steps; each follows from the one before it. A message has `trace`, and
    so has what follows from it.
    """
    entries: list[Entry] = []
    for number, event in enumerate(events, start=1):
        if entries and not isinstance(event, MessageReceived):
            (draft,) = follow(entries[-1], "test", [event])
        else:
            draft = _from_outside(event, conversation, trace, number)
        at = BEGIN + timedelta(seconds=number - 1)
        entries.append(record(draft, position=number, at=at, after=number - 1))
    return entries


def _from_outside(event: Event, conversation: str, trace: str, number: int) -> Draft:
    draft = first(CUSTOMER, conversation, event, by="test", key=str(number))
    return Draft(
        id=draft.id,
        customer=draft.customer,
        conversation=draft.conversation,
        event=event,
        by="test",
        trace=trace,
    )


def at(second: int) -> datetime:
    return BEGIN + timedelta(seconds=second)


def told(*events: Event, trace: str = "") -> dict[str, Span]:
    """The spans of a conversation by their names, which must differ."""
    found = spans(recorded(events, trace=trace))
    assert len({span.name for span in found}) == len(found)
    return {span.name: span for span in found}

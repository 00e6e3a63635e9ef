"""One step of each kind, as it could stand in a log: what the reference prints. They are made as
the code makes them, ids included, so that the page cannot show what the code would not write.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from stepfold.events.envelope import Draft, Entry, first, follow, record
from stepfold.events.event import (
    ApprovalDenied,
    ApprovalExpired,
    ApprovalGranted,
    ApprovalRequested,
    CodeRequested,
    ConversationStarted,
    ConversationStopped,
    Event,
    FeedbackGiven,
    Generated,
    GenerationAbandoned,
    GenerationFailed,
    GenerationRequested,
    MessageReceived,
    Reasoned,
    ReasonFailed,
    ReasonRequested,
    ResponseDelivered,
    ResponseGiven,
    RetrievalFailed,
    RetrievalRequested,
    RetrievalReturned,
    ToolFailed,
    ToolRefused,
    ToolRequested,
    ToolReturned,
    ToolStarted,
    ToolUnknown,
    TurnAbandoned,
    TurnCancelled,
    TurnExpired,
)
from stepfold.events.values import Citation, Passage, ToolCall, Usage

CUSTOMER = "acme"
CONVERSATION = "c1"
_DIGEST = "sha256:" + "5f" * 32
_BEGIN = datetime(2026, 1, 2, 9, 30, tzinfo=UTC)
_SCHEMA = {"type": "object", "properties": {"language": {"type": "string"}}}
_PASSAGE = Passage(
    document="hours.md",
    title="Hours",
    digest=_DIGEST,
    start=9,
    end=35,
    text="The branch opens at 9:00.\n",
    score=4.25,
)
_CITATION = Citation("hours.md", _DIGEST, 9, 34, "The branch opens at 9:00.")
_SEARCH = ToolCall("r1.1", "search", {"query": "branch open"}, "call_8f2")
_LOOK_UP = ToolCall("r1.2", "order_status", {"order": "A-17"}, "call_8f3")

_STORY: tuple[tuple[str, Event], ...] = (
    (
        "contact:ada",
        ConversationStarted("help-desk", _DIGEST, contact="ada", channel="web"),
    ),
    (
        "contact:ada",
        MessageReceived("When do you open, and where is A-17?", contact="ada", message="m-1"),
    ),
    (
        "agent",
        ReasonRequested("r1", 1, "small", ("order_status", "search"), heard=1),
    ),
    (
        "reason",
        Reasoned(
            call="r1",
            turn=1,
            model="small-2026-01",
            parts=(_SEARCH, _LOOK_UP),
            finish="tool_calls",
            provider="example",
            usage=Usage(input=412, output=38, cached=256),
            cost_usd=Decimal("0.000213"),
            elapsed_ms=731.25,
        ),
    ),
    (
        "reason",
        ReasonFailed(
            call="r1",
            turn=1,
            model="small",
            reason="rate_limit",
            detail="429: slow down",
            retryable=True,
            delay_s=2.0,
        ),
    ),
    ("agent", ToolRequested("r1.2", 1, "order_status", {"order": "A-17"})),
    ("tool/host-17-9c41f0aa", ToolStarted("r1.2", 1, worker="host-17-9c41f0aa")),
    ("tool", ToolReturned("r1.2", 1, {"state": "sent", "days": 2}, elapsed_ms=84.5)),
    ("tool", ToolFailed("r1.2", 1, "order 'A-17' is not in the shop")),
    (
        "agent",
        ToolRefused("r1.2", 1, "refund", "tool 'refund' is not allowed for agent 'help-desk'"),
    ),
    (
        "tool",
        ToolUnknown("r1.2", 1, "it had started when its worker died"),
    ),
    (
        "agent",
        ApprovalRequested(
            call="r1.3",
            turn=1,
            name="refund",
            arguments={"order": "A-17", "amount": 80},
            digest=_DIGEST,
            reason="'refund' needs approval: amount: 80 is greater than the maximum of 50",
            expires_s=3600.0,
        ),
    ),
    ("cli:grace", ApprovalGranted("r1.3", 1, _DIGEST, "grace", "the parcel is lost")),
    ("cli:grace", ApprovalDenied("r1.3", 1, _DIGEST, "grace", "ask for the receipt first")),
    ("timer", ApprovalExpired("r1.3", 1)),
    ("agent", CodeRequested("r1.4", 1, "print(3 * 19.9)", "monty")),
    ("agent", RetrievalRequested("r1.1", 1, "branch open", ("default",), 5)),
    ("retrieve", RetrievalReturned("r1.1", 1, (_PASSAGE,), elapsed_ms=1.5)),
    ("retrieve", RetrievalFailed("r1.1", 1, "collection 'default': unknown (known: none)")),
    ("agent", ResponseGiven(1, "At 9:00. A-17 was sent.", citations=(_CITATION,))),
    ("web", ResponseDelivered(1, "web", receipt="msg-2")),
    ("web", FeedbackGiven(1, "good", "quick!", contact="ada")),
    (
        "api",
        GenerationRequested("g1", "name the language", "Guten Tag", _SCHEMA, "small"),
    ),
    ("generate", Generated("g1", {"language": "German"}, "small-2026-01")),
    ("generate", GenerationFailed("g1", "malformed", "small-2026-01", detail="not JSON")),
    ("agent", GenerationAbandoned("g1", "malformed", "2 repairs did not help: not JSON")),
    ("timer", TurnExpired(1)),
    ("agent", TurnAbandoned(1, "time", "the turn took longer than 180 s")),
    ("operator", TurnCancelled(1, "the contact closed the window")),
    ("shell", ConversationStopped("AgentUnknown: ...", entry="", detail="reason.requested")),
)

_CAUSES: dict[type[Event], type[Event]] = {
    ReasonRequested: MessageReceived,
    Reasoned: ReasonRequested,
    ReasonFailed: ReasonRequested,
    ToolRequested: Reasoned,
    ToolStarted: ToolRequested,
    ToolReturned: ToolRequested,
    ToolFailed: ToolRequested,
    ToolRefused: Reasoned,
    ToolUnknown: ToolRequested,
    ApprovalRequested: Reasoned,
    ApprovalExpired: ApprovalRequested,
    CodeRequested: Reasoned,
    RetrievalRequested: Reasoned,
    RetrievalReturned: RetrievalRequested,
    RetrievalFailed: RetrievalRequested,
    ResponseGiven: Reasoned,
    ResponseDelivered: ResponseGiven,
    FeedbackGiven: ResponseGiven,
    Generated: GenerationRequested,
    GenerationFailed: GenerationRequested,
    GenerationAbandoned: GenerationFailed,
    TurnExpired: Reasoned,
    TurnAbandoned: TurnExpired,
}


def examples() -> dict[type[Event], Entry]:
    """By kind. Each stands after the one before it; only the story they tell is not one turn's."""
    made: dict[type[Event], Entry] = {}
    for number, (by, event) in enumerate(_STORY, start=1):
        draft = _draft(made, by, event)
        at = _BEGIN + timedelta(milliseconds=250 * number)
        made[type(event)] = record(draft, position=number, at=at, after=number - 1)
    return made


def _draft(made: dict[type[Event], Entry], by: str, event: Event) -> Draft:
    cause = _CAUSES.get(type(event))
    if cause is None:
        return first(CUSTOMER, CONVERSATION, event, by=by, key="m-1")
    return follow(made[cause], by, (event,))[0]

"""One step in few words: who did what. Pure."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, assert_never

import msgspec

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
    Unreadable,
)
from stepfold.events.values import ToolCall

Priced = Reasoned | ReasonFailed | Generated | GenerationFailed


def words(event: Event) -> str:  # noqa: PLR0911, PLR0912
    match event:
        case ConversationStarted():
            return event.agent + (f", imported from {event.origin}" if event.origin else "")
        case MessageReceived():
            return f"{event.contact or 'contact'}: {event.text}"
        case ReasonRequested():
            return event.model + (f", attempt {event.attempt}" if event.attempt > 1 else "")
        case Reasoned():
            return f"{event.model} {_what_it_did(event)}".strip()
        case ReasonFailed():
            return _because(f"{event.model}: {event.reason}", event.detail)
        case ToolRequested() | ApprovalRequested():
            return f"{event.name}({_json(event.arguments)})"
        case ApprovalGranted():
            return _because(event.person, event.comment)
        case ApprovalDenied():
            return _because(event.person, event.reason)
        case ApprovalExpired():
            return "too few agreed in time"
        case CodeRequested():
            return f"{event.sandbox}: {_count(event.code.count(chr(10)) + 1, 'line')}"
        case ToolStarted():
            return event.worker
        case ToolReturned():
            return event.result if isinstance(event.result, str) else _json(event.result)
        case ToolRefused():
            return f"{event.name}: {event.reason}"
        case RetrievalRequested():
            return f"“{event.query}”"
        case RetrievalReturned():
            return _found(event)
        case ToolFailed() | ToolUnknown() | RetrievalFailed() | TurnCancelled() | Unreadable():
            return event.reason
        case ResponseGiven():
            refused = f", {len(event.refused)} refused" if event.refused else ""
            told = f"{_count(len(event.citations), 'citation')}{refused}"
            return _because(event.outcome, event.reason) if event.reason else told
        case ResponseDelivered():
            return event.channel
        case FeedbackGiven():
            return _because(event.rating, event.comment)
        case GenerationRequested():
            return f"{event.task}, {event.model}"
        case Generated():
            return _json(event.output)
        case GenerationFailed():
            return event.reason
        case TurnExpired():
            return "its time is used up"
        case TurnAbandoned() | ConversationStopped() | GenerationAbandoned():
            return _because(event.reason, event.detail)
        case _:
            assert_never(event)


def cost(event: Event) -> Decimal | None:
    """What this step cost; None when its price is not known. Ask only of a `Priced` step."""
    return event.cost_usd if isinstance(event, Priced) else Decimal(0)


def elapsed_ms(event: Event) -> float:
    """How long the work of this step took, 0 for a step that is no work."""
    return float(getattr(event, "elapsed_ms", 0))


def _what_it_did(event: Reasoned) -> str:
    calls = [part.name for part in event.parts if isinstance(part, ToolCall)]
    return f"calls {', '.join(calls)}" if calls else "answers"


def _found(event: RetrievalReturned) -> str:
    best = f", best in {event.passages[0].document}" if event.passages else ""
    return _count(len(event.passages), "passage") + best


def _because(reason: str, detail: str) -> str:
    return f"{reason}: {detail}" if detail else reason


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"

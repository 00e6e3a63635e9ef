"""A move: everything under one call, from the question to people to the outcome. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal

from stepfold.events.envelope import Entry, kind
from stepfold.events.event import (
    ApprovalDenied,
    ApprovalExpired,
    ApprovalGranted,
    ApprovalRequested,
    CodeRequested,
    Generated,
    GenerationFailed,
    GenerationRequested,
    Reasoned,
    ReasonFailed,
    ReasonRequested,
    RetrievalFailed,
    RetrievalRequested,
    RetrievalReturned,
    ToolFailed,
    ToolRefused,
    ToolRequested,
    ToolReturned,
    ToolStarted,
    ToolUnknown,
)
from stepfold.events.values import Citation, Passage, ToolCall
from stepfold.gateway.dashboard.parts import (
    NO_REASON,
    WAITS,
    Asked,
    Found,
    Move,
    Offered,
    Outcome,
    Priced,
    Searched,
    Slice,
    Tone,
    What,
)
from stepfold.observability.unpriced import unpriced


def move_of(
    call: str,
    steps: list[Entry],
    turn: Sequence[Entry],
    quotes: tuple[Citation, ...],
    begun: datetime,
) -> Move:
    last = next((s for s in reversed(steps) if isinstance(s.event, Outcome)), None)
    asked = next((s.event for s in steps if isinstance(s.event, Asked)), None)
    status, tone, reason = _status(steps)
    cost_usd, lacking = _cost(steps, asked.model if asked else "")
    choice = asked.choice if asked else None
    return Move(
        what=_what(steps[0]),
        call=call,
        title=_title(steps),
        status=status,
        tone=tone,
        steps=tuple(steps),
        elapsed_ms=_elapsed(steps, last),
        offset_ms=ms_between(begun, steps[0].at),
        cost_usd=cost_usd,
        unpriced=lacking,
        reason=reason,
        choice=choice,
        why=(choice.why if choice else NO_REASON) if asked else "",
        shadow=isinstance(asked, ReasonRequested) and asked.shadow,
        attempt=asked.attempt if asked else 1,
        offered=tuple(_offered(call, asked, last, turn)),
        found=tuple(_found(last, quotes)),
    )


def _what(first: Entry) -> What:
    match first.event:
        case ReasonRequested() | Reasoned() | ReasonFailed():
            return "ask"
        case RetrievalRequested() | RetrievalReturned() | RetrievalFailed():
            return "search"
        case CodeRequested():
            return "code"
        case GenerationRequested() | Generated() | GenerationFailed():
            return "generation"
        case _:
            return "tool"


def _title(steps: Sequence[Entry]) -> str:
    for step in steps:
        match step.event:
            case ReasonRequested(model=model):
                return model
            case GenerationRequested(task=task, model=model):
                return f"{task}, {model}"
            case ToolRequested(name=name) | ApprovalRequested(name=name) | ToolRefused(name=name):
                return name
            case CodeRequested(sandbox=sandbox):
                return f"code in {sandbox}"
            case RetrievalRequested(query=query):
                return f"“{query}”"
            case _:
                continue
    return kind(steps[0].event)


def _status(steps: Sequence[Entry]) -> tuple[str, Tone, str]:  # noqa: PLR0911, PLR0912
    """In a word, how it looks, and why where that is told."""
    for step in reversed(steps):
        match step.event:
            case ReasonFailed() as failed:
                return "failed", "bad", because(failed.reason, failed.detail)
            case GenerationFailed() as failed:
                return "failed", "bad", because(failed.reason, failed.detail)
            case ToolFailed(reason=reason) | RetrievalFailed(reason=reason):
                return "failed", "bad", reason
            case ToolRefused(reason=reason):
                return "refused", "warn", reason
            case ToolUnknown(reason=reason):
                return "unknown", "warn", reason
            case Reasoned() as answer:
                return _did(answer), "good", ""
            case Generated():
                return "done", "good", ""
            case ToolReturned():
                return "returned", "good", ""
            case RetrievalReturned(passages=passages):
                return _count(len(passages), "passage"), "good" if passages else "warn", ""
            case ToolStarted():
                return "running", "busy", ""
            case ApprovalRequested(reason=reason):
                return WAITS, "warn", reason
            case ApprovalGranted(person=person):
                return "approved", "busy", f"{person} agreed"
            case ApprovalDenied() as denied:
                return "denied", "warn", because(denied.person, denied.reason)
            case ApprovalExpired():
                return "expired", "warn", "too few agreed in time"
            case _:
                continue
    return "asked", "busy", ""


def _did(answer: Reasoned) -> str:
    calls = [part.name for part in answer.parts if isinstance(part, ToolCall)]
    return f"calls {', '.join(calls)}" if calls else "answers"


def _cost(steps: Sequence[Entry], model: str) -> tuple[Decimal | None, int]:
    """The sum of the known prices, None when none is known; how many are not."""
    known, lacking = list[Decimal](), 0
    for step in steps:
        event = step.event
        bought = event.spent if isinstance(event, Searched) else ()
        for each in (*bought, *((event,) if isinstance(event, Priced) else ())):
            if each.cost_usd is not None and each.cost_usd.is_finite():
                known.append(each.cost_usd)
            lacking += unpriced(each, model or each.model)
    return (sum(known, Decimal(0)) if known else None), lacking


def _elapsed(steps: Sequence[Entry], last: Entry | None) -> float | None:
    """As the worker measured it, else from the first step to the outcome."""
    if last is None or len(steps) == 1:
        return None
    measured = float(getattr(last.event, "elapsed_ms", 0))
    return measured or ms_between(steps[0].at, last.at)


def _offered(
    call: str, asked: object, last: Entry | None, turn: Sequence[Entry]
) -> Iterator[Offered]:
    """The tools that an ask offers, then those that were called all the same."""
    if not isinstance(asked, ReasonRequested):
        return
    answer = last.event if last else None
    parts = answer.parts if isinstance(answer, Reasoned) else ()
    names = [part.name for part in parts if isinstance(part, ToolCall)]
    refused = {
        step.event.name: step.event.reason
        for step in turn
        if isinstance(step.event, ToolRefused) and step.event.call.rpartition(".")[0] == call
    }
    for name in asked.tools:
        yield Offered(name, names.count(name), refused.get(name, ""))
    for name in dict.fromkeys(names):
        if name not in asked.tools:
            yield Offered(name, names.count(name), refused.get(name, ""), offered=False)


def _found(last: Entry | None, quotes: Sequence[Citation]) -> Iterator[Found]:
    if last is None or not isinstance(last.event, RetrievalReturned):
        return
    for passage in last.event.passages:
        slices = slices_of(passage, quotes)
        yield Found(passage, slices, any(each.quoted for each in slices))


def slices_of(passage: Passage, quotes: Iterable[Citation]) -> tuple[Slice, ...]:
    """The text of a passage in pieces, those that are cited marked. Quotes may overlap."""
    cited = [False] * len(passage.text)
    for quote in quotes:
        if (quote.document, quote.digest) == (passage.document, passage.digest):
            begin = max(quote.start - passage.start, 0)
            end = min(quote.end - passage.start, len(cited))
            cited[begin:end] = [True] * max(end - begin, 0)
    pieces: list[Slice] = []
    begin = 0
    for index in range(1, len(cited) + 1):
        if index == len(cited) or cited[index] != cited[begin]:
            pieces.append(Slice(passage.text[begin:index], cited[begin]))
            begin = index
    return tuple(pieces)


def ms_between(begin: datetime, end: datetime) -> float:
    return max((end - begin).total_seconds() * 1000, 0.0)


def because(reason: str, detail: str) -> str:
    return f"{reason}: {detail}" if detail else reason


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"

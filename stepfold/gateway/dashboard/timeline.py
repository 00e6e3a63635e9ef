"""A conversation as turns and moves: each request with what came of it. Pure.

A move is everything under one call: the question to people, the request, its start, its outcome.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Literal

from msgspec import Struct

from stepfold.events.envelope import Entry, kind
from stepfold.events.event import (
    ApprovalDenied,
    ApprovalExpired,
    ApprovalGranted,
    ApprovalRequested,
    CodeRequested,
    ConversationStarted,
    ConversationStopped,
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
from stepfold.events.values import Choice, Citation, Passage, Text, ToolCall
from stepfold.observability.unpriced import unpriced

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


def turns_of(entries: Sequence[Entry]) -> tuple[Turn, ...]:
    """In the order of the log. A message stands in front of the turn that hears it, or in the one
    that runs when it comes.
    """
    return tuple(_turn(number, steps) for number, steps in _grouped(entries))


def _grouped(entries: Iterable[Entry]) -> Iterator[tuple[int, list[Entry]]]:
    """Steps of work that come after their turn's end stay with their turn as long as no other one
    has begun.
    """
    number, over, steps = 0, False, list[Entry]()
    for entry in entries:
        turn = int(getattr(entry.event, "turn", 0) or 0)
        another = turn > number > 0 or (over and isinstance(entry.event, MessageReceived))
        if another and steps:
            yield number, steps
            number, over, steps = 0, False, []
        number = max(number, turn)
        over = over or isinstance(entry.event, Over)
        steps.append(entry)
    if steps:
        yield number, steps


def _turn(number: int, steps: list[Entry]) -> Turn:
    asked = next((s for s in steps if isinstance(s.event, ReasonRequested)), None)
    begun = asked.at if asked else steps[0].at
    end = next((step for step in steps if isinstance(step.event, Over)), None)
    items = tuple(_items(steps, begun))
    moves = [each for each in items if isinstance(each, Move)]
    known = [move.cost_usd for move in moves if move.cost_usd is not None]
    outcome, tone = _ended(end.event if end else None, running=asked is not None)
    if end is None and any(move.status == WAITS for move in moves):
        outcome, tone = WAITS, "warn"
    return Turn(
        number=number,
        items=items,
        outcome=outcome,
        tone=tone,
        started_at=begun,
        elapsed_ms=_ms(begun, end.at) if asked and end else None,
        cost_usd=sum(known, Decimal(0)) if known else None,
        unpriced=sum(move.unpriced for move in moves),
    )


def _ended(event: object, *, running: bool) -> tuple[str, Tone]:
    match event:
        case ResponseGiven(outcome="answer"):
            return "answered", "good"
        case ResponseGiven(outcome="hand_off"):
            return "handed off", "warn"
        case ResponseGiven():
            return "refused", "warn"
        case TurnAbandoned():
            return "given up", "bad"
        case TurnCancelled():
            return "cancelled", "warn"
        case _:
            return ("running", "busy") if running else ("", "calm")


def _items(steps: Sequence[Entry], begun: datetime) -> Iterator[Move | Said | Note]:
    """Each move where its first step is."""
    calls: dict[str, list[Entry]] = {}
    for step in steps:
        if call := _call(step):
            calls.setdefault(call, []).append(step)
    quotes = tuple(_quotes(steps))
    told: set[str] = set()
    for step in steps:
        call = _call(step)
        if not call:
            yield _single(step)
        elif call not in told:
            told.add(call)
            yield _move(call, calls[call], steps, quotes, begun)


def _call(step: Entry) -> str:
    return "" if isinstance(step.event, GenerationAbandoned) else getattr(step.event, "call", "")


def _quotes(steps: Iterable[Entry]) -> Iterator[Citation]:
    for step in steps:
        match step.event:
            case ResponseGiven(citations=citations):
                yield from citations
            case Reasoned(parts=parts):
                for part in parts:
                    if isinstance(part, Text):
                        yield from part.citations
            case _:
                pass


def _single(step: Entry) -> Said | Note:  # noqa: PLR0911
    match step.event:
        case MessageReceived(text=text):
            return Said(step, "contact", text)
        case ResponseGiven() as given:
            tone: Tone = "good" if given.outcome == "answer" else "warn"
            return Said(step, "agent", given.text, given.citations, _answer_note(given), tone)
        case ConversationStarted() as begun:
            where = f" through {begun.channel}" if begun.channel else ""
            origin = f", imported from {begun.origin}" if begun.origin else ""
            return Note(step, f"{begun.contact or 'a contact'} began{where}{origin}")
        case ResponseDelivered(channel=channel):
            return Note(step, f"delivered by {channel}")
        case TurnAbandoned() as given_up:
            return Note(step, f"gave up: {_because(given_up.reason, given_up.detail)}", "bad")
        case GenerationAbandoned() as given_up:
            return Note(step, f"job {given_up.call} was given up: {given_up.reason}", "bad")
        case TurnCancelled(reason=reason):
            return Note(step, f"cancelled: {reason}", "warn")
        case TurnExpired():
            return Note(step, "the time of the turn is used up", "warn")
        case ConversationStopped() as stopped:
            return Note(step, f"stopped: {_because(stopped.reason, stopped.detail)}", "bad")
        case Unreadable() as broken:
            return Note(step, f"{broken.kind or 'a step'} cannot be read: {broken.reason}", "bad")
        case _:
            return Note(step, kind(step.event))


def _answer_note(given: ResponseGiven) -> str:
    refused = [f"a quote was refused: {each.reason}" for each in given.refused]
    words = {"refusal": "not the model's words", "hand_off": "passed on to a colleague"}
    held = [f"{words[given.outcome]}: {given.reason}"] if given.outcome != "answer" else []
    return "; ".join((*held, *refused))


def _move(
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
        offset_ms=_ms(begun, steps[0].at),
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
                return "failed", "bad", _because(failed.reason, failed.detail)
            case GenerationFailed() as failed:
                return "failed", "bad", _because(failed.reason, failed.detail)
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
                return "denied", "warn", _because(denied.person, denied.reason)
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
    return measured or _ms(steps[0].at, last.at)


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


def _ms(begin: datetime, end: datetime) -> float:
    return max((end - begin).total_seconds() * 1000, 0.0)


def _because(reason: str, detail: str) -> str:
    return f"{reason}: {detail}" if detail else reason


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"

"""A conversation as turns: what was said, and the moves in between. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal

from stepfold.events.envelope import Entry, kind
from stepfold.events.event import (
    ConversationStarted,
    ConversationStopped,
    FeedbackGiven,
    GenerationAbandoned,
    MessageReceived,
    Reasoned,
    ReasonRequested,
    ResponseDelivered,
    ResponseGiven,
    TurnAbandoned,
    TurnCancelled,
    TurnExpired,
    Unreadable,
)
from stepfold.events.values import Citation, Text
from stepfold.gateway.dashboard.moves import because, move_of, ms_between
from stepfold.gateway.dashboard.parts import (
    WAITS,
    Move,
    Note,
    Over,
    Said,
    Tone,
    Turn,
)


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
        elapsed_ms=ms_between(begun, end.at) if asked and end else None,
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
            yield move_of(call, calls[call], steps, quotes, begun)


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
    tone: Tone
    match step.event:
        case MessageReceived(text=text):
            return Said(step, "contact", text)
        case ResponseGiven() as given:
            tone = "good" if given.outcome == "answer" else "warn"
            return Said(step, "agent", given.text, given.citations, _answer_note(given), tone)
        case ConversationStarted() as begun:
            where = f" through {begun.channel}" if begun.channel else ""
            origin = f", imported from {begun.origin}" if begun.origin else ""
            return Note(step, f"{begun.contact or 'a contact'} began{where}{origin}")
        case ResponseDelivered(channel=channel):
            return Note(step, f"delivered by {channel}")
        case TurnAbandoned() as given_up:
            return Note(step, f"gave up: {because(given_up.reason, given_up.detail)}", "bad")
        case GenerationAbandoned() as given_up:
            return Note(step, f"job {given_up.call} was given up: {given_up.reason}", "bad")
        case FeedbackGiven() as told:
            tone = "good" if told.rating == "good" else "bad"
            return Note(step, f"rated {because(told.rating, told.comment)}", tone)
        case TurnCancelled(reason=reason):
            return Note(step, f"cancelled: {reason}", "warn")
        case TurnExpired():
            return Note(step, "the time of the turn is used up", "warn")
        case ConversationStopped() as stopped:
            return Note(step, f"stopped: {because(stopped.reason, stopped.detail)}", "bad")
        case Unreadable() as broken:
            return Note(step, f"{broken.kind or 'a step'} cannot be read: {broken.reason}", "bad")
        case _:
            return Note(step, kind(step.event))


def _answer_note(given: ResponseGiven) -> str:
    refused = [f"a quote was refused: {each.reason}" for each in given.refused]
    words = {"refusal": "not the model's words", "hand_off": "passed on to a colleague"}
    held = [f"{words[given.outcome]}: {given.reason}"] if given.outcome != "answer" else []
    return "; ".join((*held, *refused))

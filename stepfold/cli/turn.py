"""A message and what follows from it: steps as they come, until it is the contact's move."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from decimal import Decimal

from msgspec import Struct

from stepfold.cli.plain import one_line
from stepfold.cli.screen import paragraph, say
from stepfold.cli.words import Priced
from stepfold.events.envelope import Entry, kind
from stepfold.events.event import (
    ConversationStopped,
    Reasoned,
    ReasonFailed,
    ResponseGiven,
    TurnAbandoned,
    TurnCancelled,
)
from stepfold.events.names import conversation_filter
from stepfold.events.values import Citation
from stepfold.projections.conversation import evolve
from stepfold.projections.state import EMPTY, Conversation
from stepfold.streams.jetstream import JetStreamLog


class Cited(Struct, frozen=True):
    document: str
    quote: str


class Answer(Struct, frozen=True):
    """`cost_usd` is None when the price of a model call is not known; `answer` empty when there is
    none, and the last of `steps` says why.
    """

    conversation: str
    answer: str
    citations: tuple[Cited, ...]
    steps: tuple[str, ...]
    model_calls: int
    cost_usd: Decimal | None
    elapsed_ms: float


async def until_rest(
    log: JetStreamLog, message: Entry, *, after: int
) -> AsyncGenerator[Entry, None]:
    """The steps beyond `after` as they come, until what `message` began has come to rest."""
    state = EMPTY
    where = conversation_filter(*message.key)
    async with aclosing(log.follow(where, after=0)) as entries:
        async for entry in entries:
            state = evolve(state, entry.event)
            if entry.position > after:
                yield entry
            if entry.position >= message.position and at_rest(state):
                return


def at_rest(state: Conversation) -> bool:
    """Is it the contact's move?"""
    return bool(state.stopped) or (state.turn is None and not state.unheard)


def answer_of(entries: Sequence[Entry]) -> Answer:
    """What the steps of one turn come to."""
    events = [entry.event for entry in entries]
    given = [event for event in events if isinstance(event, ResponseGiven)]
    costs = [event.cost_usd for event in events if isinstance(event, Priced)]
    known = [cost for cost in costs if cost is not None]
    lasted = entries[-1].at - entries[0].at
    return Answer(
        conversation="/".join(entries[0].key),
        answer=given[-1].text if given else "",
        citations=tuple(Cited(c.document, c.quote) for each in given[-1:] for c in each.citations),
        steps=tuple(kind(event) for event in events),
        model_calls=sum(isinstance(event, Reasoned | ReasonFailed) for event in events),
        cost_usd=sum(known, Decimal(0)) if len(known) == len(costs) else None,
        elapsed_ms=round(lasted.total_seconds() * 1000, 3),
    )


def say_answer(entries: Sequence[Entry]) -> None:
    """The answer with its citations, numbered; or why there is none."""
    for entry in entries:
        match entry.event:
            case ResponseGiven(text=text, citations=citations):
                say(paragraph(text, first="  ", rest="  "), bold=True)
                _say_citations(text, citations)
            case TurnAbandoned(reason=reason, detail=detail):
                say(paragraph(f"No answer: {reason}. {detail}".strip(), first="  ", rest="  "))
            case TurnCancelled(reason=reason) | ConversationStopped(reason=reason):
                say(paragraph(f"No answer: {reason}.", first="  ", rest="  "))
            case _:
                continue


def _say_citations(text: str, citations: Sequence[Citation]) -> None:
    """A quote that the answer itself holds is not said again."""
    for number, citation in enumerate(citations, start=1):
        place = f"{citation.document}, characters {citation.start} to {citation.end}"
        quote = "" if citation.quote in text else f": “{one_line(citation.quote)}”"
        say(paragraph(place + quote, first=f"  [{number}] ", rest="      "))

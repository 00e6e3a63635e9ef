"""Turns and jobs on their way to spans: how they begin, whom they belong to, how they end. Pure."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from stepfold.events.envelope import Entry
from stepfold.events.event import ConversationStarted, GenerationRequested, MessageReceived
from stepfold.events.traces import caller, span_id, trace_id
from stepfold.observability import names, said
from stepfold.observability.said import Message
from stepfold.observability.span import Attributes, Link, Span

JOBS = 0
"""The turn that generations, which are in none, are told under."""


class Place(Struct, frozen=True):
    """Where spans belong: their trace, the span above them, and what each of them says."""

    trace: str
    parent: str
    says: Attributes


class Root(Struct, frozen=True):
    """A turn or a job that has not ended: its own span as it began, and what is below it. `shown`
    is what the latest ask showed its model anew, `fresh` what the next one will.
    """

    number: int
    begun: Span
    place: Place
    below: tuple[Span, ...] = ()
    fresh: tuple[Message, ...] = ()
    shown: tuple[Message, ...] = ()


def place_of(entry: Entry, number: int, contact: str, root: str = "") -> Place:
    """`root` is what the span above is named by: empty when there is none."""
    conversation = "/".join(entry.key)
    says: Attributes = {
        names.SESSION: conversation,
        names.CONVERSATION: conversation,
        names.CUSTOMER: entry.customer,
    }
    if contact:
        says[names.USER] = f"{entry.customer}/{contact}"
    if number != JOBS:
        says[names.TURN] = number
    return Place(trace_id(entry.trace, *entry.key, number), span_id(root) if root else "", says)


def open_turn(
    entry: Entry, number: int, heard: tuple[Entry, ...], started: ConversationStarted
) -> Root:
    """`entry` is the turn's first step: its trace is that of the last message before it. The span
    begins, and is named, with the first message that is heard.
    """
    first = heard[0] if heard else entry
    contact = first.event.contact if isinstance(first.event, MessageReceived) else ""
    root = first.id if heard else f"{entry.id}/turn"
    place = place_of(entry, number, contact or started.contact, root)
    fresh = _shown(heard)
    texts = [message.content for message in fresh]
    attributes = said.turn_begins(started.agent, started.digest, texts)
    name = f"{names.INVOKE_AGENT} {started.agent}".strip()
    begun = _begun(entry, place, name, first.at, attributes)
    begun = replace(begun, links=_links(heard, begun))
    return Root(number, begun, place, fresh=fresh)


def open_job(entry: Entry, request: GenerationRequested, started: ConversationStarted) -> Root:
    place = place_of(entry, JOBS, started.contact, f"{entry.id}/job")
    attributes = said.job_begins(request)
    return Root(JOBS, _begun(entry, place, f"generate {request.task}", entry.at, attributes), place)


def _begun(entry: Entry, place: Place, name: str, begin: datetime, attributes: Attributes) -> Span:
    above = caller(entry.trace)
    return Span(
        trace=place.trace,
        id=place.parent,
        parent=above[1] if above else "",
        remote=above is not None,
        name=name,
        kind="server" if above else "internal",
        begin=begin,
        end=begin,
        attributes=place.says | attributes,
    )


def join(turn: Root, heard: tuple[Entry, ...]) -> Root:
    """Messages that came during a turn, and are heard by it."""
    if not heard:
        return turn
    fresh, begun = _shown(heard), turn.begun
    texts = [str(begun.attributes.get(names.INPUT, "")), *(message.content for message in fresh)]
    links = tuple(dict.fromkeys((*begun.links, *_links(heard, begun))))
    begun = replace(begun, attributes=begun.attributes | said.hears(texts), links=links)
    return replace(turn, begun=begun, fresh=turn.fresh + fresh)


def ended(root: Root, at: datetime, ends: Attributes, error: str = "") -> tuple[Span, ...]:
    """The root's span, and all below it."""
    attributes = root.begun.attributes | ends
    if root.begun.remote:
        attributes |= said.remote(attributes)
    end = max(at, root.begun.begin)
    whole = replace(root.begun, end=end, attributes=attributes, error=error)
    return (whole, *root.below)


def _shown(heard: tuple[Entry, ...]) -> tuple[Message, ...]:
    return tuple(
        Message("user", each.event.text)
        for each in heard
        if isinstance(each.event, MessageReceived)
    )


def _links(heard: tuple[Entry, ...], begun: Span) -> tuple[Link, ...]:
    """The callers of further messages: a span has one parent only."""
    found = (caller(each.trace) for each in heard)
    above = begun.trace, begun.parent
    return tuple(dict.fromkeys(Link(*each) for each in found if each and each != above))

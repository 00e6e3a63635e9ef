"""Where something is said by a client that sends the whole history each time, and no name.

The log is the memory. A conversation that was not named is named by the hash of the history that it
began with, which its first message quotes. So a client that appends comes back to the same one: of
its history some beginning is that hash, and what follows is word for word what the log says was
said there. Where no conversation fits (the history is not ours, or was changed, or is asked about
anew), one is begun, with the history as a quote. What has no history always begins a new one.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Literal

import msgspec
from msgspec import Struct

from stepfold.events.envelope import Entry
from stepfold.events.event import (
    ConversationStarted,
    MessageReceived,
    Reasoned,
    ReasonRequested,
    ResponseGiven,
)
from stepfold.events.values import Text, ToolCall
from stepfold.gateway.front import Front
from stepfold.gateway.items import PAUSE
from stepfold.gateway.principal import VISITOR, Principal
from stepfold.gateway.refusals import FrontRefused, Overtaken

NAME_DIGITS = 32
BEGINNINGS_MAX = 16
"""So many beginnings of a history are looked for, the shortest first: that is the usual one."""
RACES_MAX = 10
_NOT_FOUND = 404


class Line(Struct, frozen=True):
    """`application` is what a client calls system or developer: told to the agent as a note."""

    who: Literal["application", "contact", "agent"]
    text: str


class Exchange(Struct, frozen=True):
    said: str
    answer: str


class History(Struct, frozen=True):
    """What was said and answered before, and what is said now: all that has no answer yet, of which
    the `latest` are the last words.
    """

    exchanges: tuple[Exchange, ...]
    last: str
    latest: str


class Asks(Struct, frozen=True):
    """Who asks whom: what belongs to different ones never shares a conversation. `id` is the
    message's own; `again` whether it may come a second time (it was the client's).
    """

    contact: str
    agent: str
    channel: str
    id: str
    again: bool = False
    trace: str = ""


def history_of(lines: Sequence[Line]) -> History:
    """ValueError when the last word is the agent's, or nobody's."""
    exchanges: list[Exchange] = []
    block: list[Line] = []
    for line in lines:
        if line.who != "agent":
            block.append(line)
        elif exchanges and not block:  # it said something before its tools, and then the answer
            exchanges[-1] = Exchange(exchanges[-1].said, exchanges[-1].answer + PAUSE + line.text)
        else:
            exchanges.append(Exchange(_said(block), line.text))
            block = []
    said = [line.text for line in block if line.who == "contact"]
    if not said:
        raise ValueError("the last message must be the user's")
    return History(tuple(exchanges), _said(block), said[-1])


def _said(block: Sequence[Line]) -> str:
    """The contact's words, after the notes of the application."""
    words = PAUSE.join(line.text for line in block if line.who == "contact")
    notes = [line.text for line in block if line.who == "application"]
    return noted(notes, words)


def noted(notes: Sequence[str], words: str) -> str:
    """A contact's words with what the application adds to them."""
    if not notes:
        return words
    return f"Note of the application:\n\n{_quote(PAUSE.join(notes))}\n\nThe contact:\n\n{words}"


def _quote(text: str) -> str:
    return "\n".join(f"> {line}" for line in text.splitlines())


def quoting(exchanges: Sequence[Exchange], last: str) -> str:
    """One message of it all; every quoted line is marked, so that none can pass for another's."""
    if not exchanges:
        return last
    told = PAUSE.join(
        f"{who}:\n\n{_quote(text)}"
        for each in exchanges
        for who, text in (("The contact", each.said), ("The agent", each.answer))
        if text
    )
    return f"What was said before, as the client tells it:\n\n{told}\n\nNow:\n\n{last}"


# -- what the log says ------------------------------------------------------------------------


class Spoken(Struct, frozen=True):
    """A message of the log and its answer: as given, and with what was said before tools."""

    message: str
    position: int
    said: str
    answers: tuple[str, ...] = ()

    def answers_with(self, text: str) -> bool:
        return text.strip() in [answer.strip() for answer in self.answers]


def spoken(entries: Iterable[Entry]) -> tuple[Spoken, ...]:
    """Message by message. An answer is that to the last message before it."""
    told: list[Spoken] = []
    before: dict[int, list[str]] = {}
    shadows: set[str] = set()
    for entry in entries:
        match entry.event:
            case MessageReceived(message=id, text=text):
                told.append(Spoken(id, entry.position, text))
            case ReasonRequested(shadow=True, call=call):
                shadows.add(call)
            case Reasoned(turn=turn, call=call) if call not in shadows:
                before.setdefault(turn, []).extend(_preamble(entry.event))
            case ResponseGiven(turn=turn, text=text) if told:
                whole = PAUSE.join((*before.get(turn, ()), text))
                last = told[-1]
                told[-1] = Spoken(last.message, last.position, last.said, (text, whole))
            case _:
                pass
    return tuple(told)


def _preamble(answer: Reasoned) -> Iterator[str]:
    if any(isinstance(part, ToolCall) for part in answer.parts):
        text = "".join(part.text for part in answer.parts if isinstance(part, Text))
        if text:
            yield text


def fits(log: Sequence[Spoken], history: History, beginning: int) -> bool:
    """Is what the log says was said what the client says was said after its `beginning`?"""
    quoted, rest = history.exchanges[:beginning], history.exchanges[beginning:]
    wanted = [each.said for each in rest]
    if wanted:
        wanted[0] = quoting(quoted, wanted[0])
    return len(log) == len(rest) > 0 and all(
        each.said == said and each.answers_with(told.answer)
        for each, said, told in zip(log, wanted, rest, strict=True)
    )


def name_of(who: Principal, asks: Asks, exchanges: Sequence[Exchange]) -> str:
    told = (who.customer, who.key, who.contact or asks.contact, asks.agent, tuple(exchanges))
    digest = hashlib.sha256(msgspec.json.encode(told)).hexdigest()
    return f"{asks.channel}-{digest[:NAME_DIGITS]}"


def new_name(who: Principal, asks: Asks) -> str:
    """The same for an id of the client's, which may come again."""
    if not asks.again:
        return f"{asks.channel}-{secrets.token_hex(NAME_DIGITS // 2)}"
    told = (who.customer, who.key, who.contact or asks.contact, asks.agent, asks.id)
    return f"{asks.channel}-{hashlib.sha256(msgspec.json.encode(told)).hexdigest()[:NAME_DIGITS]}"


def own_name(who: Principal, channel: str, name: str) -> str:
    """Of a conversation that a client names. A visitor names only among its own, so that it learns
    nothing of others; a token that is bound to one conversation has that one.
    """
    if VISITOR not in who.scopes:
        return name
    told = (who.customer, who.contact, name)
    digest = hashlib.sha256(msgspec.json.encode(told)).hexdigest()
    return who.conversation or f"{channel}-{digest[:NAME_DIGITS]}"


def message_id(id: str, text: str) -> str:
    """Of a message that has an id of its client's: with other words it is another message."""
    return f"{id}.{hashlib.sha256(text.encode()).hexdigest()[:12]}"


# -- saying it --------------------------------------------------------------------------------


class Place(Struct, frozen=True):
    """Say `text` there: right after the position `after`, where that is not None."""

    conversation: str
    text: str
    after: int | None = None


async def say(front: Front, who: Principal, asks: Asks, history: History) -> Entry:
    """Say it where it belongs. Who comes at the same instant as another one with the same history
    does not share its conversation: one of them is first, and the other looks again.
    """
    for _ in range(RACES_MAX):
        place = await _place(front, who, asks, history)
        with suppress(Overtaken):
            return await _say(front, who, asks, place)
    return await _say(front, who, asks, _begin(new_name(who, asks), history))


async def _place(front: Front, who: Principal, asks: Asks, history: History) -> Place:
    free = ""
    count = len(history.exchanges)
    for beginning in (*range(1, min(count, BEGINNINGS_MAX)), *([count] if count else ())):
        name = name_of(who, asks, history.exchanges[:beginning])
        entries = await _entries(front, who, name)
        if not entries:
            free = name if beginning == count else free
            continue
        log = spoken(entries)
        for each in log:
            if asks.again and each.message == asks.id:
                return Place(name, each.said)
        if fits(log, history, beginning):
            return Place(name, history.last, entries[-1].position)
    if free:
        return _begin(free, history, after=0)
    return _begin(new_name(who, asks), history)


def _begin(name: str, history: History, *, after: int | None = None) -> Place:
    return Place(name, quoting(history.exchanges, history.last), after)


async def _entries(front: Front, who: Principal, name: str) -> list[Entry]:
    """All of its steps; none where there is no such conversation."""
    try:
        return await front.read(who, name)
    except FrontRefused as error:
        if error.status != _NOT_FOUND:
            raise
        return []


async def _say(front: Front, who: Principal, asks: Asks, place: Place) -> Entry:
    return await front.say(
        who,
        place.conversation,
        place.text,
        id=asks.id,
        channel=asks.channel,
        contact=asks.contact,
        trace=asks.trace,
        agent=asks.agent,
        after=place.after,
    )


async def say_in(front: Front, who: Principal, asks: Asks, name: str, history: History) -> Entry:
    """Say the latest words in the conversation of this name: the log knows what was said before.
    Where there is no such conversation yet its first message quotes it. FrontRefused (409) where it
    is with another agent.
    """
    try:
        started = await front.check(who, name)
    except FrontRefused as error:
        if error.status != _NOT_FOUND:
            raise
        with suppress(Overtaken):
            return await _say(front, who, asks, _begin(name, history, after=0))
        started = await front.check(who, name)
    refuse_other(started, asks.agent, name)
    place = Place(name, history.latest)
    known = Asks(asks.contact or started.contact, "", asks.channel, asks.id, asks.again, asks.trace)
    return await _say(front, who, known, place)


def refuse_other(started: ConversationStarted, agent: str, name: str) -> None:
    """A conversation keeps its agent to its end."""
    if agent and started.agent != agent:
        why = f"conversation {name!r} is with agent {started.agent!r}, not {agent!r}: use another"
        raise FrontRefused(409, "Another agent", why)

"""Conversations and what is said in them."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence

from starlette.responses import Response

from stepfold.events.envelope import Entry
from stepfold.events.event import (
    ConversationStarted,
    ConversationStopped,
    MessageReceived,
    ResponseGiven,
    TurnAbandoned,
    TurnCancelled,
)
from stepfold.gateway.bodies import Begin, Cancel, Say
from stepfold.gateway.doors import About, Answer, Asked, Door
from stepfold.gateway.placing import titles_in
from stepfold.gateway.principal import CHAT, READ, VISITOR, Principal
from stepfold.gateway.problems import body_of
from stepfold.gateway.query import (
    AFTER,
    CONVERSATION,
    IDEMPOTENCY,
    LIMIT,
    check_query,
    id_of,
    number,
)
from stepfold.gateway.refusals import FrontRefused
from stepfold.gateway.shapes import (
    Conversation,
    Conversations,
    Listed,
    Messages,
    Recorded,
    Said,
    Steps,
    answer,
)
from stepfold.gateway.steps import standing, step_for

CHANNEL, WIDGET = "api", "widget"
NAME_DIGITS = 24
QUESTION = "Within how many days can I get a refund of my first payment?"
"""What the sample that `stepfold dev` brings answers."""
TALK = (CHAT, READ, VISITOR)
PATH = "/v1/conversations/{conversation}"
LOCATION = {"Location": "Where the steps and words that follow can be heard."}


async def begin(asked: Asked) -> Response:
    check_query(asked.request, ())
    id, body = id_of(asked.request), await body_of(asked.request, Begin)
    if "text" in body.model_fields_set:
        _refuse_silent(body.text, "leave it out to say nothing yet")
    if body.conversation and VISITOR in asked.who.scopes:
        raise FrontRefused(403, "Not permitted", "a visitor does not name conversations: leave it")
    name = asked.who.conversation or body.conversation or _name(asked, id)
    channel, contact = _channel(asked.who), asked.who.contact or body.contact
    entry = await asked.front.start(
        asked.who, name, channel=channel, contact=contact, agent=body.agent
    )
    _refuse_other(entry, contact, body.agent)
    if body.text:
        entry = await asked.front.say(
            asked.who,
            name,
            body.text,
            id=id,
            channel=channel,
            contact=contact,
            language=body.language,
            trace=asked.trace,
        )
    return _recorded(entry, 201)


def _refuse_silent(text: str, way: str) -> None:
    """A turn would cost money to find that nothing was said. FrontRefused (422)."""
    if not text.strip():
        raise FrontRefused(422, "Wrong body", f"text: nothing but space is no message: {way}")


def _name(asked: Asked, id: str) -> str:
    """The same for the same id of the same caller, so that sending it again begins nothing new."""
    if "idempotency-key" not in asked.request.headers:
        return f"c-{secrets.token_hex(NAME_DIGITS // 2)}"
    who = asked.who
    told = "\n".join((who.customer, who.key, who.contact, id))
    return f"c-{hashlib.sha256(told.encode()).hexdigest()[:NAME_DIGITS]}"


def _channel(who: Principal) -> str:
    return WIDGET if VISITOR in who.scopes else CHANNEL


def _refuse_other(entry: Entry, contact: str, agent: str) -> None:
    """Who joins a conversation means the one that is there."""
    started = entry.event
    if not isinstance(started, ConversationStarted):
        return
    if started.contact != contact or (agent and started.agent != agent):
        why = (
            f"conversation {entry.conversation!r} was begun by {started.contact or 'nobody named'}"
            f" with agent {started.agent!r}: use another name, or another Idempotency-Key"
        )
        raise FrontRefused(409, "Another conversation", why)


async def say(asked: Asked) -> Response:
    check_query(asked.request, ())
    id, body = id_of(asked.request), await body_of(asked.request, Say)
    _refuse_silent(body.text, "say something")
    name = asked.named("conversation")
    started = await asked.front.check(asked.who, name)
    entry = await asked.front.say(
        asked.who,
        name,
        body.text,
        id=id,
        channel=_channel(asked.who),
        contact=body.contact or started.contact,
        language=body.language,
        trace=asked.trace,
    )
    return _recorded(entry, 202)


def _recorded(entry: Entry, status: int) -> Response:
    """Whoever listens from here on misses nothing of what follows."""
    said = isinstance(entry.event, MessageReceived)
    where = f"/v1/conversations/{entry.conversation}/events"
    events = f"{where}?after={entry.position}&until=rest"
    message = entry.event.message if isinstance(entry.event, MessageReceived) else ""
    told = Recorded(entry.conversation, entry.position, entry.at, events, message)
    return answer(told, status, Location=events if said else where)


async def cancel(asked: Asked) -> Response:
    check_query(asked.request, ())
    body = await body_of(asked.request, Cancel)
    entry = await asked.front.cancel(asked.who, asked.named("conversation"), reason=body.reason)
    return _recorded(entry, 202)


async def show(asked: Asked) -> Response:
    check_query(asked.request, ())
    name = asked.named("conversation")
    (begin, *_), known = (
        await asked.front.read(asked.who, name),
        await asked.front.known(asked.who, name),
    )
    state = known.state
    started = begin.event if isinstance(begin.event, ConversationStarted) else None
    return answer(
        Conversation(
            conversation=name,
            agent=state.agent,
            standing=standing(state),
            position=known.position,
            turns=state.turns,
            started_at=begin.at,
            contact=started.contact if started else "",
            channel=state.channel,
            stopped=state.stopped,
        )
    )


async def list_(asked: Asked) -> Response:
    check_query(asked.request, (AFTER, LIMIT))
    after, most = number(asked.request, AFTER), number(asked.request, LIMIT)
    found = await asked.front.started(asked.who, after=after, most=most + 1)
    page = [_listed(entry) for entry in found[:most]]
    return answer(Conversations(tuple(page), _next(found, most)))


def _listed(entry: Entry) -> Listed:
    started = entry.event
    if not isinstance(started, ConversationStarted):
        return Listed(entry.conversation, entry.position, entry.at, "")
    return Listed(
        entry.conversation,
        entry.position,
        entry.at,
        started.agent,
        started.contact,
        started.channel,
    )


def _next(found: Sequence[Entry], most: int) -> int | None:
    """Where the next page begins: `found` has one more than `most` where there is one."""
    return found[most - 1].position if len(found) > most else None


async def messages(asked: Asked) -> Response:
    check_query(asked.request, (AFTER, LIMIT))
    after, most = number(asked.request, AFTER), number(asked.request, LIMIT)
    entries = await asked.front.read(asked.who, asked.named("conversation"), after=after)
    told = [said for entry in entries if (said := said_of(entry)) is not None]
    more = told[most - 1].position if len(told) > most else None
    return answer(Messages(tuple(told[:most]), more))


def said_of(entry: Entry) -> Said | None:
    """None for a step in which nothing is said to anybody."""
    position, at = entry.position, entry.at
    match entry.event:
        case MessageReceived(text=text, contact=contact, message=message):
            return Said(position, at, "contact", text, contact, message)
        case ResponseGiven(text=text, turn=turn, outcome=outcome, citations=citations):
            return Said(
                position, at, "agent", text, turn=turn, outcome=outcome, citations=citations
            )
        case TurnAbandoned(turn=turn, reason=reason) | TurnCancelled(turn=turn, reason=reason):
            return Said(position, at, "agent", "", turn=turn, why=reason)
        case ConversationStopped(reason=reason):
            return Said(position, at, "agent", "", why=reason)
        case _:
            return None


async def steps(asked: Asked) -> Response:
    check_query(asked.request, (AFTER, LIMIT))
    after, most = number(asked.request, AFTER), number(asked.request, LIMIT)
    entries = await asked.front.read(asked.who, asked.named("conversation"), after=after)
    titles = {name: title for each in entries for name, title in titles_in(each.event).items()}
    told = [step for entry in entries if (step := step_for(asked.who, entry, titles)) is not None]
    more = told[most - 1].position if len(told) > most else None
    return answer(Steps(tuple(told[:most]), more))


# -- the doors ------------------------------------------------------------------------------------

_RECORDED = {
    "conversation": "c-5f0c2b6f3e1d4a7b8c9d0e1f",
    "position": 2,
    "at": "2026-01-31T09:00:00Z",
    "events": "/v1/conversations/c-5f0c2b6f3e1d4a7b8c9d0e1f/events?after=2&until=rest",
    "message": "m-1",
}
_SAYS = Answer("It is in the log.", Recorded, example=_RECORDED, headers=LOCATION)
TAG = "conversations"

DOORS = (
    Door(
        "POST",
        "/v1/conversations",
        begin,
        About(
            "beginConversation",
            "Begin a conversation, with a first message or without.",
            "The agent that is appointed now answers in it, in this version, to its end.",
            body=Begin,
            example={"text": QUESTION, "contact": "ada"},
            parameters=(IDEMPOTENCY,),
            answers={201: _SAYS},
            refusals=(404, 409),
            tag=TAG,
        ),
        scopes=(CHAT, VISITOR),
    ),
    Door(
        "GET",
        "/v1/conversations",
        list_,
        About(
            "listConversations",
            "The customer's conversations, the oldest first.",
            parameters=(AFTER, LIMIT),
            answers={200: Answer("A page of them.", Conversations)},
            tag=TAG,
        ),
        scopes=(READ,),
    ),
    Door(
        "GET",
        PATH,
        show,
        About(
            "showConversation",
            "How a conversation stands.",
            parameters=(CONVERSATION,),
            answers={200: Answer("As of now.", Conversation)},
            refusals=(404,),
            tag=TAG,
        ),
        scopes=TALK,
    ),
    Door(
        "POST",
        f"{PATH}/messages",
        say,
        About(
            "say",
            "Say something in a conversation.",
            "It is acknowledged when it is in the log, before anybody thinks about it.",
            body=Say,
            example={"text": "And how long is the free trial?"},
            parameters=(CONVERSATION, IDEMPOTENCY),
            answers={202: _SAYS},
            refusals=(404, 409),
            tag=TAG,
        ),
        scopes=(CHAT, VISITOR),
    ),
    Door(
        "GET",
        f"{PATH}/messages",
        messages,
        About(
            "listMessages",
            "What was said in a conversation, and where nothing was, why.",
            parameters=(CONVERSATION, AFTER, LIMIT),
            answers={200: Answer("A page of it.", Messages)},
            refusals=(404,),
            tag=TAG,
        ),
        scopes=TALK,
    ),
    Door(
        "GET",
        f"{PATH}/steps",
        steps,
        About(
            "listSteps",
            "The steps of a conversation, as they are in the log.",
            "Without the scope `read` only what a contact may know of them.",
            parameters=(CONVERSATION, AFTER, LIMIT),
            answers={200: Answer("A page of them.", Steps)},
            refusals=(404,),
            tag=TAG,
        ),
        scopes=TALK,
    ),
    Door(
        "POST",
        f"{PATH}/cancel",
        cancel,
        About(
            "cancelTurn",
            "End the turn that runs. A tool that has started is not stopped.",
            body=Cancel,
            example={"reason": "asked to stop"},
            parameters=(CONVERSATION,),
            answers={202: _SAYS},
            refusals=(404, 409),
            tag=TAG,
        ),
        scopes=(CHAT, VISITOR),
    ),
)

"""POST /v1/responses: an agent, spoken to as OpenAI's Responses are. GET one, or cancel it.

    resp_<position>_<conversation>

A response is a message of the log and what came of it: its id says which, so any gateway finds it.
One that is not to be stored has an id that says nothing; the log keeps it all the same.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from msgspec import Struct
from msgspec.structs import replace
from starlette.responses import JSONResponse, Response

from stepfold.events.envelope import Entry
from stepfold.events.event import ConversationStarted, MessageReceived
from stepfold.gateway.answers import answered, answering_for
from stepfold.gateway.conversations import QUESTION
from stepfold.gateway.doors import About, Answer, Asked, Door, Parameter
from stepfold.gateway.histories import (
    Asks,
    Exchange,
    History,
    new_name,
    refuse_other,
    say,
    say_in,
    spoken,
)
from stepfold.gateway.items import Ended
from stepfold.gateway.openai_asked import ResponsesBody, check, input_history
from stepfold.gateway.openai_outputs import Head, Writing
from stepfold.gateway.openai_shared import (
    CHANNEL,
    ERRORS,
    OpenAIRefused,
    error_of,
    given,
    told,
)
from stepfold.gateway.principal import CHAT, READ
from stepfold.gateway.query import IDEMPOTENCY, check_query, id_of
from stepfold.gateway.refusals import FrontRefused
from stepfold.gateway.sending import BODY_BYTES_MAX, data, no_answer, streamed, whole
from stepfold.gateway.streaming import MEDIA

_ID = re.compile(r"resp_([0-9]{1,18})_([A-Za-z0-9_=+@:~-]{1,128})")


class Said(Struct, frozen=True):
    """A response that can be asked for: the message at `position` of a conversation."""

    position: int
    conversation: str

    @property
    def id(self) -> str:
        return f"resp_{self.position}_{self.conversation}"


def read_id(id: str) -> Said:
    """FrontRefused (404) for what is no id of ours."""
    found = _ID.fullmatch(id)
    if found is None:
        raise _nothing(id)
    return Said(int(found[1]), found[2])


def _nothing(id: str) -> FrontRefused:
    return FrontRefused(404, "No such response", f"Response with id {id[:200]!r} not found.")


# -- saying -----------------------------------------------------------------------------------


async def create(asked: Asked) -> Response:
    body = await given(asked.request, ResponsesBody)
    check(body)
    if not body.stream:
        return await _response(asked, body)
    return await streamed(
        asked,
        lambda: _say(asked, body),
        lambda entry: _events(asked, entry, body),
        _failed,
        once=True,
    )


async def _response(asked: Asked, body: ResponsesBody) -> Response:
    """In the background as it is at once, else as it is in the end."""
    if body.background:
        return JSONResponse(Writing(_head(await _say(asked, body), body)).response())
    entry, items = await whole(asked, lambda: _say(asked, body))
    if isinstance(end := items[-1], Ended):
        raise no_answer(end, entry.conversation)
    writing = Writing(_head(entry, body))
    for item in items:
        writing.take(item)
    return JSONResponse(writing.response())


async def _say(asked: Asked, body: ResponsesBody) -> Entry:
    history = input_history(body)
    asks = Asks(
        contact=body.user or body.safety_identifier or "",
        agent=body.model,
        channel=CHANNEL,
        id=id_of(asked.request),
        again="idempotency-key" in asked.request.headers,
        trace=asked.trace,
    )
    if body.previous_response_id:
        return await _say_after(asked, asks, read_id(body.previous_response_id), history)
    if body.conversation:
        given = body.conversation
        name = given if isinstance(given, str) else given.id
        return await say_in(asked.front, asked.who, asks, name, history)
    return await say(asked.front, asked.who, asks, history)


async def _say_after(asked: Asked, asks: Asks, before: Said, history: History) -> Entry:
    """In the same conversation, if nothing was said since; else in a new one, which quotes what
    had been said by then.
    """
    entries = await _entries(asked, before)
    log = spoken(entries)
    number = next(n for n, each in enumerate(log) if each.position == before.position)
    repeated = asks.again and any(each.message == asks.id for each in log[number + 1 :])
    if not log[number].answers and not repeated:
        why = f"response {before.id!r} has no answer yet, or none at all: wait for it, or leave out"
        raise OpenAIRefused(f"{why} previous_response_id", "previous_response_id")
    started = entries[0].event
    assert isinstance(started, ConversationStarted)
    refuse_other(started, asks.agent, before.conversation)
    if number == len(log) - 1 or repeated:
        return await say_in(asked.front, asked.who, asks, before.conversation, history)
    past = tuple(Exchange(each.said, (each.answers or ("",))[0]) for each in log[: number + 1])
    both = replace(history, exchanges=(*past, *history.exchanges))
    return await say_in(asked.front, asked.who, asks, new_name(asked.who, asks), both)


async def _entries(asked: Asked, said: Said) -> list[Entry]:
    """The whole conversation; FrontRefused (404) where this message is not in it."""
    try:
        entries = await asked.front.read(asked.who, said.conversation)
    except FrontRefused as error:
        if error.status == 404:  # noqa: PLR2004
            raise _nothing(said.id) from error
        raise
    if not any(_is(entry, said) for entry in entries):
        raise _nothing(said.id)
    return entries


def _is(entry: Entry, said: Said) -> bool:
    return entry.position == said.position and isinstance(entry.event, MessageReceived)


# -- answering --------------------------------------------------------------------------------


def _head(entry: Entry, body: ResponsesBody) -> Head:
    stored = body.store is not False
    id = Said(entry.position, entry.conversation).id if stored else f"resp_{secrets.token_hex(16)}"
    return Head(
        id=id,
        conversation=entry.conversation,
        model=body.model,
        created_at=int(entry.at.timestamp()),
        previous=body.previous_response_id,
        store=stored,
        background=bool(body.background),
        instructions=body.instructions,
        metadata=body.metadata or {},
        user=body.user,
    )


async def _events(asked: Asked, entry: Entry, body: ResponsesBody) -> AsyncGenerator[str, None]:
    writing = Writing(_head(entry, body))
    for event in writing.begin():
        yield data(event, event["type"])
    async with aclosing(answered(asked.front, asked.who, entry, live=True)) as items:
        async for item in items:
            for event in writing.take(item):
                yield data(event, event["type"])


def _failed(error: FrontRefused) -> str:
    told = error_of(error)
    event = {"type": "error", "sequence_number": 0, **{k: told[k] for k in _ERROR}}
    return data(event, "error")


_ERROR = ("code", "message", "param")


async def show(asked: Asked) -> Response:
    """As of now, out of the log."""
    if asked.request.query_params.get("stream") == "true":
        raise OpenAIRefused("a response is streamed when it is made: ask without", "stream")
    said = read_id(asked.named("response"))
    return JSONResponse((await _written(asked, said)).response())


async def _written(asked: Asked, said: Said) -> Writing:
    entries = await _entries(asked, said)
    answering = await answering_for(asked.front, asked.who, entries, said.position, live=False)
    writing = Writing(_shown_head(entries, said))
    for entry in entries:
        if entry.position > said.position:
            for item in answering.take(entry):
                writing.take(item)
    return writing


def _shown_head(entries: Sequence[Entry], said: Said) -> Head:
    (entry,) = (each for each in entries if each.position == said.position)
    earlier = [each for each in spoken(entries) if each.position < said.position]
    started, message = entries[0].event, entry.event
    return Head(
        id=said.id,
        conversation=said.conversation,
        model=started.agent if isinstance(started, ConversationStarted) else "",
        created_at=int(entry.at.timestamp()),
        previous=Said(earlier[-1].position, said.conversation).id if earlier else None,
        user=(message.contact or None) if isinstance(message, MessageReceived) else None,
    )


async def cancel(asked: Asked) -> Response:
    """End the turn that makes it; one that is over stays as it is."""
    check_query(asked.request, ())
    said = read_id(asked.named("response"))
    if (await _written(asked, said)).status == "in_progress":
        await asked.front.cancel(asked.who, said.conversation, reason="cancelled by the client")
    return JSONResponse((await _written(asked, said)).response())


TAG = "openai"
RESPONSE = Parameter("response", "path", {"type": "string"}, "The id of a response.")
_EXAMPLE = {"model": "help-desk", "input": QUESTION}
_OBJECT = Answer("As OpenAI has it.")
_MADE = Answer("As OpenAI has it; with `stream` its events.", also=(MEDIA,))

DOORS = (
    Door(
        "POST",
        "/v1/responses",
        create,
        About(
            "createResponse",
            "Ask an agent: OpenAI's Responses.",
            "The agent's own tools are run here and shown as `file_search_call` and `mcp_call`.",
            body=ResponsesBody,
            example=_EXAMPLE,
            parameters=(IDEMPOTENCY,),
            answers={200: _MADE, **ERRORS},
            tag=TAG,
        ),
        scopes=(CHAT,),
        told=told,
        bytes_max=BODY_BYTES_MAX,
    ),
    Door(
        "GET",
        "/v1/responses/{response}",
        show,
        About(
            "showResponse",
            "A response as it is now.",
            parameters=(RESPONSE,),
            answers={200: _OBJECT, **ERRORS},
            tag=TAG,
        ),
        scopes=(CHAT, READ),
        told=told,
    ),
    Door(
        "POST",
        "/v1/responses/{response}/cancel",
        cancel,
        About(
            "cancelResponse",
            "End the turn that makes a response.",
            parameters=(RESPONSE,),
            answers={200: _OBJECT, **ERRORS},
            tag=TAG,
        ),
        scopes=(CHAT,),
        told=told,
    ),
)

"""POST /v1/ai-sdk: what `useChat` and `DefaultChatTransport` of the npm package `ai` speak.

    api: "/v1/ai-sdk"                  the chat's id is the conversation's name
    GET /v1/ai-sdk/{chat}/stream       goes on after a reload: the running answer from its beginning

The log is the memory: of the messages that are sent the last one is said. Its id is the client's,
so that sent again it is the same message.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool
from starlette.responses import Response

from stepfold.events.envelope import Entry
from stepfold.events.event import MessageReceived
from stepfold.gateway.ai_sdk_parts import Parts
from stepfold.gateway.answers import answered, answering_for
from stepfold.gateway.doors import About, Answer, Asked, Door, Parameter
from stepfold.gateway.histories import (
    Asks,
    History,
    Line,
    history_of,
    message_id,
    own_name,
    say_in,
)
from stepfold.gateway.items import PAUSE
from stepfold.gateway.principal import CHAT, VISITOR
from stepfold.gateway.problems import body_of
from stepfold.gateway.query import check_query
from stepfold.gateway.refusals import FrontRefused
from stepfold.gateway.sending import BODY_BYTES_MAX, DONE, StreamEvent, data, streamed
from stepfold.gateway.streaming import MEDIA

CHANNEL = "ai-sdk"
STREAM = {"X-Vercel-AI-UI-Message-Stream": "v1"}
MESSAGES_MAX = 2_000
_NOT_FOUND = 404
_WHO: dict[str, Literal["application", "contact", "agent"]] = {
    "system": "application",
    "user": "contact",
    "assistant": "agent",
}


class _Open(BaseModel):
    model_config = ConfigDict(extra="allow")


class UiPart(_Open):
    type: str
    text: str | None = None


class UiMessage(_Open):
    id: Annotated[str, Field(max_length=128)] = ""
    role: Literal["system", "user", "assistant"]
    parts: list[UiPart]


class UiBody(_Open):
    """As the transport sends it: `messages`, or the last one as `message`. With `thinking` what the
    model thinks is told too, where the key may read it.
    """

    id: Annotated[str, Field(min_length=1, max_length=128, description="The conversation.")]
    messages: Annotated[list[UiMessage], Field(max_length=MESSAGES_MAX)] = []
    message: UiMessage | None = None
    trigger: Literal["submit-message", "regenerate-message"] = "submit-message"
    thinking: StrictBool = False


async def chat(asked: Asked) -> Response:
    body = await body_of(asked.request, UiBody)
    history, own = ui_history(body)
    name = own_name(asked.who, CHANNEL, body.id)
    id = message_id(own or secrets.token_hex(8), history.latest)
    if body.trigger == "regenerate-message":
        id = f"{id}.{secrets.token_hex(4)}"
    asks = Asks(asked.who.contact, "", CHANNEL, id, again=True, trace=asked.trace)
    return await streamed(
        asked,
        lambda: say_in(asked.front, asked.who, asks, name, history),
        lambda entry: _parts(asked, entry, thinking=body.thinking),
        _failed,
        headers=STREAM,
    )


def ui_history(body: UiBody) -> tuple[History, str]:
    """What was said, and the id of what is said now. FrontRefused (422) for what is no text."""
    messages = [*body.messages, *([body.message] if body.message else [])]
    while messages and messages[-1].role == "assistant":  # the answer that is to be made again
        messages.pop()
    lines = [
        Line(_WHO[each.role], text)
        for number, each in enumerate(messages)
        if (text := _text(each, number))
    ]
    try:
        return history_of(lines), messages[-1].id if messages else ""
    except ValueError as error:
        raise FrontRefused(422, "Wrong body", f"messages: {error}") from error


def _text(message: UiMessage, number: int) -> str:
    if message.role == "user" and any(part.type == "file" for part in message.parts):
        why = f"messages.{number}: files cannot be sent here yet: send text"
        raise FrontRefused(422, "Wrong body", why)
    return PAUSE.join(part.text for part in message.parts if part.type == "text" and part.text)


async def go_on(asked: Asked) -> Response:
    """204 where nothing is being answered."""
    check_query(asked.request, ())
    name = own_name(asked.who, CHANNEL, asked.named("chat"))
    running = await _running(asked, name)
    if running is None:
        return Response(status_code=204)
    entry = running

    async def there() -> Entry:
        return entry

    return await streamed(
        asked, there, lambda entry: _parts(asked, entry, thinking=False), _failed, headers=STREAM
    )


async def _running(asked: Asked, name: str) -> Entry | None:
    """The last message, while it is being answered."""
    try:
        entries = await asked.front.read(asked.who, name)
    except FrontRefused as error:
        if error.status != _NOT_FOUND:
            raise
        return None
    said = [each for each in entries if isinstance(each.event, MessageReceived)]
    if not said:
        return None
    position = said[-1].position
    answering = await answering_for(asked.front, asked.who, entries, position, live=False)
    for entry in entries:
        if entry.position > position:
            answering.take(entry)
    return None if answering.over else said[-1]


async def _parts(asked: Asked, entry: Entry, *, thinking: bool) -> AsyncGenerator[str, None]:
    parts = Parts(f"{entry.conversation}.{entry.position}", entry.conversation, thinking=thinking)
    for part in parts.begin():
        yield data(part)
    async with aclosing(answered(asked.front, asked.who, entry, live=True)) as items:
        async for item in items:
            for part in parts.take(item):
                yield data(part)
    yield DONE


def _failed(error: FrontRefused) -> str:
    return data({"type": "error", "errorText": error.detail})


TAG = "ai-sdk"
_EXAMPLE = {
    "id": "chat-1",
    "messages": [
        {"id": "m1", "role": "user", "parts": [{"type": "text", "text": "Can I get a refund?"}]}
    ],
}
_STREAM = Answer("The UI message stream, v1.", StreamEvent, MEDIA)

DOORS = (
    Door(
        "POST",
        "/v1/ai-sdk",
        chat,
        About(
            "chatWithAiSdk",
            "Say something, and hear the answer as the AI SDK's UI message stream.",
            body=UiBody,
            example=_EXAMPLE,
            answers={200: _STREAM},
            refusals=(404, 409, 413, 415, 422, 429),
            tag=TAG,
        ),
        scopes=(CHAT, VISITOR),
        bytes_max=BODY_BYTES_MAX,
    ),
    Door(
        "GET",
        "/v1/ai-sdk/{chat}/stream",
        go_on,
        About(
            "resumeAiSdkChat",
            "Hear the answer that is being made, from its beginning.",
            parameters=(Parameter("chat", "path", {"type": "string"}, "The chat's id."),),
            answers={200: _STREAM, 204: Answer("Nothing is being answered.")},
            refusals=(404, 422, 429),
            tag=TAG,
        ),
        scopes=(CHAT, VISITOR),
    ),
)

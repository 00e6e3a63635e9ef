"""POST /v1/ag-ui: a run of an agent for clients of AG-UI. The thread is the conversation.

The log is the memory: of the messages that are sent the last one is said. Tools of the client's are
not called; its `context` is a note to what is said.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from stepfold.events.envelope import Entry
from stepfold.gateway.ag_ui_events import Run, failed
from stepfold.gateway.answers import answered
from stepfold.gateway.doors import About, Answer, Asked, Door
from stepfold.gateway.histories import (
    Asks,
    History,
    Line,
    history_of,
    message_id,
    noted,
    own_name,
    say_in,
)
from stepfold.gateway.items import PAUSE
from stepfold.gateway.principal import CHAT, VISITOR
from stepfold.gateway.problems import body_of
from stepfold.gateway.refusals import FrontRefused
from stepfold.gateway.sending import BODY_BYTES_MAX, StreamEvent, data, streamed
from stepfold.gateway.streaming import MEDIA

CHANNEL = "ag-ui"
MESSAGES_MAX = 2_000
_WHO: dict[str, Literal["application", "contact", "agent"]] = {
    "system": "application",
    "developer": "application",
    "user": "contact",
    "assistant": "agent",
}


class _Open(BaseModel):
    model_config = ConfigDict(extra="allow")


class AgPart(_Open):
    type: str
    text: str | None = None


class AgMessage(_Open):
    id: Annotated[str, Field(max_length=128)] = ""
    role: str
    content: Any = None


class AgContext(_Open):
    description: str
    value: str


class AgInput(_Open):
    """RunAgentInput."""

    thread_id: Annotated[str, Field(alias="threadId", min_length=1, max_length=128)]
    run_id: Annotated[str, Field(alias="runId", min_length=1, max_length=128)]
    messages: Annotated[list[AgMessage], Field(max_length=MESSAGES_MAX)]
    context: Annotated[list[AgContext], Field(max_length=MESSAGES_MAX)] = []


async def run(asked: Asked) -> Response:
    body = await body_of(asked.request, AgInput)
    history, own = ag_history(body)
    id = message_id(own or secrets.token_hex(8), history.latest)
    asks = Asks(asked.who.contact, "", CHANNEL, id, again=True, trace=asked.trace)
    name = own_name(asked.who, CHANNEL, body.thread_id)
    return await streamed(
        asked,
        lambda: say_in(asked.front, asked.who, asks, name, history),
        lambda entry: _events(asked, entry, body),
        _failed,
    )


def ag_history(body: AgInput) -> tuple[History, str]:
    """What was said, and the id of what is said now. FrontRefused (422) for what is no text."""
    notes = [f"{each.description}: {each.value}" for each in body.context]
    said = [each for each in body.messages if each.role in _WHO]
    lines = [
        Line(_WHO[each.role], text)
        for number, each in enumerate(said)
        if (text := _text(each, number))
    ]
    if lines and lines[-1].who == "contact":
        lines[-1] = Line("contact", noted(notes, lines[-1].text))
    try:
        return history_of(lines), said[-1].id if said else ""
    except ValueError as error:
        raise FrontRefused(422, "Wrong body", f"messages: {error}") from error


def _text(message: AgMessage, number: int) -> str:
    if message.content is None or isinstance(message.content, str):
        return message.content or ""
    parts = message.content if isinstance(message.content, list) else [None]
    found = [part.get("text") if isinstance(part, dict) else None for part in parts]
    texts = [text for text in found if isinstance(text, str)]
    if len(texts) < len(found):
        raise FrontRefused(422, "Wrong body", f"messages.{number}: only text can be sent here")
    return PAUSE.join(texts)


async def _events(asked: Asked, entry: Entry, body: AgInput) -> AsyncGenerator[str, None]:
    run = Run(body.thread_id, body.run_id, f"{entry.conversation}.{entry.position}")
    for event in run.begin():
        yield data(event)
    async with aclosing(answered(asked.front, asked.who, entry, live=True)) as items:
        async for item in items:
            for event in run.take(item):
                yield data(event)


def _failed(error: FrontRefused) -> str:
    return data(failed(error.detail, error.title))


_EXAMPLE = {
    "threadId": "thread-1",
    "runId": "run-1",
    "messages": [{"id": "m1", "role": "user", "content": "Can I get a refund?"}],
    "tools": [],
    "context": [],
    "state": {},
    "forwardedProps": {},
}

DOORS = (
    Door(
        "POST",
        "/v1/ag-ui",
        run,
        About(
            "runAgent",
            "Say something, and hear the answer as events of AG-UI.",
            body=AgInput,
            example=_EXAMPLE,
            answers={200: Answer("The events of the run.", StreamEvent, MEDIA)},
            refusals=(404, 409, 413, 415, 422, 429),
            tag="ag-ui",
        ),
        scopes=(CHAT, VISITOR),
        bytes_max=BODY_BYTES_MAX,
    ),
)

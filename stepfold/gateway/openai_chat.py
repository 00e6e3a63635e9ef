"""POST /v1/chat/completions: an agent, spoken to as a model. Each request carries the history.

What a client may say twice is taken for a new question, unless it shows an Idempotency-Key.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool
from starlette.responses import JSONResponse, Response

from stepfold.events.envelope import Entry
from stepfold.gateway.answers import answered
from stepfold.gateway.bodies import NAME_OR_NONE
from stepfold.gateway.conversations import QUESTION
from stepfold.gateway.doors import About, Answer, Asked, Door, Json, Parameter
from stepfold.gateway.histories import Asks, History, Line, history_of, say, say_in
from stepfold.gateway.items import PAUSE, Ended, Given, Item, Piece
from stepfold.gateway.openai_shared import (
    CHANNEL,
    ERRORS,
    TOOLS,
    GivenPart,
    OpenAIRefused,
    Refused,
    chat_annotations,
    chat_usage,
    check_extra,
    error_of,
    given,
    models,
    one_model,
    text_of,
    told,
    told_extra,
)
from stepfold.gateway.principal import CHAT, READ
from stepfold.gateway.query import IDEMPOTENCY, id_of
from stepfold.gateway.refusals import FrontRefused
from stepfold.gateway.sending import BODY_BYTES_MAX, DONE, data, no_answer, streamed, whole
from stepfold.gateway.streaming import MEDIA

MESSAGES_MAX = 2_000
REFUSED = {
    "tools": TOOLS,
    "tool_choice": TOOLS,
    "functions": TOOLS,
    "function_call": TOOLS,
    "n": Refused("there is one answer to a message", (1,)),
    "logprobs": Refused("the probabilities of an agent's words are not known", (False,)),
    "top_logprobs": Refused("the probabilities of an agent's words are not known", (0,)),
    "response_format": Refused("an agent answers in text", ({"type": "text"},)),
    "modalities": Refused("an agent answers in text", (["text"],)),
    "audio": Refused("an agent answers in text"),
    "prediction": Refused("an agent does not edit a text"),
    "web_search_options": Refused("an agent searches by its own tools"),
    "stop": Refused("an agent says its answer to the end", ([], "")),
}
IGNORED = frozenset(
    (
        "frequency_penalty",
        "logit_bias",
        "max_completion_tokens",
        "max_tokens",
        "moderation",
        "parallel_tool_calls",
        "presence_penalty",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "reasoning_effort",
        "seed",
        "service_tier",
        "store",
        "temperature",
        "top_p",
        "verbosity",
    )
)
"""How its models are asked is the agent's own business."""
FINISHES = {"length": "length", "content_filter": "content_filter"}
_WHO: dict[str, Literal["application", "contact", "agent"]] = {
    "system": "application",
    "developer": "application",
    "user": "contact",
    "assistant": "agent",
}


class _Open(BaseModel):
    model_config = ConfigDict(extra="allow")


class ChatMessage(_Open):
    role: Annotated[
        Literal["system", "developer", "user", "assistant", "tool", "function"],
        Field(json_schema_extra={"enum": list(_WHO)}),
    ]
    content: str | list[GivenPart] | None = None
    refusal: str | None = None
    tool_calls: Annotated[
        list[Any] | None,
        Field(max_length=MESSAGES_MAX, json_schema_extra={"anyOf": [{"enum": [None, []]}]}),
    ] = None


class StreamOptions(_Open):
    include_usage: StrictBool | None = None


class ChatBody(_Open):
    """Other parameters are ignored, or refused where that would change what is asked for."""

    model_config = ConfigDict(extra="allow", json_schema_extra=told_extra(REFUSED, IGNORED))

    model: Annotated[str, Field(min_length=1, max_length=128, description="An agent's name.")]
    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=MESSAGES_MAX)]
    stream: StrictBool | None = None
    stream_options: StreamOptions | None = None
    user: Annotated[str, Field(max_length=128, description="Who writes, by your name.")] | None = (
        None
    )
    safety_identifier: Annotated[str, Field(max_length=128)] | None = None
    metadata: (
        Annotated[
            dict[str, str],
            Field(description="`conversation` names the conversation; then only its last is said."),
        ]
        | None
    ) = None


CONVERSATION = Parameter(
    "X-Conversation",
    "header",
    {"type": "string", "pattern": NAME_OR_NONE},
    "Your name of the conversation, as `metadata.conversation`.",
)


async def complete(asked: Asked) -> Response:
    body = await given(asked.request, ChatBody)
    check_extra(body, REFUSED, IGNORED)
    history = chat_history(body)
    asks = Asks(
        contact=body.user or body.safety_identifier or "",
        agent=body.model,
        channel=CHANNEL,
        id=id_of(asked.request),
        again="idempotency-key" in asked.request.headers,
        trace=asked.trace,
    )
    if not body.stream:
        entry, items = await whole(asked, lambda: _say(asked, body, asks, history))
        return _completion(entry, body, items)
    usage = bool(body.stream_options and body.stream_options.include_usage)
    return await streamed(
        asked,
        lambda: _say(asked, body, asks, history),
        lambda entry: _chunks(asked, entry, body.model, usage=usage),
        _failed,
        once=True,
    )


async def _say(asked: Asked, body: ChatBody, asks: Asks, history: History) -> Entry:
    name = (body.metadata or {}).get("conversation", "")
    name = name or asked.request.headers.get("x-conversation", "")
    if name:
        return await say_in(asked.front, asked.who, asks, name, history)
    return await say(asked.front, asked.who, asks, history)


def chat_history(body: ChatBody) -> History:
    """Its messages; OpenAIRefused for those of tools, which are the agent's own."""
    lines = []
    for number, message in enumerate(body.messages):
        where = f"messages[{number}]"
        who = _WHO.get(message.role)
        if who is None or message.tool_calls:
            why = f"{where}: the agent runs its own tools: send what was said, not their calls"
            raise OpenAIRefused(why, where, "unsupported_role")
        text = text_of(message.content, f"{where}.content")
        if text := text or message.refusal or "":
            lines.append(Line(who, text))
    try:
        return history_of(lines)
    except ValueError as error:
        raise OpenAIRefused(f"messages: {error}", "messages") from error


# -- what is answered -------------------------------------------------------------------------


def _head(entry: Entry, model: str, object: str) -> Json:
    return {
        "id": f"chatcmpl-{entry.conversation}.{entry.position}",
        "object": object,
        "created": int(entry.at.timestamp()),
        "model": model,
    }


def _completion(entry: Entry, body: ChatBody, items: list[Item]) -> Response:
    end = items[-1]
    if not isinstance(end, Given):
        assert isinstance(end, Ended)
        raise no_answer(end, entry.conversation)
    message: Json = {
        "role": "assistant",
        "content": end.whole,
        "refusal": None,
        "annotations": _annotations(end),
    }
    choice = {
        "index": 0,
        "message": message,
        "finish_reason": FINISHES.get(end.finish, "stop"),
        "logprobs": None,
    }
    head = _head(entry, body.model, "chat.completion")
    answer = {**head, "choices": [choice], "usage": chat_usage(end.usage)}
    return JSONResponse(answer, headers={"X-Conversation": entry.conversation})


def _annotations(end: Given) -> list[Json]:
    before = len(end.whole) - len(end.text)
    return chat_annotations(cite.moved(before) for cite in end.citations)


class Chunking:
    """Items in, chunks out: one text, whatever it was said in."""

    def __init__(self, head: Json, *, usage: bool) -> None:
        self._head = head
        self._with_usage = usage
        self._part = ""

    def begin(self) -> Json:
        return self._chunk({"role": "assistant", "content": "", "refusal": None})

    def take(self, item: Item) -> list[Json]:
        match item:
            case Piece(part=part, text=text):
                pause = PAUSE if self._part not in ("", part) else ""
                self._part = part
                return [self._chunk({"content": pause + text})]
            case Given():
                return self._end(item)
            case _:
                return []

    def _end(self, end: Given) -> list[Json]:
        told = []
        if annotations := _annotations(end):
            told.append(self._chunk({"annotations": annotations}))
        told.append(self._chunk({}, FINISHES.get(end.finish, "stop")))
        if self._with_usage:
            told.append({**self._head, "choices": [], "usage": chat_usage(end.usage)})
        return told

    def _chunk(self, delta: Json, finish: str | None = None) -> Json:
        choice: dict[str, Any] = {
            "index": 0,
            "delta": delta,
            "finish_reason": finish,
            "logprobs": None,
        }
        usage = {"usage": None} if self._with_usage else {}
        return {**self._head, "choices": [choice], **usage}


async def _chunks(
    asked: Asked, entry: Entry, model: str, *, usage: bool
) -> AsyncGenerator[str, None]:
    chunking = Chunking(_head(entry, model, "chat.completion.chunk"), usage=usage)
    yield data(chunking.begin())
    async with aclosing(answered(asked.front, asked.who, entry, live=True)) as items:
        async for item in items:
            if isinstance(item, Ended):
                raise no_answer(item, entry.conversation)
            for chunk in chunking.take(item):
                yield data(chunk)
    yield DONE


def _failed(error: FrontRefused) -> str:
    return data({"error": error_of(error)})


TAG = "openai"
_EXAMPLE = {
    "model": "help-desk",
    "messages": [{"role": "user", "content": QUESTION}],
}
_OBJECT = "As OpenAI has it; with `stream` server-sent events of chunks, and `[DONE]`."

DOORS = (
    Door(
        "POST",
        "/v1/chat/completions",
        complete,
        About(
            "completeChat",
            "Ask an agent as a model is asked: OpenAI's Chat Completions.",
            "The agent's own tools are run here. `metadata.conversation` or X-Conversation names"
            " the conversation; else it is found by the history that is sent.",
            body=ChatBody,
            example=_EXAMPLE,
            parameters=(CONVERSATION, IDEMPOTENCY),
            answers={200: Answer(_OBJECT, also=(MEDIA,)), **ERRORS},
            tag=TAG,
        ),
        scopes=(CHAT,),
        told=told,
        bytes_max=BODY_BYTES_MAX,
    ),
    Door(
        "GET",
        "/v1/models",
        models,
        About(
            "listModels",
            "The agents, as OpenAI lists models.",
            answers={200: Answer("All of them."), **ERRORS},
            tag=TAG,
        ),
        scopes=(CHAT, READ),
        told=told,
    ),
    Door(
        "GET",
        "/v1/models/{model}",
        one_model,
        About(
            "showModel",
            "One agent, as OpenAI shows a model.",
            parameters=(Parameter("model", "path", {"type": "string"}, "The agent's name."),),
            answers={200: Answer("It is there."), **ERRORS},
            tag=TAG,
        ),
        scopes=(CHAT, READ),
        told=told,
    ),
)

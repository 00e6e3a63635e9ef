"""An OpenAI that answers on loopback with what a test names, in both of its dialects."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from stepfold.events.transcript import Heard
from stepfold.policy.toolspec import ToolSpec
from stepfold.providers.model import Delta, ModelError, Prompt, Reply
from stepfold.providers.openai import DialectName, OpenAI
from stepfold.providers.wire import Json
from tests.providers.openai_recordings import in_pieces
from tests.providers.raw_server import Answer, RawServer, json, serving, stream

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
DIALECTS: tuple[DialectName, ...] = ("responses", "chat")
both = pytest.mark.parametrize("dialect", DIALECTS)

MESSAGE: Json = {
    "type": "message",
    "id": "msg_1",
    "role": "assistant",
    "status": "completed",
    "content": [{"type": "output_text", "text": "Hello there, friend.", "annotations": []}],
}
WHOLE: dict[DialectName, Json] = {
    "responses": {
        "id": "resp_1",
        "model": "gpt-5-2025-08-07",
        "status": "completed",
        "output": [MESSAGE],
        "service_tier": "flex",
        "usage": {"input_tokens": 12, "output_tokens": 5},
    },
    "chat": {
        "id": "chatcmpl_1",
        "model": "gpt-5-2025-08-07",
        "service_tier": "flex",
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": "Hello there, friend."},
            }
        ],
        "usage": {"prompt_tokens": 12, "completion_tokens": 5},
    },
}


def prompt(**more: Any) -> Prompt:
    return Prompt(
        instructions="Be brief.",
        tools=(ToolSpec("look_up"),),
        transcript=(Heard("Hello"),),
        call="r1",
        model="gpt-5",
        traceparent=TRACE,
        **more,
    )


@asynccontextmanager
async def model(
    dialect: DialectName, *answers: Answer, **more: Any
) -> AsyncIterator[tuple[OpenAI, RawServer]]:
    async with serving(*answers) as server:
        openai = OpenAI(api_key="sk-test", base_url=server.url, dialect=dialect, **more)
        try:
            yield openai, server
        finally:
            await openai.close()


async def failed(
    dialect: DialectName,
    answer: Answer,
    *,
    hear: Callable[[Delta], None] | None = None,
    **more: Any,
) -> ModelError:
    async with model(dialect, answer, **more) as (openai, server):
        with pytest.raises(ModelError) as raised:
            await openai.reply(prompt(hear=hear))
        assert len(server.requests) == 1, "it is the pipeline that tries again"
        return raised.value


def nobody(delta: Delta) -> None:
    """Asks for a stream."""


def api(dialect: DialectName) -> str:
    return f"openai_{dialect}"


def pieces(dialect: DialectName, raw: Json | None = None) -> list[str]:
    return [sse(*event) for event in in_pieces(api(dialect), raw or WHOLE[dialect])]


def sse(event: str, data: str) -> str:
    return (f"event: {event}\n" if event else "") + f"data: {data}\n\n"


def error_of(code: str, message: str = "no", **more: Any) -> Json:
    return {"error": {"code": code, "message": message, "type": None, **more}}


async def replied(dialect: DialectName, raw: Json, *, streamed: bool = False) -> Reply:
    """What becomes of this answer, whole or as a stream."""
    answer = stream(*pieces(dialect, raw)) if streamed else json(raw)
    async with model(dialect, answer) as (openai, _):
        return await openai.reply(prompt(hear=nobody if streamed else None))


def with_message(dialect: DialectName, **fields: Any) -> Json:
    """WHOLE of the Chat dialect with another message, or of Responses with another `output`."""
    if dialect == "responses":
        return {**WHOLE["responses"], **fields}
    choice = {**WHOLE["chat"]["choices"][0], "message": {"role": "assistant", **fields}}
    return {**WHOLE["chat"], "choices": [choice]}

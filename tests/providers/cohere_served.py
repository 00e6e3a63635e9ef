"""Cohere behind a server of ours: what it says, how it is asked, what a failure ends as."""

from __future__ import annotations

from typing import Any

import pytest

from stepfold.events.transcript import Heard
from stepfold.events.values import Usage
from stepfold.policy.toolspec import ToolSpec
from stepfold.providers.cohere import Cohere
from stepfold.providers.model import ModelError, Prompt, Reply
from stepfold.providers.wire import Json
from tests.providers.cohere_recordings import in_pieces
from tests.providers.raw_server import Answer, RawServer, json, serving

MODEL = "command-a-03-2025"
USED: Json = {
    "billed_units": {"input_tokens": 5.0, "output_tokens": 9.0},
    "tokens": {"input_tokens": 200.0, "output_tokens": 30.0},
}
USAGE = Usage(input=200, output=30, billed=USED["billed_units"], raw=USED)
CALLED: Json = {
    "id": "look_1",
    "type": "function",
    "function": {"name": "look", "arguments": '{"at":"the sea"}'},
}
ANSWER: Json = {
    "id": "answer_1",
    "message": {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "They greet."},
            {"type": "text", "text": "Hello\u2028you, Zoë!"},
        ],
        "tool_calls": [CALLED],
    },
    "finish_reason": "TOOL_CALL",
    "usage": USED,
}
SCHEMA: Json = {"type": "object", "properties": {"at": {"enum": ["sea", None], "default": None}}}


def said(text: str, word: str) -> Json:
    message = {"role": "assistant", "content": [{"type": "text", "text": text}]}
    return {**ANSWER, "message": message, "finish_reason": word}


def written(answer: Json = ANSWER) -> list[str]:
    return [f"event: {event}\ndata: {data}\n\n" for event, data in in_pieces(answer)]


def ended(delta: Json) -> str:
    told = json({"type": "message-end", "delta": delta}).body.decode()
    return f"event: message-end\ndata: {told}\n\n"


def prompt(**more: Any) -> Prompt:
    asked = {"instructions": "", "tools": (ToolSpec("look", "", SCHEMA),), "call": "r1", **more}
    return Prompt(**asked, transcript=(Heard("Hi, Zoë"),), model=MODEL)


async def ask(server: RawServer, *, timeout_s: float = 20.0, **more: Any) -> Reply:
    model = Cohere(api_key="key-1", base_url=server.url, timeout_s=timeout_s)
    try:
        return await model.reply(prompt(**more))
    finally:
        await model.close()


async def failing(answer: Answer, *, hears: bool = False, timeout_s: float = 20.0) -> ModelError:
    """The error that `answer` ends as, after one request."""
    async with serving(answer) as server:
        more = {"hear": lambda _: None} if hears else {}
        with pytest.raises(ModelError) as raised:
            await ask(server, timeout_s=timeout_s, **more)
        assert len(server.requests) == 1
    return raised.value

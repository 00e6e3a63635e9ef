"""Claude behind a server of ours: what it says, how it is asked, what a failure ends as."""

from __future__ import annotations

from typing import Any

import pytest

from stepfold.events.transcript import Heard
from stepfold.events.values import Usage
from stepfold.policy.toolspec import ToolSpec
from stepfold.providers.anthropic import Anthropic
from stepfold.providers.model import ModelError, Prompt, Reply
from stepfold.providers.wire import Json
from tests.providers.anthropic_recordings import in_pieces
from tests.providers.raw_server import Answer, RawServer, serving

MESSAGE: Json = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-5-5",
    "content": [
        {"type": "thinking", "thinking": "They greet.", "signature": "c2ln"},
        {"type": "text", "text": "Hello\u2028you, Zoë!"},
        {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"at": "the sea"}},
    ],
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "usage": {"input_tokens": 5, "output_tokens": 9, "service_tier": "priority"},
}
USED = Usage(input=5, output=1, raw={**MESSAGE["usage"], "output_tokens": 1})


def written(message: Json = MESSAGE) -> list[str]:
    return [f"event: {event}\ndata: {data}\n\n" for event, data in in_pieces(message)]


def error(word: str, message: str = "No.") -> Json:
    return {"type": "error", "error": {"type": word, "message": message}, "request_id": "req_1"}


def prompt(**more: Any) -> Prompt:
    asked = {"instructions": "", "tools": (ToolSpec("look"),), "call": "r1"}
    return Prompt(**{"transcript": (Heard("Hi"),), **asked, **more}, model="claude-sonnet-5-5")


async def ask(server: RawServer, *, timeout_s: float = 20.0, **more: Any) -> Reply:
    model = Anthropic(api_key="key-1", base_url=server.url, timeout_s=timeout_s)
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

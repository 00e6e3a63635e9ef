"""A provider for each of the five APIs, on loopback, and what it would say there: two calls at once
after some thinking, or an answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec
from msgspec import Struct

from stepfold.providers.anthropic import Anthropic
from stepfold.providers.cohere import Cohere
from stepfold.providers.google import Google, Key
from stepfold.providers.model import Prompt, Reply
from stepfold.providers.openai import OpenAI
from stepfold.providers.wire import Json

ANSWER = "It is 5 and 9."
ARGUMENTS: tuple[Json, Json] = ({"a": 2, "b": 3}, {"a": 4, "b": 5})
SECRET = "c2VjcmV0LW9mLXRoZS1vbmUtdGhhdC1tYWRlLWl0LWFuZC1vZi1ub2JvZHktZWxzZQ=="


class Provider(Protocol):
    async def reply(self, prompt: Prompt, /) -> Reply: ...

    async def close(self) -> None: ...


class Dialect(Struct, frozen=True):
    """`open` takes a server's address and a name for the provider."""

    model: str
    open: Callable[[str, str], Provider]
    calls: Json
    answer: Json


def _written(arguments: Json) -> str:
    return msgspec.json.encode(arguments).decode()


def _responses(*output: Json) -> Json:
    usage = {"input_tokens": 9, "output_tokens": 9}
    return {"id": "r", "model": "gpt-5", "status": "completed", "output": output, "usage": usage}


def _chat(finish: str, **message: object) -> Json:
    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", **message}}
    return {"id": "c", "model": "gpt-4.1", "choices": [choice]}


def _anthropic(stop: str, *content: Json) -> Json:
    return {
        "id": "msg",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5",
        "content": content,
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": {"input_tokens": 9, "output_tokens": 9},
    }


def _google(*parts: Json) -> Json:
    candidate = {"content": {"role": "model", "parts": parts}, "finishReason": "STOP"}
    return {"candidates": [candidate], "modelVersion": "gemini-2.5-flash"}


def _cohere(finish: str, **message: object) -> Json:
    usage = {"billed_units": {"input_tokens": 9}, "tokens": {"input_tokens": 9}}
    told = {"role": "assistant", **message}
    return {"id": "co", "finish_reason": finish, "message": told, "usage": usage}


def _functions(prefix: str) -> list[Json]:
    """The calls as OpenAI Chat and Cohere write them."""
    return [
        {
            "id": f"{prefix}{number}",
            "type": "function",
            "function": {"name": "add", "arguments": _written(arguments)},
        }
        for number, arguments in enumerate(ARGUMENTS)
    ]


DIALECTS = {
    "openai_responses": Dialect(
        "gpt-5",
        lambda url, name: OpenAI(api_key="k", base_url=url, name=name),
        _responses(
            {
                "type": "reasoning",
                "id": "rs_1",
                "summary": [{"type": "summary_text", "text": "Hm."}],
                "encrypted_content": SECRET,
            },
            *(
                {
                    "type": "function_call",
                    "id": f"fc_{number}",
                    "call_id": f"call_{number}",
                    "name": "add",
                    "arguments": _written(arguments),
                    "status": "completed",
                }
                for number, arguments in enumerate(ARGUMENTS)
            ),
        ),
        _responses(
            {
                "type": "message",
                "id": "m",
                "role": "assistant",
                "status": "completed",
                "content": [{"type": "output_text", "text": ANSWER, "annotations": []}],
            }
        ),
    ),
    "openai_chat": Dialect(
        "gpt-4.1",
        lambda url, name: OpenAI(api_key="k", base_url=url, name=name, dialect="chat"),
        _chat("tool_calls", content=None, tool_calls=_functions("call_")),
        _chat("stop", content=ANSWER),
    ),
    "anthropic": Dialect(
        "claude-sonnet-4-5",
        lambda url, name: Anthropic(api_key="k", base_url=url, name=name),
        _anthropic(
            "tool_use",
            {"type": "thinking", "thinking": "Hm.", "signature": SECRET},
            {"type": "text", "text": "Let me add."},
            *(
                {"type": "tool_use", "id": f"toolu_{number}", "name": "add", "input": arguments}
                for number, arguments in enumerate(ARGUMENTS)
            ),
        ),
        _anthropic("end_turn", {"type": "text", "text": ANSWER}),
    ),
    "google": Dialect(
        "gemini-2.5-flash",
        lambda url, name: Google(Key("k"), base_url=url, name=name),
        _google(
            {"text": "Hm.", "thought": True},
            {
                "functionCall": {"name": "add", "args": ARGUMENTS[0]},
                "thoughtSignature": SECRET,
            },
            {"functionCall": {"name": "add", "args": ARGUMENTS[1]}},
        ),
        _google({"text": ANSWER}),
    ),
    "cohere": Dialect(
        "command-a-03-2025",
        lambda url, name: Cohere(api_key="k", base_url=url, name=name),
        _cohere("TOOL_CALL", tool_plan="Let me add.", tool_calls=_functions("add_")),
        _cohere("COMPLETE", content=[{"type": "text", "text": ANSWER}]),
    ),
}

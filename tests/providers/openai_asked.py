"""What OpenAI is sent, held against the types of its SDK."""

from __future__ import annotations

from typing import Any

from stepfold.events.transcript import Heard, Item, Result
from stepfold.events.values import (
    ToolCall,
)
from stepfold.policy.toolspec import ToolSpec
from stepfold.providers import openai_chat, openai_responses
from stepfold.providers.model import Prompt
from stepfold.providers.wire import Json
from tests.providers.openai_recordings import WEATHER, as_the_sdk_reads_it

SPEAKS: dict[str, Any] = {"responses": openai_responses, "chat": openai_chat}
TOOL = ToolSpec("get_weather", "The weather.", WEATHER)
PARIS = ToolCall("r1.1", "get_weather", {"city": "Paris"}, "call_1")
ROME = ToolCall("r1.2", "get_weather", {"city": "Rome"}, "call_2")
SUNNY, RAIN = Result("r1.1", "get_weather", "sunny"), Result("r1.2", "get_weather", "rain")
HELLO = Heard("Hello")
PNG, PDF = b"\x89PNG", b"%PDF-1.7"
BLOBS = {"sha256:png": PNG, "sha256:pdf": PDF, "sha256:csv": b"a,b\n"}


def body(dialect: str, *items: Item, model: str = "gpt-5", **more: Any) -> Json:
    """The request after these, of which the SDK's types know every field."""
    given = {"instructions": "Be brief.", "tools": (TOOL,), "call": "r9", **more}
    prompt = Prompt(**given, transcript=items or (HELLO,), model=model)
    told: Json = SPEAKS[dialect].request(prompt)
    assert as_the_sdk_reads_it(f"openai_{dialect}", told) == told
    return told


def said(told: Json) -> list[Json]:
    """Its messages, without the instructions."""
    items: list[Json] = told["input"] if "input" in told else told["messages"][1:]
    return items


def function(told: Json) -> Json:
    """Its first tool."""
    tool: Json = told["tools"][0]
    inner: Json = tool.get("function", tool)
    return inner


def called(name: str, arguments: str) -> Json:
    return {
        "type": "function_call",
        "call_id": name,
        "name": "get_weather",
        "arguments": arguments,
    }

"""What a request in any of the five APIs says: the words and calls of the model, the results."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct

from stepfold.providers.wire import Json


class Said(Struct, frozen=True):
    text: str


class Called(Struct, frozen=True):
    """`id` is empty where the API has none."""

    id: str
    name: str
    arguments: Json


class Answered(Struct, frozen=True):
    id: str


Sent = Said | Called | Answered


def sent(api: str, body: Json) -> list[Sent]:
    """In order; without what the contact said."""
    match api:
        case "openai_responses":
            return list(_responses(body))
        case "anthropic":
            return list(_anthropic(body))
        case "google":
            return list(_google(body))
        case _:
            return list(_chat(body))


def _responses(body: Json) -> Iterator[Sent]:
    for item in body["input"]:
        match item.get("type", "message"):
            case "function_call":
                yield Called(item["call_id"], item["name"], _object(item["arguments"]))
            case "function_call_output":
                yield Answered(item["call_id"])
            case "message" if item["role"] == "assistant":
                yield from _texts(item["content"])


def _chat(body: Json) -> Iterator[Sent]:
    for message in body["messages"]:
        if message["role"] == "tool":
            yield Answered(message["tool_call_id"])
        if message["role"] == "assistant":
            yield from _texts(message.get("content") or ())
            yield from _texts(message.get("refusal") or ())
            for call in message.get("tool_calls") or ():
                function = call["function"]
                yield Called(call["id"], function["name"], _object(function["arguments"]))


def _anthropic(body: Json) -> Iterator[Sent]:
    for message in body["messages"]:
        for block in message["content"]:
            match block["type"]:
                case "tool_use":
                    yield Called(block["id"], block["name"], block["input"])
                case "tool_result":
                    yield Answered(block["tool_use_id"])
                case "text" if message["role"] == "assistant":
                    yield Said(block["text"])


def _google(body: Json) -> Iterator[Sent]:
    for content in body["contents"]:
        for part in content["parts"]:
            if call := part.get("functionCall"):
                yield Called(call.get("id", ""), call["name"], call.get("args") or {})
            elif result := part.get("functionResponse"):
                yield Answered(result.get("id", ""))
            elif content["role"] == "model" and "text" in part and not part.get("thought"):
                yield Said(part["text"])


def _texts(content: Any) -> Iterator[Said]:
    if isinstance(content, str):
        yield Said(content)
        return
    for block in content:
        if words := block.get("text") or block.get("refusal"):
            yield Said(words)


def _object(written: str) -> Json:
    told: Json = msgspec.json.decode(written) if written else {}
    return told or {}

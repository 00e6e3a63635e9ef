"""Cohere's chat, version 2 of its API. Pure.

A turn goes back to the family that made it as it was; any other one is rebuilt. The passages of a
search are documents in the result of their call, under names that come back with a citation. One
of several tools cannot be asked for by name: it is then the only one that is offered. Calls in
parallel and caching have no switch.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping

from stepfold.events.transcript import Heard, Result, Thought
from stepfold.events.values import Effort, FileRef, Options
from stepfold.policy.toolspec import ToolSpec
from stepfold.providers.call_ids import CallIds
from stepfold.providers.cohere_answer import API, rebuilt, reply
from stepfold.providers.cohere_stream import Assembly
from stepfold.providers.model import Prompt
from stepfold.providers.plain_schema import plain
from stepfold.providers.wire import Json, replayable, result_text

__all__ = ["API", "Assembly", "reply", "request"]

EMPTY = "(empty)"
BUDGETS: Mapping[Effort, int] = {"minimal": 512, "low": 2_048, "medium": 8_192, "high": 16_384}
"""Tokens to think with; the highest effort has no limit of its own."""
_IMAGES = frozenset({"image/gif", "image/jpeg", "image/png", "image/webp"})
_AT_WILL = ("", "auto", "none", "required")


def request(prompt: Prompt, *, stream: bool = False) -> Json:
    options = prompt.options
    told: Json = {"model": prompt.model, "messages": _messages(prompt), "stream": stream}
    if prompt.tools:
        told["tools"] = [_tool(spec) for spec in _offered(prompt)]
        told |= _choice(options)
    if options.output_tokens_max is not None:
        told["max_tokens"] = options.output_tokens_max
    if options.temperature is not None:
        told["temperature"] = options.temperature
    if options.effort:
        told["thinking"] = _thinking(options.effort)
    if prompt.schema is not None and not prompt.tools and (form := _form(prompt.schema)):
        told["response_format"] = form
    return told


def _offered(prompt: Prompt) -> tuple[ToolSpec, ...]:
    name = prompt.options.tool_choice
    named = tuple(spec for spec in prompt.tools if spec.name == name)
    return prompt.tools if name in _AT_WILL else named or prompt.tools


def _tool(spec: ToolSpec) -> Json:
    described = {"description": spec.description} if spec.description else {}
    parameters = {"type": "object", "properties": {}, **spec.parameters}
    function = {"name": spec.name, **described, "parameters": parameters}
    return {"type": "function", "function": function}


def _choice(options: Options) -> Json:
    if options.tool_choice in ("", "auto"):
        return {}
    return {"tool_choice": "NONE" if options.tool_choice == "none" else "REQUIRED"}


def _thinking(effort: Effort) -> Json:
    if effort == "none":
        return {"type": "disabled"}
    budget = BUDGETS.get(effort)
    return {"type": "enabled"} if budget is None else {"type": "enabled", "token_budget": budget}


def _form(schema: Json) -> Json | None:
    """None where the answer may be no object: Cohere can promise nothing else."""
    told = plain(schema)
    if told is not None and told["properties"]:
        return {"type": "json_object", "json_schema": told}
    return {"type": "json_object"} if schema.get("type") == "object" else None


# -- messages -----------------------------------------------------------------


def _messages(prompt: Prompt) -> list[Json]:
    messages: list[Json] = []
    if prompt.instructions.strip():
        messages.append({"role": "system", "content": prompt.instructions})
    ids = CallIds()
    for item in prompt.items:
        match item:
            case Heard():
                _hear(messages, list(_heard(item, prompt)) or [_text(EMPTY)])
            case Thought():
                if turn := _turn(item, prompt.model, ids):
                    messages.append(turn)
            case Result():
                messages.append(_result(item, ids))
    return messages


def _hear(messages: list[Json], blocks: list[Json]) -> None:
    """Messages of the contact that follow each other are one."""
    if messages and messages[-1]["role"] == "user":
        messages[-1]["content"] += blocks
    else:
        messages.append({"role": "user", "content": blocks})


def _turn(thought: Thought, model: str, ids: CallIds) -> Json:
    """Empty where the turn neither says nor calls anything."""
    turn = replayable(thought, API, model)
    if not isinstance(turn, dict):
        return rebuilt(thought.parts, ids)
    for call in thought.calls:
        ids.keep(call)
    return turn if turn.get("content") or turn.get("tool_calls") else {}


def _result(result: Result, ids: CallIds) -> Json:
    call = ids.of(result.call)
    told: Json = {"role": "tool", "tool_call_id": call}
    if not result.passages:
        failed = result.text and result.status != "ok"
        told["content"] = f"{result.status}: {result.text}" if failed else result_text(result)
        return told
    told["content"] = [
        {
            "type": "document",
            "document": {
                "id": f"{call}:{number}",
                "data": {"document": each.document, "title": each.title, "text": each.text},
            },
        }
        for number, each in enumerate(result.passages)
    ]
    return told


def _heard(heard: Heard, prompt: Prompt) -> Iterator[Json]:
    for ref in heard.files:
        yield _file(ref, prompt.blobs.get(ref.blob))
    if heard.text.strip():
        yield _text(heard.text)


def _file(ref: FileRef, data: bytes | None) -> Json:
    """An image or a text; in words, where Cohere cannot be shown it."""
    if ref.media in _IMAGES and data is not None:
        url = f"data:{ref.media};base64,{base64.b64encode(data).decode()}"
        return {"type": "image_url", "image_url": {"url": url}}
    if ref.media in _IMAGES and ref.url.startswith("https://"):
        return {"type": "image_url", "image_url": {"url": ref.url}}
    if data is not None and ref.media.startswith("text/"):
        return _text(f"{ref.name or 'A file'}:\n{data.decode(errors='replace')}")
    return _text(f"(a file that cannot be shown: {ref.name or ref.url or ref.media})")


def _text(text: str) -> Json:
    return {"type": "text", "text": text}

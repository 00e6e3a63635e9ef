"""OpenAI's Chat Completions API, which many other servers speak too. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from stepfold.events.transcript import Heard, Result, Thought
from stepfold.events.values import (
    FileRef,
    Finish,
    HostedTool,
    Part,
    Refusal,
    Text,
    Thinking,
    ToolCall,
)
from stepfold.policy.toolspec import ToolSpec
from stepfold.providers.call_ids import CallIds
from stepfold.providers.failures import unreadable
from stepfold.providers.model import Prompt, Reply
from stepfold.providers.openai_answer import label, sound
from stepfold.providers.openai_chat_stream import Assembly, usage
from stepfold.providers.openai_failures import told as failed
from stepfold.providers.openai_models import effort, takes, takes_temperature
from stepfold.providers.openai_shared import (
    cache_key,
    citation,
    details,
    file_name,
    format_of,
    own_name,
    parameters,
    shaped,
    source,
    text_of,
)
from stepfold.providers.wire import Json, arguments, kept, replayable, result_text

__all__ = ["API", "Assembly", "reply", "request"]

API = "openai.chat"
PROVIDER = "openai"
_FINISH: Mapping[str, Finish] = {
    "content_filter": "content_filter",
    "function_call": "tool_calls",
    "length": "length",
    "stop": "stop",
    "tool_calls": "tool_calls",
}
_THINKING = ("reasoning_content", "reasoning")
"""Where servers other than OpenAI's tell what a model thought."""


# A prompt, as the API takes it.


def request(prompt: Prompt, *, stream: bool = False) -> Json:
    tools = [_tool(spec) for spec in prompt.tools]
    body: Json = {"model": prompt.model, "messages": list(_messages(prompt))}
    if tools:
        body["tools"] = tools
        body |= _choice(prompt)
    if told := format_of(prompt.schema):
        body["response_format"] = {"type": "json_schema", "json_schema": told}
    if prompt.options.cache and takes(prompt.model):
        body["prompt_cache_key"] = cache_key(prompt, tools)
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return body | _options(prompt)


def _tool(spec: ToolSpec) -> Json:
    told = parameters(spec)
    function: Json = {"name": spec.name, "parameters": told.schema}
    if spec.description:
        function["description"] = spec.description
    if told.strict:
        function["strict"] = True
    return {"type": "function", "function": function}


def _choice(prompt: Prompt) -> Json:
    options = prompt.options
    told: Json = {} if options.parallel else {"parallel_tool_calls": False}
    if options.tool_choice in ("auto", "none", "required"):
        told["tool_choice"] = options.tool_choice
    elif prompt.offers(options.tool_choice):
        told["tool_choice"] = {"type": "function", "function": {"name": options.tool_choice}}
    return told


def _options(prompt: Prompt) -> Json:
    """Other servers know the older name of the most tokens, OpenAI's newer models only this one."""
    options = prompt.options
    word = effort(prompt.model, options.effort)
    told: Json = {"reasoning_effort": word} if word else {}
    if options.output_tokens_max is not None:
        name = "max_completion_tokens" if takes(prompt.model) else "max_tokens"
        told[name] = options.output_tokens_max
    if options.temperature is not None and takes_temperature(prompt.model, word):
        told["temperature"] = options.temperature
    return told


def _messages(prompt: Prompt) -> Iterator[Json]:
    ids = CallIds()
    if prompt.instructions:
        yield {"role": "system", "content": prompt.instructions}
    for item in prompt.items:
        match item:
            case Heard():
                yield {"role": "user", "content": _heard(item, prompt.blobs)}
            case Thought():
                told = _turn(item, prompt.model, ids)
                if told.keys() > {"role"}:
                    yield told
            case Result():
                name, text = ids.of(item.call), result_text(item)
                yield {"role": "tool", "tool_call_id": name, "content": text}


def _turn(thought: Thought, model: str, ids: CallIds) -> Json:
    message: Json | None = replayable(thought, API, model)
    if message is None:
        return _rebuilt(thought.parts, ids.name)
    for call in thought.calls:
        ids.keep(call)
    return message


def _heard(heard: Heard, blobs: Mapping[str, bytes]) -> str | list[Json]:
    if not heard.files:
        return heard.text
    said: list[Json] = [{"type": "text", "text": heard.text}] if heard.text else []
    return said + [_file(ref, blobs) for ref in heard.files]


def _file(ref: FileRef, blobs: Mapping[str, bytes]) -> Json:
    told = source(ref, blobs)
    if told.kind == "text":
        return {"type": "text", "text": told.value}
    if told.kind == "id":
        return {"type": "file", "file": {"file_id": told.value}}
    if ref.media.startswith("image/"):
        return {"type": "image_url", "image_url": {"url": told.value}}
    if told.kind == "data":
        return {"type": "file", "file": {"filename": file_name(ref), "file_data": told.value}}
    return {"type": "text", "text": f"{file_name(ref)}: {told.value}"}


def _rebuilt(parts: Iterable[Part], name: Callable[[ToolCall], str]) -> Json:
    """A message from a turn's parts alone: the text, then the calls; only its role when there is
    neither.
    """
    told: Json = {"role": "assistant"}
    text = "".join(part.text for part in parts if isinstance(part, Text | Refusal))
    if text:
        told["content"] = text
    if calls := [_call(part, name(part)) for part in parts if isinstance(part, ToolCall)]:
        told["tool_calls"] = calls
    return told


def _call(call: ToolCall, name: str) -> Json:
    function = {"name": call.name, "arguments": text_of(call.arguments)}
    return {"id": name, "type": "function", "function": function}


# An answer, as we tell it.


def reply(raw: Json) -> Reply:
    with shaped(raw, lambda: usage(raw)):
        return _reply(raw)


def _reply(raw: Json) -> Reply:
    if raw.get("error"):
        raise failed(raw["error"], text_of(raw))
    choices = raw.get("choices")
    if not isinstance(choices, list) or not choices or not details(choices[0], "message"):
        raise unreadable(text_of(raw), "it has no choices")
    message, word = choices[0]["message"], label(choices[0], "finish_reason")
    parts = tuple(_parts(message))
    model = label(raw, "model")
    told = Reply(
        parts=parts,
        finish=_finish(parts, message, word),
        finish_word=word,
        usage=usage(raw),
        model=model,
        provider=PROVIDER,
        response=label(raw, "id"),
        tier=label(raw, "service_tier"),
        state=kept(API, model, _sendable(message), _rebuilt(parts, own_name)),
    )
    return sound(told, raw)


def _sendable(message: Json) -> Json:
    """As it came, but for what is empty, of which the API gives much that it does not take back; a
    refusal where it takes one.
    """
    told = {key: value for key, value in message.items() if value is not None and value != []}
    if "refusal" in told and not told.keys() & {"content", "tool_calls"}:
        told["content"] = [{"type": "refusal", "refusal": told.pop("refusal")}]
    return told


def _parts(message: Json) -> Iterator[Part]:
    thought = next((message[key] for key in _THINKING if message.get(key)), "")
    if isinstance(thought, str) and thought:
        yield Thinking(thought)
    if text := _text(message.get("content")):
        annotations = message.get("annotations") or ()
        yield Text(text, tuple(citation(each, text) for each in annotations))
    if message.get("refusal"):
        yield Refusal(message["refusal"])
    for call in message.get("tool_calls") or ():
        yield _called(call)


def _text(content: object) -> str:
    """Some servers tell it in pieces."""
    if isinstance(content, list):
        pieces = (each.get("text") for each in content if isinstance(each, dict))
        return "".join(piece for piece in pieces if isinstance(piece, str))
    return content if isinstance(content, str) else ""


def _called(call: Json) -> ToolCall | HostedTool:
    function = call.get("function")
    if not isinstance(function, dict):
        kind = call.get("type") or "unknown"
        return HostedTool(kind, call.get("id") or "", call.get(kind))
    made = arguments(function.get("arguments"))
    return ToolCall("", function["name"], made or {}, call.get("id") or "")


def _finish(parts: Sequence[Part], message: Json, word: str) -> Finish:
    calls = [details(call, "function") for call in message.get("tool_calls") or ()]
    if any(arguments(call.get("arguments")) is None for call in calls):
        return "malformed_tool_call"
    found = _FINISH.get(word, "unknown")
    if found != "stop":
        return found
    if calls:
        return "tool_calls"
    return "refusal" if any(isinstance(part, Refusal) for part in parts) else "stop"

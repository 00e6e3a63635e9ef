"""Anthropic's Messages API. Pure.

A turn goes back to the family that made it as it was, thinking and its signatures in their places;
any other one is rebuilt. The results of a turn stand first in one user message. The passages of a
search are search results that Claude may cite, sentence by sentence. Sampling parameters are never
sent: current models refuse them.

The marks of the cache stand behind the tools, the instructions and the newest message; they are
not part of what is compared, so each request of a conversation begins as the one before it.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator

from stepfold.events.transcript import Heard, Result, Thought
from stepfold.events.values import FileRef, Options, Passage
from stepfold.policy.toolspec import ToolSpec
from stepfold.providers.anthropic_answer import API, rebuilt, reply
from stepfold.providers.anthropic_effort import effort, takes_schema
from stepfold.providers.anthropic_stream import Assembly
from stepfold.providers.call_ids import CallIds
from stepfold.providers.model import Prompt
from stepfold.providers.plain_schema import plain
from stepfold.providers.sentences import sentences
from stepfold.providers.wire import Json, replayable, result_text

__all__ = ["API", "Assembly", "reply", "request"]

OUTPUT_TOKENS = 16_384
"""What an answer may have, thinking included, where the options do not say."""
UNIONS_MAX = 16
"""Of a schema: the API refuses more."""
EMPTY, BEGIN = "(empty)", "(the conversation begins)"
"""Stand where the API wants a message with words and there are none."""
_IMAGES = frozenset({"image/gif", "image/jpeg", "image/png", "image/webp"})
_PDF = "application/pdf"
_HELD = "file_"
"""How the ids of files begin that Anthropic keeps."""
_CACHED: Json = {"type": "ephemeral"}


def request(prompt: Prompt, *, stream: bool = False) -> Json:
    options = prompt.options
    limit = options.output_tokens_max or OUTPUT_TOKENS
    told: Json = {"model": prompt.model, "max_tokens": limit}
    tools, choice = _tools(prompt)
    if tools:
        told["tools"] = tools
        told |= {"tool_choice": choice} if choice else {}
    if prompt.instructions.strip():
        told["system"] = [{"type": "text", "text": prompt.instructions}]
    told["messages"] = _messages(prompt)
    told |= effort(prompt.model, options, limit)
    if prompt.schema is not None and takes_schema(prompt.model):
        schema = plain(prompt.schema, unions_max=UNIONS_MAX)
        if schema is not None:
            form = {"type": "json_schema", "schema": schema}
            told["output_config"] = {**told.get("output_config", {}), "format": form}
    if stream:
        told["stream"] = True
    return _marked(told) if options.cache else told


def _marked(told: Json) -> Json:
    """With the marks of the cache, on blocks that this request made."""
    for blocks in (told.get("tools"), told.get("system"), _last_user_blocks(told["messages"])):
        if blocks:
            blocks[-1] = {**blocks[-1], "cache_control": _CACHED}
    return told


def _last_user_blocks(messages: list[Json]) -> list[Json]:
    last = messages[-1]
    blocks: list[Json] = last["content"] if last["role"] == "user" else []
    return blocks


# -- tools --------------------------------------------------------------------


def _tools(prompt: Prompt) -> tuple[list[Json], Json]:
    """(what may be called, how it is chosen). A history with calls wants tools, if only to be told
    that none may be called.
    """
    if prompt.tools:
        return [_tool(spec) for spec in prompt.tools], _choice(prompt.options)
    thoughts = (item for item in prompt.items if isinstance(item, Thought))
    names = dict.fromkeys(call.name for thought in thoughts for call in thought.calls)
    return [_tool(ToolSpec(name)) for name in names], {"type": "none"}


def _tool(spec: ToolSpec) -> Json:
    told: Json = {"name": spec.name}
    if spec.description:
        told["description"] = spec.description
    told["input_schema"] = {"type": "object", "properties": {}, **spec.parameters}
    return told


def _choice(options: Options) -> Json:
    told: Json
    match options.tool_choice:
        case "none":
            return {"type": "none"}
        case "":
            told = {} if options.parallel else {"type": "auto"}
        case "auto":
            told = {"type": "auto"}
        case "required":
            told = {"type": "any"}
        case name:
            told = {"type": "tool", "name": name}
    return told if options.parallel else {**told, "disable_parallel_tool_use": True}


# -- messages -----------------------------------------------------------------


def _messages(prompt: Prompt) -> list[Json]:
    messages: list[Json] = []
    ids = CallIds()
    for item in prompt.items:
        match item:
            case Heard():
                _say(messages, "user", list(_heard(item, prompt)) or [_text(EMPTY)])
            case Thought():
                _say(messages, "assistant", _turn(item, prompt.model, ids))
            case Result():
                _say(messages, "user", [_result(item, ids, cites=prompt.schema is None)])
    if not messages or messages[0]["role"] != "user":
        messages.insert(0, {"role": "user", "content": [_text(BEGIN)]})
    return messages


def _say(messages: list[Json], role: str, blocks: list[Json]) -> None:
    """What the same side says next to its last words joins them."""
    if messages and messages[-1]["role"] == role:
        messages[-1]["content"] += blocks
    elif blocks:
        messages.append({"role": role, "content": blocks})


def _turn(thought: Thought, model: str, ids: CallIds) -> list[Json]:
    turn = replayable(thought, API, model)
    if not isinstance(turn, list):
        return rebuilt(thought.parts, ids)
    for call in thought.calls:
        ids.keep(call)
    return [block for block in turn if not _is_blank(block)]


def _is_blank(block: Json) -> bool:
    """The API gives texts that it does not take back."""
    return block.get("type") == "text" and not str(block.get("text", "")).strip()


def _result(result: Result, ids: CallIds, *, cites: bool) -> Json:
    told: Json = {"type": "tool_result", "tool_use_id": ids.of(result.call)}
    found = [_found(each, cites=cites) for each in result.passages if each.text.strip()]
    told["content"] = found or result_text(result)
    if result.status != "ok":
        told["is_error"] = True
    return told


def _found(passage: Passage, *, cites: bool) -> Json:
    """A passage that Claude may cite by whole blocks. A structured answer cannot hold citations."""
    return {
        "type": "search_result",
        "source": passage.document,
        "title": passage.title or passage.document,
        "content": [_text(sentence) for sentence in sentences(passage.text)],
        "citations": {"enabled": cites},
    }


def _heard(heard: Heard, prompt: Prompt) -> Iterator[Json]:
    for ref in heard.files:
        yield _file(ref, prompt.blobs.get(ref.blob))
    if heard.text.strip():
        yield _text(heard.text)


def _file(ref: FileRef, data: bytes | None) -> Json:
    """An image or a document; in words, where Claude cannot be shown it."""
    source = _source(ref, data)
    if source and ref.media in _IMAGES:
        return {"type": "image", "source": source}
    if source and ref.media == _PDF:
        title = {"title": ref.name} if ref.name else {}
        return {"type": "document", "source": source, **title}
    if data is not None and ref.media.startswith("text/"):
        return _text(f"{ref.name or 'A file'}:\n{data.decode(errors='replace')}")
    return _text(f"(a file that cannot be shown: {ref.name or ref.url or ref.media})")


def _source(ref: FileRef, data: bytes | None) -> Json | None:
    if data is not None:
        told = base64.b64encode(data).decode()
        return {"type": "base64", "media_type": ref.media, "data": told}
    if ref.url.startswith("https://"):
        return {"type": "url", "url": ref.url}
    return {"type": "file", "file_id": ref.url} if ref.url.startswith(_HELD) else None


def _text(text: str) -> Json:
    return {"type": "text", "text": text}

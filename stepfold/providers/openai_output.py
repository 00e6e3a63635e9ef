"""The items of an answer of OpenAI's Responses API, and our parts. Pure.

Bytes of an image stand in no item that is kept: in their place is the name of a blob, until the
item is sent again.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence

from msgspec import Struct

from stepfold.events.values import FileRef, HostedTool, Part, Refusal, Text, Thinking, ToolCall
from stepfold.providers.failures import unreadable
from stepfold.providers.openai_shared import citation, text_of
from stepfold.providers.wire import Json, arguments

BLOB = "sha256:"
IMAGE = "image_generation_call"
BETWEEN = "\n\n"
"""What stands between two summaries of one train of thought."""
_INPUT = ("action", "actions", "arguments", "code", "input", "operation", "queries")
_INPUT_OF_IMAGE = ("action", "revised_prompt")
_OUTPUT = ("error", "output", "outputs", "result", "results", "tools")
_NEVER_NULL = frozenset({"content", "id", "logprobs", "namespace", "status", "summary"})
"""Fields of an item that the API gives as null and does not take as null."""


class Turn(Struct, frozen=True):
    """`items` are what came, but for bytes, which are in `blobs`."""

    parts: tuple[Part, ...]
    items: list[Json]
    blobs: dict[str, bytes]
    malformed: bool
    refused: bool


def read(output: Iterable[Json]) -> Turn:
    parts: list[Part] = []
    items: list[Json] = []
    blobs: dict[str, bytes] = {}
    malformed = False
    for item in output:
        kept = item
        if item.get("type") == IMAGE and item.get("result"):
            name, data = _blob(item)
            kept, blobs[name] = {**item, "result": name}, data
        malformed = malformed or _malformed(item)
        items.append(kept)
        parts += _parts(kept)
    refused = any(isinstance(part, Refusal) for part in parts)
    return Turn(tuple(parts), items, blobs, malformed, refused)


def _blob(item: Json) -> tuple[str, bytes]:
    try:
        data = base64.b64decode(item["result"], validate=True)
    except (binascii.Error, TypeError, ValueError) as error:
        raise unreadable(text_of(item), f"its image is not base64: {error}") from error
    return BLOB + hashlib.sha256(data).hexdigest(), data


def _malformed(item: Json) -> bool:
    return item.get("type") == "function_call" and arguments(item.get("arguments")) is None


def _parts(item: Json) -> Sequence[Part]:
    kind = item.get("type", "")
    if kind == "message":
        return [part for content in item.get("content") or () if (part := _said(content))]
    if kind == "reasoning":
        told = BETWEEN.join(
            each["text"] for each in item.get("summary") or item.get("content") or ()
        )
        return [Thinking(told)] if told else []
    if kind == "function_call":
        made = arguments(item.get("arguments"))
        return [ToolCall("", item["name"], made or {}, item.get("call_id") or "")]
    if kind == IMAGE:
        return [_hosted(item), *_image(item)]
    return [_hosted(item)]


def _said(content: Json) -> Part | None:
    if content.get("type") == "refusal":
        return Refusal(content["refusal"]) if content.get("refusal") else None
    text = content.get("text") or ""
    cited = tuple(citation(each, text) for each in content.get("annotations") or ())
    return Text(text, cited) if text else None


def _image(item: Json) -> list[FileRef]:
    if not item.get("result"):
        return []
    media = f"image/{item.get('output_format') or 'png'}"
    return [FileRef(media, blob=item["result"])]


def _hosted(item: Json) -> HostedTool:
    """A tool that OpenAI ran: its fields, by what they mean, whatever the tool is."""
    kind = item.get("type") or "unknown"
    image = kind == IMAGE
    made = arguments(item["arguments"]) if isinstance(item.get("arguments"), str) else None
    told = {**item, "arguments": made} if made is not None else item
    name = ".".join((str(item["server_label"]), str(item["name"]))) if kind == "mcp_call" else kind
    return HostedTool(
        name=name.removesuffix("_call"),
        id=item.get("id") or item.get("call_id") or "",
        input=_fields(told, _INPUT_OF_IMAGE if image else _INPUT),
        output=_fields(told, ("error",) if image else _OUTPUT),
        status=item.get("status") or "",
    )


def _fields(item: Json, names: Iterable[str]) -> object:
    told = {name: item[name] for name in names if item.get(name) is not None}
    return next(iter(told.values())) if len(told) == 1 else told or None


# The way back.


def stateless(items: Sequence[Json]) -> bool:
    """May it be sent to a server that kept nothing? Not thinking of which we only have the name."""
    thoughts = (item for item in items if item.get("type") == "reasoning")
    return all(item.get("encrypted_content") for item in thoughts)


def sendable(items: Iterable[Json], blobs: Mapping[str, bytes]) -> list[Json]:
    """As they came, but for nulls that the API gives and does not take, for thinking that led to
    nothing, which it refuses, and for images whose bytes are not at hand.
    """
    told = [_without_nulls(_filled(item, blobs)) for item in items if _at_hand(item, blobs)]
    while told and told[-1].get("type") == "reasoning":
        told.pop()
    return told


def _without_nulls(item: Json) -> Json:
    return {
        key: [_without_nulls(each) if isinstance(each, dict) else each for each in value]
        if key == "content" and isinstance(value, list)
        else value
        for key, value in item.items()
        if value is not None or key not in _NEVER_NULL
    }


def _at_hand(item: Json, blobs: Mapping[str, bytes]) -> bool:
    return item.get("type") != IMAGE or item.get("result") in blobs


def _filled(item: Json, blobs: Mapping[str, bytes]) -> Json:
    if item.get("type") != IMAGE:
        return item
    told = {key: value for key, value in item.items() if key != "error"}
    return {**told, "result": base64.b64encode(blobs[item["result"]]).decode()}


def rebuilt(parts: Iterable[Part], name: Callable[[ToolCall], str]) -> list[Json]:
    """A turn from its parts alone: what was said and what was called. Thinking of another model
    means nothing to this one, and what other providers' own tools did is in the text after it.
    """
    told: list[Json] = []
    for part in parts:
        match part:
            case Text() | Refusal():
                _say(told, part.text)
            case ToolCall():
                told.append(
                    {
                        "type": "function_call",
                        "call_id": name(part),
                        "name": part.name,
                        "arguments": text_of(part.arguments),
                    }
                )
            case Thinking() | HostedTool() | FileRef():
                pass
    return told


def _say(told: list[Json], text: str) -> None:
    if told and told[-1].get("role") == "assistant":
        told[-1] = {"role": "assistant", "content": told[-1]["content"] + text}
    elif text:
        told.append({"role": "assistant", "content": text})

"""The parts of a turn between Gemini's form and ours. Pure.

Bytes stand in neither: where a part has data, its `data` is the name of a blob, until it is sent.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from stepfold.events.values import FileRef, HostedTool, Part, Refusal, Text, Thinking, ToolCall
from stepfold.providers.call_ids import CallIds
from stepfold.providers.failures import unreadable
from stepfold.providers.google_answer import ServerTool, WirePart, body
from stepfold.providers.wire import Json

UNSIGNED = base64.b64encode(b"skip_thought_signature_validator").decode()
"""What Gemini takes in place of the signature of a call that it did not make itself."""
CODE = "code_execution"
BLOB = "sha256:"
_IMAGES = frozenset({"image/heic", "image/heif", "image/jpeg", "image/png", "image/webp"})
_HEARD_OR_SEEN = ("audio/", "video/")
_PDF = "application/pdf"
_SCHEMES = ("https://", "gs://")
_STANDARD = str.maketrans("-_", "+/")


class Turn(Struct, frozen=True):
    """`wire` are the parts as they came, but for their bytes, which are in `blobs`."""

    parts: tuple[Part, ...]
    wire: list[Json]
    blobs: dict[str, bytes]


def read(parts: Sequence[WirePart], raw: Sequence[Json]) -> Turn:
    told: list[Part] = []
    wire: list[Json] = []
    blobs: dict[str, bytes] = {}
    for part, as_it_came in zip(parts, raw, strict=True):
        if part.inline_data is None:
            wire.append(as_it_came)
        else:
            name, data = _blob(part.inline_data.data, as_it_came)
            blobs[name] = data
            part.inline_data.data = name
            inline = {**as_it_came["inlineData"], "data": name}
            wire.append({**as_it_came, "inlineData": inline})
        _add(told, _part(part))
    return Turn(tuple(told), wire, blobs)


def _blob(data: str, part: Json) -> tuple[str, bytes]:
    try:
        told = base64.b64decode(data.translate(_STANDARD), validate=True)  # Vertex's is URL-safe
    except ValueError as error:
        raise unreadable(body(part), f"its data is not base64: {error}") from error
    return BLOB + hashlib.sha256(told).hexdigest(), told


def _part(part: WirePart) -> Part | None:  # noqa: PLR0911  (one line for each kind)
    if part.text is not None:
        if not part.text:
            return None
        return Thinking(part.text) if part.thought else Text(part.text)
    if call := part.function_call:
        return ToolCall("", call.name, call.args or {}, call.id)
    if inline := part.inline_data:
        return FileRef(inline.mime_type, blob=inline.data)
    if away := part.file_data:
        return FileRef(away.mime_type, url=away.file_uri)
    if part.executable_code is not None:
        return HostedTool(CODE, _label(part.executable_code, "id"), part.executable_code)
    if (result := part.code_execution_result) is not None:
        status = _label(result, "outcome")
        return HostedTool(CODE, _label(result, "id"), output=result, status=status)
    if tool := part.tool_call:
        return _server_tool(tool, None)
    if tool := part.tool_response:
        return _server_tool(tool, tool.response or {})
    return None


def _label(told: Json, key: str) -> str:
    """A name or a word, empty when it was not told as text."""
    value = told.get(key)
    return value if isinstance(value, str) else ""


def _server_tool(tool: ServerTool, output: object) -> HostedTool:
    return HostedTool(tool.tool_type.lower() or "tool", tool.id, tool.args, output)


def _add(parts: list[Part], part: Part | None) -> None:
    """A text continues the one before it, an outcome joins its call."""
    last = parts[-1] if parts else None
    if isinstance(part, Text) and isinstance(last, Text):
        parts[-1] = Text(last.text + part.text)
    elif isinstance(part, Thinking) and isinstance(last, Thinking):
        parts[-1] = Thinking(last.text + part.text)
    elif isinstance(part, HostedTool) and part.output is not None:
        _settle(parts, part)
    elif part is not None:
        parts.append(part)


def _settle(parts: list[Part], done: HostedTool) -> None:
    for place in range(len(parts) - 1, -1, -1):
        open_ = parts[place]
        if (
            isinstance(open_, HostedTool)
            and open_.output is None
            and (open_.name, open_.id) == (done.name, done.id)
        ):
            parts[place] = replace(open_, output=done.output, status=done.status)
            return
    parts.append(done)


# -- the way back -------------------------------------------------------------


def rebuilt(parts: Iterable[Part], ids: CallIds) -> list[Json]:
    """A turn from its parts alone, as a Gemini that did not say it takes it: without thinking and
    without what other providers' own tools did.
    """
    told: list[Json] = []
    signed = False
    for part in parts:
        match part:
            case Text() | Refusal():
                if part.text:
                    told.append({"text": part.text})
            case FileRef():
                told.append(_made(part))
            case ToolCall():
                told.append(_call(part, ids) | ({} if signed else {"thoughtSignature": UNSIGNED}))
                signed = True
            case Thinking() | HostedTool():
                pass
    return told


def _call(call: ToolCall, ids: CallIds) -> Json:
    made: Json = {"name": call.name, "args": call.arguments}
    if identity := ids.name(call):
        made["id"] = identity
    return {"functionCall": made}


def _made(ref: FileRef) -> Json:
    """A file that a model made; its bytes come in when it is sent."""
    if ref.blob and _inline(ref.media):
        return {"inlineData": {"mimeType": ref.media, "data": ref.blob}}
    return file(ref, None)


def file(ref: FileRef, data: bytes | None) -> Json:
    """An image, a sound, a film or a document; in words, where Gemini cannot be shown it."""
    if data is not None and _inline(ref.media):
        encoded = base64.b64encode(data).decode()
        return {"inlineData": {"mimeType": ref.media, "data": encoded}}
    if data is not None and ref.media.startswith("text/"):
        return {"text": f"{ref.name or 'A file'}:\n{data.decode(errors='replace')}"}
    if ref.url.startswith(_SCHEMES):
        media = {"mimeType": ref.media} if ref.media else {}
        return {"fileData": {**media, "fileUri": ref.url}}
    return _unseen(ref.name or ref.url or ref.media)


def _inline(media: str) -> bool:
    return media in _IMAGES or media == _PDF or media.startswith(_HEARD_OR_SEEN)


def _unseen(what: str) -> Json:
    return {"text": f"(a file that cannot be shown: {what})"}


def filled(parts: Sequence[Json], blobs: Mapping[str, bytes]) -> list[Json]:
    """With the bytes in; in words, where they are not at hand."""
    return [_filled(part, blobs) for part in parts]


def _filled(part: Json, blobs: Mapping[str, bytes]) -> Json:
    inline = part.get("inlineData") or {}
    name = inline.get("data", "")
    if not name.startswith(BLOB):
        return part
    if name not in blobs:
        without = {key: part[key] for key in part if key != "inlineData"}
        return without | _unseen(inline.get("mimeType", "without a type"))
    return {**part, "inlineData": {**inline, "data": base64.b64encode(blobs[name]).decode()}}

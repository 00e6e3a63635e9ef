"""What an MCP server offers, made into tools of ours. Pure.

A server is a stranger: what it says of its tools is shown to people as a hint, and to a model as it
was when it was read first. Nothing it says decides what a tool may do.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

import jsonschema
import msgspec
from jsonschema.validators import validator_for
from mcp_types import Tool
from msgspec import Struct

from stepfold.policy.toolspec import ToolSpec
from stepfold.tools.mcp_file import Described

NAME_CHARS_MAX = 64
DESCRIPTION_CHARS_MAX = 4_000
SCHEMA_BYTES_MAX = 64_000
GRACE_S = 6.0
"""So much later than the server's own limit the worker gives a call up."""
BYTES_PER_TOKEN = 4
_ILLEGAL = re.compile(r"[^A-Za-z0-9_-]")
_TAGS = range(0xE0000, 0xE0080)
"""Unicode's tag characters: text that a model reads and nobody sees."""


class Offered(Struct, frozen=True):
    """`name` is the server's own; `digest` is of all that a model is told of it, and `tokens` about
    what that costs in each prompt. `hints` are the server's word.
    """

    name: str
    spec: ToolSpec
    digest: str
    tokens: int
    hints: tuple[str, ...] = ()


class LeftOut(Struct, frozen=True):
    """A tool that is not used, and why."""

    name: str
    why: str


class Offer(Struct, frozen=True):
    tools: tuple[Offered, ...] = ()
    left_out: tuple[LeftOut, ...] = ()


def offer(server: Described, listed: Sequence[Tool]) -> Offer:
    """The tools of a server that its description allows, and what becomes of the others."""
    tools: dict[str, Offered] = {}
    left_out = []
    for tool in listed:
        why = _why_not(server, tool)
        if why is None:
            made = _made(server, tool)
            first = tools.setdefault(made.spec.name, made)
            if first is made:
                continue
            why = f"its name would be {made.spec.name}, which {first.name!r} has already"
        left_out.append(LeftOut(tool.name, why))
    missing = (name for name in server.tool if name not in {tool.name for tool in listed})
    left_out += [LeftOut(name, "the file names it, and the server has none") for name in missing]
    return Offer(tuple(tools.values()), tuple(left_out))


def digest(tool: Tool) -> str:
    """Of what a model or a reviewer is told of it."""
    told = tool.model_dump(
        mode="json", by_alias=True, exclude_none=True, exclude={"icons", "meta", "execution"}
    )
    return "sha256:" + hashlib.sha256(msgspec.json.encode(told, order="sorted")).hexdigest()


def full_name(server: str, tool: str) -> str:
    """`SERVER_TOOL`, as every provider takes it; what is too long ends in a hash."""
    name = f"{server}_{_ILLEGAL.sub('_', tool)}"
    if len(name) <= NAME_CHARS_MAX:
        return name
    short = hashlib.sha256(tool.encode()).hexdigest()[:8]
    return f"{name[: NAME_CHARS_MAX - 9]}_{short}"


def _why_not(server: Described, tool: Tool) -> str | None:
    if not server.allows(tool.name):
        return "the file's `tools` do not name it"
    about = server.about(tool.name)
    if about.digest and about.digest != digest(tool):
        return f"it is not what was reviewed: it is {digest(tool)} now, not {about.digest}"
    if about.key and about.key not in tool.input_schema.get("properties", {}):
        return f"it has no argument {about.key!r}, which the file gives as its `key`"
    for what, schema in (("arguments", tool.input_schema), ("result", tool.output_schema)):
        if schema is not None and (why := _mistake(schema)):
            return f"the schema of its {what} {why}"
    return None


def _mistake(schema: dict[str, Any]) -> str | None:
    size = len(msgspec.json.encode(schema))
    if size > SCHEMA_BYTES_MAX:
        return f"has {size:,} bytes, more than {SCHEMA_BYTES_MAX:,}"
    for reference in _references(schema):
        if not reference.startswith("#"):
            return f"refers to {reference[:80]!r}, outside of itself"
    try:
        validator_for(schema).check_schema(schema)
    except jsonschema.SchemaError as error:
        return f"is none: {error.message[:200]}"
    return None


def _references(schema: Any) -> Iterable[str]:
    if isinstance(schema, dict):
        for key, value in schema.items():
            if key in ("$ref", "$dynamicRef", "$recursiveRef") and isinstance(value, str):
                yield value
            yield from _references(value)
    elif isinstance(schema, list):
        for each in schema:
            yield from _references(each)


def _made(server: Described, tool: Tool) -> Offered:
    about = server.about(tool.name)
    spec = ToolSpec(
        full_name(server.name, tool.name),
        _clean(tool.description or tool.title or ""),
        _without(tool.input_schema, about.key),
        tool.output_schema or {},
        effect=server.effect(tool.name),
        recovery=server.recovery(tool.name),
        lookup=full_name(server.name, about.lookup) if about.lookup else "",
        trusted=server.trusted if about.trusted is None else about.trusted,
        timeout_s=server.timeout_s + GRACE_S,
    )
    told = msgspec.json.encode((spec.name, spec.description, spec.parameters))
    return Offered(
        tool.name, spec, digest(tool), -(-len(told) // BYTES_PER_TOKEN), tuple(_hints(tool))
    )


def _without(schema: dict[str, Any], key: str) -> dict[str, Any]:
    """The schema without one argument, which the model does not give."""
    if not key:
        return schema
    properties = {name: each for name, each in schema["properties"].items() if name != key}
    required = [name for name in schema.get("required", ()) if name != key]
    return {**schema, "properties": properties, "required": required}


def _clean(text: str) -> str:
    """`text` of limited length, without what people do not see: controls, tags, reversed words."""
    seen = "".join(each for each in text if each in "\n\t" or not _unseen(each))
    return seen if len(seen) <= DESCRIPTION_CHARS_MAX else seen[:DESCRIPTION_CHARS_MAX] + "…"


def _unseen(each: str) -> bool:
    if ord(each) in _TAGS or unicodedata.category(each) in ("Cc", "Co", "Cs"):
        return True
    return unicodedata.bidirectional(each) in (
        "LRE",
        "RLE",
        "LRO",
        "RLO",
        "PDF",
        "LRI",
        "RLI",
        "FSI",
        "PDI",
    )


def _hints(tool: Tool) -> Iterable[str]:
    said = tool.annotations
    if said is None:
        return
    names = {
        "read-only": said.read_only_hint,
        "destructive": said.destructive_hint,
        "idempotent": said.idempotent_hint,
        "open world": said.open_world_hint,
    }
    for name, value in names.items():
        if value is not None:
            yield name if value else f"not {name}"

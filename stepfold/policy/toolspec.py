"""What a model is told of a tool."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from stepfold.policy.agent import SEARCH


class ToolSpec(Struct, frozen=True):
    """`parameters` is a JSON Schema of the arguments, checked before the tool runs."""

    name: str
    description: str = ""
    parameters: dict[str, Any] = {}


SEARCH_SPEC = ToolSpec(
    SEARCH,
    "Search the knowledge base. Returns passages. Where an answer rests on one, quote its words"
    ' exactly, in "double quotes".',
    {
        "type": "object",
        "properties": {"query": {"type": "string", "description": "The words to search for."}},
        "required": ["query"],
        "additionalProperties": False,
    },
)

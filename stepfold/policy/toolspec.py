"""What is known of a tool: what a model is told of it, and what running it means."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from stepfold.policy.agent import RUN_CODE, SEARCH
from stepfold.policy.effect import Effect, Recovery

RESULT_CHARS_MAX = 20_000
"""Characters of a result that are kept in its event, unless the tool says otherwise."""


class ToolSpec(Struct, frozen=True, omit_defaults=True):
    """`parameters` is a JSON Schema of the arguments, checked before the tool runs, and `result`
    one of what it returns, checked afterwards. `lookup` names the tool that reconciles. What a
    tool that is `trusted` returns is the company's own word; what another returns is a stranger's.
    `timeout_s` 0 = the agent's `call_s`. Of a longer result `result_chars_max` characters are
    shown, and the whole is kept as a file.
    """

    name: str
    description: str = ""
    parameters: dict[str, Any] = {}
    result: dict[str, Any] = {}
    effect: Effect = "external"
    recovery: Recovery = "never_repeat"
    lookup: str = ""
    trusted: bool = False
    timeout_s: float = 0
    result_chars_max: int = RESULT_CHARS_MAX


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
    effect="read",
)

RUN_CODE_SPEC = ToolSpec(
    RUN_CODE,
    "Run Python in a sandbox without network, to calculate or to read the conversation's files,"
    " which lie in the folder it starts in. Print what you want to see.",
    {
        "type": "object",
        "properties": {"code": {"type": "string", "description": "The Python to run."}},
        "required": ["code"],
        "additionalProperties": False,
    },
    effect="read",
    recovery="idempotent",
    trusted=True,
)

OWN = {SEARCH: SEARCH_SPEC, RUN_CODE: RUN_CODE_SPEC}
"""The tools that an agent has by its fields."""

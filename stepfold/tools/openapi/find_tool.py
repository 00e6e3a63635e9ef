"""Two tools that stand for hundreds: one finds reads, the other calls what was found.

They reach the enabled reads of one connection and no further: not a write, which is a tool of its
own name or none, and not a read that the connection keeps to its own name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from functools import cached_property
from typing import Any

from stepfold.events.values import Arguments
from stepfold.policy.schema import mismatch
from stepfold.policy.toolspec import ToolSpec
from stepfold.tools.openapi.names import FIND, USE
from stepfold.tools.openapi.openapi_tool import OpenApiTool
from stepfold.tools.openapi.operation import Operation
from stepfold.tools.openapi.search import Search
from stepfold.tools.tool import ToolError

FOUND_MAX = 5


def find_name(connection: str) -> str:
    return f"{connection}_{FIND}"


def use_name(connection: str) -> str:
    return f"{connection}_{USE}"


def find_spec(connection: str, title: str, count: int) -> ToolSpec:
    return ToolSpec(
        find_name(connection),
        f"Find the right one of {count} operations of {title or connection}. Say in a few words"
        f" what is wanted; call what was found with {use_name(connection)}.",
        {
            "type": "object",
            "properties": {
                "phrase": {"type": "string", "description": "Such as: comments of a ticket"}
            },
            "required": ["phrase"],
            "additionalProperties": False,
        },
        effect="read",
        recovery="idempotent",
        trusted=True,
    )


def use_spec(connection: str) -> ToolSpec:
    return ToolSpec(
        use_name(connection),
        f"Call an operation that {find_name(connection)} found, with arguments that fit its"
        " parameters.",
        {
            "type": "object",
            "properties": {
                "name": {"type": "string", "description": "As it was found"},
                "arguments": {"type": "object", "description": "Those of that operation"},
            },
            "required": ["name"],
            "additionalProperties": False,
        },
        effect="read",
        recovery="idempotent",
    )


class FindTool:
    """The description is the company's own word, so what it returns is trusted."""

    def __init__(self, connection: str, title: str, operations: Sequence[Operation]) -> None:
        self._operations = operations
        self.spec = find_spec(connection, title, len(operations))

    @cached_property
    def _search(self) -> Search:
        """Made when it is first asked: an index costs more than loading a connection."""
        return Search(self._operations)

    async def run(self, arguments: Arguments, *, call: str) -> Any:
        found = self._search.find(str(arguments["phrase"]), FOUND_MAX)
        return {
            "found": [
                {
                    "name": operation.name,
                    "description": operation.description,
                    "parameters": operation.parameters,
                }
                for operation in found
            ]
        }


class UseTool:
    """Calls reads only: an operation that writes is not given to it."""

    def __init__(self, connection: str, tools: Mapping[str, OpenApiTool]) -> None:
        wrong = sorted(name for name, tool in tools.items() if tool.spec.effect != "read")
        assert not wrong, f"{wrong} are no reads"
        self._connection = connection
        self._tools = tools
        self.spec = use_spec(connection)

    @property
    def stands_for(self) -> frozenset[str]:
        """The tools that it can run, by their own names: what an agent's rules say of one of them
        does not hold for it.
        """
        return frozenset(tool.spec.name for tool in self._tools.values())

    async def run(self, arguments: Arguments, *, call: str) -> Any:
        name = str(arguments["name"]).removeprefix(f"{self._connection}_")
        tool = self._tools.get(name)
        if tool is None:
            near = get_close_matches(name, self._tools, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise ToolError(
                f"{name!r} cannot be called here ({hint}{find_name(self._connection)} finds"
                " what can)"
            )
        given = arguments.get("arguments") or {}
        why = mismatch(given, tool.spec.parameters)
        if why is not None:
            raise ToolError(f"{name}: {why}")
        return await tool.run(given, call=call)

"""The contract of a tool: what a model is told of it, and one call of it.

ToolError    the tool did not do it; the message goes to the model
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

from stepfold.events.values import Arguments
from stepfold.policy.toolspec import ToolSpec

__all__ = [
    "Function",
    "FunctionTool",
    "Tool",
    "ToolError",
    "ToolSpec",
    "calling",
    "traceparent",
]

Function = Callable[[Arguments, str], Awaitable[Any]]

_traceparent: ContextVar[str] = ContextVar("traceparent", default="")


def traceparent() -> str:
    """What a tool sends as the W3C header `traceparent` of its own requests, so that they are told
    below its span; empty where no call runs.
    """
    return _traceparent.get()


@contextmanager
def calling(traceparent: str) -> Iterator[None]:
    """What runs in the block is a call with this `traceparent`."""
    before = _traceparent.set(traceparent)
    try:
        yield
    finally:
        _traceparent.reset(before)


class ToolError(Exception):
    """The tool did not do what was asked; the message is for the model."""


class Tool(Protocol):
    @property
    def spec(self) -> ToolSpec: ...

    async def run(self, arguments: Arguments, *, call: str) -> Any:
        """One call. `call` is an idempotency key, the same whenever this call is tried."""
        ...


class FunctionTool:
    """A tool made of an async function of (arguments, call)."""

    def __init__(self, spec: ToolSpec, function: Function) -> None:
        self.spec = spec
        self._function = function

    async def run(self, arguments: Arguments, *, call: str) -> Any:
        return await self._function(arguments, call)

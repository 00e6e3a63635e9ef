"""The contract of a tool: what is known of it, and one call of it.

ToolError    the tool did not do it; the message goes to the model
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol, runtime_checkable

from msgspec import Struct

from stepfold.events.values import Arguments
from stepfold.policy.effect import Effect, Recovery
from stepfold.policy.toolspec import ToolSpec

__all__ = [
    "Caller",
    "Effect",
    "Function",
    "FunctionTool",
    "Reconciling",
    "Recovery",
    "Tool",
    "ToolError",
    "ToolSpec",
    "caller",
    "calling",
    "traceparent",
]

Function = Callable[[Arguments, str], Awaitable[Any]]


class Caller(Struct, frozen=True):
    """For whom a call runs: the customer, the contact who asked, and the W3C `traceparent` that
    the tool's own requests carry. Told by the log, never by the model.
    """

    customer: str = ""
    conversation: str = ""
    contact: str = ""
    traceparent: str = ""


NOBODY = Caller()
_caller: ContextVar[Caller] = ContextVar("caller", default=NOBODY)


def caller() -> Caller:
    """Whom the running call is for; nobody where no call runs."""
    return _caller.get()


def traceparent() -> str:
    """What a tool sends as the W3C header `traceparent` of its own requests, so that they are told
    below its span; empty where no call runs.
    """
    return _caller.get().traceparent


@contextmanager
def calling(who: Caller) -> Iterator[None]:
    """What runs in the block is a call for `who`."""
    before = _caller.set(who)
    try:
        yield
    finally:
        _caller.reset(before)


class ToolError(Exception):
    """Nothing of what was asked has happened; the message is for the model."""


class Tool(Protocol):
    @property
    def spec(self) -> ToolSpec: ...

    async def run(self, arguments: Arguments, *, call: str) -> Any:
        """One call: JSON, or what msgspec makes JSON of. `call` is an idempotency key, the same
        whenever this call is tried. Only a ToolError says that nothing has happened.
        """
        ...


@runtime_checkable
class Reconciling(Protocol):
    """What a tool with the recovery `reconcile` also has."""

    async def reconcile(self, arguments: Arguments, *, call: str) -> Any:
        """What `run` returned, if that call took effect; None when it did not. A ToolError: it
        cannot be told.
        """
        ...


class FunctionTool:
    """A tool made of an async function of (arguments, call)."""

    def __init__(self, spec: ToolSpec, function: Function) -> None:
        self.spec = spec
        self._function = function

    async def run(self, arguments: Arguments, *, call: str) -> Any:
        return await self._function(arguments, call)

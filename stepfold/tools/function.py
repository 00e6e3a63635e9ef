"""A typed Python function as a tool: `@tool(effect="read")` above a function with a docstring.

What a model is shown comes from the signature. Arguments are held against it before the function
runs, what it returns afterwards. Decorated, it is still called as the plain function that it is.

FunctionRefused    a function is no tool: every reason with its place and the way out
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine, Mapping
from typing import (
    TYPE_CHECKING,
    Any,
    Generic,
    Literal,
    ParamSpec,
    Protocol,
    TypeVar,
    overload,
)

from msgspec.structs import replace

from stepfold.events.values import Arguments
from stepfold.policy.effect import Effect, Recovery
from stepfold.tools.function_checks import Anything, Said, foreign, misstated, refuse, untold
from stepfold.tools.function_schema import Form, ResultMisfit, Returned
from stepfold.tools.function_signature import (
    Call,
    FunctionRefused,
    Signature,
    bare,
    place,
    read,
)
from stepfold.tools.function_thread import in_thread
from stepfold.tools.tool import Caller, ToolError, ToolSpec, caller
from stepfold.tools.unsure import Unsure

__all__ = [
    "Call",
    "Caller",
    "FunctionRefused",
    "ReconcilingTool",
    "ToolError",
    "TypedTool",
    "Unsure",
    "caller",
    "tool",
]

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])


class TypedTool(Generic[P, R]):
    """A function with what is known of it. Called, it is the function alone: nothing is checked."""

    __name__: str

    def __init__(self, function: Callable[P, R], signature: Signature, said: Said) -> None:
        functools.update_wrapper(self, function)
        assert said.effect is not None
        self._function = function
        self._signature = signature
        self._form = Form(signature.parameters)
        self._returned = Returned(signature.returns)
        self.spec = ToolSpec(
            said.name,
            signature.description,
            self._form.schema,
            self._returned.schema,
            effect=said.effect,
            recovery=said.recovery,
            trusted=said.trusted,
            timeout_s=said.timeout_s,
        )

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self._function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<tool {self.spec.name!r} at {place(self._function)}>"

    if not TYPE_CHECKING:  # no such attribute, and a word on how to have it

        def __getattr__(self, name: str) -> Any:
            way_out = ': write recovery="reconcile" in its @tool' if name == "reconcile" else ""
            raise AttributeError(f"a {type(self).__name__} has no {name!r}{way_out}")

    async def run(self, arguments: Arguments, *, call: str) -> Any:
        """The function's result as JSON. ToolError: an argument does not fit, or the function says
        that nothing has happened. Unsure: it ran, and what it returned does not fit.
        """
        values = self._form.read(arguments)
        value = await _called(self._function, self._signature, values, call)
        try:
            return self._returned.told(value)
        except ResultMisfit as error:
            why = f"it ran, but what it returned does not fit: {error}"
            raise (ToolError if self.spec.effect == "read" else Unsure)(why) from None


class ReconcilingTool(TypedTool[P, R]):
    """One whose lookup tells whether a call took effect. Without a lookup it does not run."""

    def __init__(self, function: Callable[P, R], signature: Signature, said: Said) -> None:
        super().__init__(function, signature, said)
        self._lookup: tuple[Anything, Signature] | None = None
        if said.lookup is not None:
            self.reconcile(said.lookup)

    async def run(self, arguments: Arguments, *, call: str) -> Any:
        if self._lookup is None:
            raise ToolError(f"not begun: {self._no_lookup()}")
        return await super().run(arguments, call=call)

    @overload
    def reconcile(self, arguments: F, /) -> F: ...

    @overload
    def reconcile(self, arguments: Arguments, *, call: str) -> Coroutine[Any, Any, Any]: ...

    def reconcile(self, arguments: Any, *, call: str = "") -> Any:
        """Above a function, the decorator of the lookup: it takes the tool's arguments, or some of
        them, and returns what the tool returned, or None when the call did not happen. With
        arguments and a call, what that function finds.
        """
        if isinstance(arguments, dict):
            return self._found(arguments, call)
        signature = read(arguments)
        known = {each.name: bare(each.annotation) for each in self._signature.parameters}
        problems = [*signature.problems, *foreign(signature, known, self.spec.name)]
        if self._lookup is not None:
            problems.append(f"{self.spec.name!r} has a lookup already: take one of them out")
        refuse(arguments, problems)
        self._lookup = arguments, signature
        self.spec = replace(self.spec, lookup=self.spec.name)
        return arguments

    async def _found(self, arguments: Arguments, call: str) -> Any:
        if self._lookup is None:
            raise ToolError(self._no_lookup())
        function, signature = self._lookup
        wanted = {each.name for each in signature.parameters}
        values = self._form.read(arguments)
        found = await _called(
            function, signature, {name: values[name] for name in values if name in wanted}, call
        )
        try:
            return None if found is None else self._returned.told(found)
        except ResultMisfit as error:
            raise ToolError(f"what its lookup found does not fit: {error}") from None

    def _no_lookup(self) -> str:
        name = self._function.__name__
        return f"{self.spec.name!r} has no lookup: write one below @{name}.reconcile"


# -- decorating ---------------------------------------------------------------------------------


class Decorator(Protocol):
    def __call__(self, function: Callable[P, R], /) -> TypedTool[P, R]: ...


class ReconcilingDecorator(Protocol):
    def __call__(self, function: Callable[P, R], /) -> ReconcilingTool[P, R]: ...


@overload
def tool(
    *,
    effect: Effect,
    recovery: Literal["never_repeat", "idempotent"] = "never_repeat",
    trusted: bool = False,
    timeout_s: float = 0,
    name: str | None = None,
) -> Decorator: ...


@overload
def tool(
    *,
    effect: Effect,
    recovery: Literal["reconcile"],
    trusted: bool = False,
    timeout_s: float = 0,
    name: str | None = None,
    lookup: Anything | None = None,
) -> ReconcilingDecorator: ...


def tool(
    function: Anything | None = None,
    /,
    *,
    effect: Effect | None = None,
    recovery: Recovery = "never_repeat",
    trusted: bool = False,
    timeout_s: float = 0,
    name: str | None = None,
    lookup: Anything | None = None,
) -> Any:
    """Makes a tool of the function below. `effect` must be said. With `recovery="reconcile"` a
    lookup belongs to it: `lookup=`, or a function below `@NAME.reconcile`. FunctionRefused.

    A parameter `call: str` (or of type Call) gets the call's key, one of type Caller for whom it
    runs; neither is shown to the model. A plain `def` runs in a thread.
    """

    def made(function: Anything) -> TypedTool[..., Any]:
        own = name if name is not None else getattr(function, "__name__", "")
        said = Said(effect, recovery, trusted, timeout_s, own, lookup)
        signature = read(function)
        problems = [*misstated(said), *signature.problems]
        if not signature.problems:
            problems += untold(signature, said)
        refuse(function, problems)
        kind = ReconcilingTool if recovery == "reconcile" else TypedTool
        return kind(function, signature, said)

    return made if function is None else made(function)


# -- calling ------------------------------------------------------------------------------------


async def _called(
    function: Anything, signature: Signature, values: Mapping[str, Any], call: str
) -> Any:
    given = dict(values)
    for name, what in signature.ours.items():
        given[name] = call if what == "call" else caller()
    first = [given.pop(name) for name in signature.by_position]
    bound = functools.partial(function, *first, **given)
    try:
        if inspect.iscoroutinefunction(function):
            return await bound()
        value = await in_thread(bound, function.__name__)
        return await value if inspect.isawaitable(value) else value
    except SystemExit as error:
        raise RuntimeError(f"it wanted to end the process: SystemExit: {error}") from error

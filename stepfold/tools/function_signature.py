"""What a function says of itself: the parameters that a model fills, those that the log fills, and
what it returns. Every mistake at once.

FunctionRefused    a function is no tool: every reason with its place and the way out
"""

from __future__ import annotations

import inspect
import traceback
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Literal, NewType, Union, get_args, get_origin, get_type_hints

from msgspec import Struct
from pydantic.fields import FieldInfo

from stepfold.tools.function_docstring import said
from stepfold.tools.tool import Caller

Call = NewType("Call", str)
"""The key of a call, the same whenever this call is tried."""

NOTHING: Any = inspect.Parameter.empty
_MANY: Mapping[Any, str] = {
    inspect.Parameter.VAR_POSITIONAL: "*",
    inspect.Parameter.VAR_KEYWORD: "**",
}


class FunctionRefused(Exception):
    """A function that is no tool. Each of `problems` has its file, line, function and way out."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Parameter(Struct, frozen=True):
    """One that a model fills."""

    name: str
    annotation: Any
    default: Any = NOTHING
    description: str = ""

    @property
    def required(self) -> bool:
        return self.default is NOTHING


class Signature(Struct, frozen=True):
    """`ours` are the parameters that are filled from the log; those in `by_position` have no name
    for a caller. What is in `problems` keeps the function from being a tool.
    """

    description: str = ""
    parameters: tuple[Parameter, ...] = ()
    ours: Mapping[str, Literal["call", "caller"]] = {}
    by_position: tuple[str, ...] = ()
    returns: Any = NOTHING
    problems: tuple[str, ...] = ()


def read(function: Callable[..., Any]) -> Signature:
    if why := _no_function(function):
        return Signature(problems=(why,))
    try:
        hints = get_type_hints(function, include_extras=True)
    except (NameError, AttributeError, SyntaxError, TypeError) as error:
        way_out = "define or import it at the top of the file, above the function"
        return Signature(problems=(f"its annotations cannot be read: {error}: {way_out}",))
    return _signature(function, hints)


def bare(annotation: Any) -> Any:
    """Without what is said beside it, and without its None."""
    if get_origin(annotation) is Annotated:
        return bare(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        inner = [each for each in get_args(annotation) if each is not types.NoneType]
        return bare(inner[0]) if len(inner) == 1 else annotation
    return annotation


def place(function: Callable[..., Any]) -> str:
    """`file:line`: where a function begins; of what is none, where it was decorated."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    if code is not None:
        return f"{code.co_filename}:{code.co_firstlineno}"
    ours = __file__.rpartition("_")[0]
    frames = (frame for frame, _ in traceback.walk_stack(None))
    frame = next(each for each in frames if not each.f_code.co_filename.startswith(ours))
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def _no_function(function: Callable[..., Any]) -> str | None:
    if not inspect.isfunction(function):
        way_out = "put @tool on a `def` or `async def` at the top of a file"
        return f"a {type(function).__name__} is no function: {way_out}"
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        return "it yields, and a tool returns once: return a list"
    return None


def _signature(function: Callable[..., Any], hints: Mapping[str, Any]) -> Signature:
    docstring = said(function.__doc__)
    parameters: list[Parameter] = []
    ours: dict[str, Literal["call", "caller"]] = {}
    problems: list[str] = []
    signature = inspect.signature(function)
    for each in signature.parameters.values():
        annotation = hints.get(each.name, NOTHING)
        if wrong := tuple(_wrong(each, annotation)):
            problems += wrong
        elif filled := _filled(each.name, annotation):
            ours[each.name] = filled
        else:
            text = _own_description(annotation) or docstring.parameters.get(each.name, "")
            parameters.append(Parameter(each.name, annotation, each.default, text))
    if "return" not in hints:
        problems.append("it does not say what it returns: write `-> dict[str, Any]`, or `-> None`")
    return Signature(
        docstring.description,
        tuple(parameters),
        ours,
        tuple(
            each.name for each in signature.parameters.values() if each.kind is each.POSITIONAL_ONLY
        ),
        hints.get("return", NOTHING),
        tuple(problems),
    )


def _wrong(parameter: inspect.Parameter, annotation: Any) -> Iterator[str]:
    name = parameter.name
    if stars := _MANY.get(parameter.kind):
        yield f"{stars}{name} has no schema: name each parameter, or take a list or a dict"
    elif annotation is NOTHING and name in ("self", "cls"):
        yield f"parameter {name!r}: a tool is no method: move the function out of its class"
    elif annotation is NOTHING:
        yield f"parameter {name!r} has no type: write {name}: str, or what it is"
    elif name == "call" and bare(annotation) not in (str, Call):
        yield "parameter 'call' is the key of the call: write call: str, or rename it"
    elif isinstance(parameter.default, FieldInfo):
        way_out = f"write {name}: Annotated[TYPE, Field(...)] = DEFAULT"
        yield f"parameter {name!r}: a Field is no default: {way_out}"
    elif any(each.alias or each.validation_alias for each in _fields(annotation)):
        yield f"parameter {name!r} has an alias: name it as the model is to see it"


def _filled(name: str, annotation: Any) -> Literal["call", "caller"] | None:
    if bare(annotation) is Caller:
        return "caller"
    return "call" if name == "call" or bare(annotation) is Call else None


def _fields(annotation: Any) -> list[FieldInfo]:
    told = get_args(annotation)[1:] if get_origin(annotation) is Annotated else ()
    return [each for each in told if isinstance(each, FieldInfo)]


def _own_description(annotation: Any) -> str:
    return next((each.description for each in _fields(annotation) if each.description), "")

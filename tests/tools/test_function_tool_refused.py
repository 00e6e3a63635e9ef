"""A function that is no tool is refused where it is decorated, with the place and the way out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from msgspec import Struct
from pydantic import Field

from stepfold.tools.files import ToolsRefused, load_tools
from stepfold.tools.function import FunctionRefused, tool


class Strange:
    pass


class OfMsgspec(Struct):
    x: int


def good(order: str) -> str:
    """Is one."""
    return order


def bare(order: str) -> str:
    """Has nothing said of it."""
    return order


def many(*orders: str, **more: str) -> str:
    """Takes many."""
    return ""


def untyped(order, count=1) -> str:  # type: ignore[no-untyped-def]
    """Has no types."""
    return ""


def unreturned(order: str):  # type: ignore[no-untyped-def]
    """Does not say what it returns."""


def unsaid(order: str) -> str:
    return order


def strange(thing: Strange) -> str:
    """Takes what has no JSON."""
    return ""


def returns_strange(order: str) -> Strange:
    """Returns what has no JSON."""
    return Strange()


def returns_msgspec(order: str) -> OfMsgspec:
    """Returns what pydantic does not know."""
    return OfMsgspec(1)


def returns_function(order: str) -> Callable[[], int]:
    """Returns what has no JSON."""
    return lambda: 1


def unknown(thing: Nowhere) -> str:  # type: ignore[name-defined]  # noqa: F821
    """Has a type that is nowhere."""
    return ""


def pattern(order: Annotated[str, Field(pattern=r"\p{L}+")]) -> str:
    """Has a pattern that JSON Schema's check does not know."""
    return ""


def keyed(call: int) -> str:
    """Takes another call."""
    return ""


def field_default(count: int = Field(default=1, ge=1)) -> str:
    """Has a Field for a default."""
    return ""


def aliased(order: Annotated[str, Field(alias="id")]) -> str:
    """Has two names for one thing."""
    return ""


def yields(order: str) -> Iterator[str]:
    """Yields."""
    yield order


async def yields_later(order: str) -> AsyncIterator[str]:
    """Yields."""
    yield order


class Desk:
    def method(self, order: str) -> str:
        """Is a method."""
        return order


FAULTS: list[tuple[Any, dict[str, Any], str]] = [
    (bare, {"effect": None}, 'its effect must be said: write @tool(effect="read")'),
    (good, {"effect": "reads"}, "effect 'reads' is none: write one of read, write, external"),
    (good, {"recovery": "again"}, "recovery 'again' is none: write one of never_repeat,"),
    (good, {"lookup": bare}, 'write recovery="reconcile", or leave the lookup out'),
    (good, {"name": "order status"}, "the name 'order status' is not 1 to 64 of"),
    (good, {"name": "x" * 65}, 'say another, as @tool(..., name="order_status")'),
    (good, {"name": ""}, "the name '' is not 1 to 64 of"),
    (good, {"name": "search"}, "the name 'search' is of a tool that agents have"),
    (good, {"timeout_s": -1}, "timeout_s -1 is no time"),
    (good, {"timeout_s": float("nan")}, "timeout_s nan is no time"),
    (good, {"timeout_s": "5"}, "timeout_s '5' is no time"),
    (many, {}, "*orders has no schema: name each parameter, or take a list or a dict"),
    (many, {}, "**more has no schema"),
    (untyped, {}, "parameter 'order' has no type: write order: str, or what it is"),
    (untyped, {}, "parameter 'count' has no type"),
    (unreturned, {}, "it does not say what it returns: write `-> dict[str, Any]`, or `-> None`"),
    (unsaid, {}, "begin its body with a docstring for the model"),
    (strange, {}, "parameter 'thing': Unable to generate"),
    (strange, {}, "take str, int, Literal, list, dict, TypedDict, a dataclass or a pydantic"),
    (returns_strange, {}, "what it returns: Unable to generate"),
    (returns_msgspec, {}, "what it returns: Unable to generate"),
    (returns_function, {}, "what it returns: Cannot generate a JsonSchema"),
    (unknown, {}, "name 'Nowhere' is not defined: define or import it at the top of the file"),
    (pattern, {}, "parameter 'order': "),
    (keyed, {}, "parameter 'call' is the key of the call: write call: str, or rename it"),
    (field_default, {}, "write count: Annotated[TYPE, Field(...)] = DEFAULT"),
    (aliased, {}, "parameter 'order' has an alias: name it as the model is to see it"),
    (yields, {}, "it yields, and a tool returns once: return a list"),
    (yields_later, {}, "it yields"),
    (Desk.method, {}, "a tool is no method: move the function out of its class"),
    (Strange, {}, "a type is no function: put @tool on a `def` or `async def`"),
    (len, {}, "a builtin_function_or_method is no function"),
    (tool(effect="read")(good), {}, "a TypedTool is no function"),
]


@pytest.mark.parametrize(("function", "options", "why"), FAULTS)
def test_what_is_no_tool_is_refused_with_its_place_and_the_way_out(
    function: Any, options: dict[str, Any], why: str
) -> None:
    with pytest.raises(FunctionRefused) as raised:
        tool(**{"effect": "read", **options})(function)

    found = [each for each in raised.value.problems if why in each]
    assert found, raised.value.problems
    file, line, name, _ = found[0].split(":", 3)
    assert (Path(file).name, int(line) > 0) == (Path(__file__).name, True)
    assert name.strip() == getattr(function, "__qualname__", type(function).__name__)


def test_the_place_is_the_line_of_the_function() -> None:
    with pytest.raises(FunctionRefused) as raised:
        tool(effect="read")(many)

    assert f"{many.__code__.co_filename}:{many.__code__.co_firstlineno}: many: " in str(
        raised.value
    )


def test_without_parentheses_it_asks_for_the_effect() -> None:
    with pytest.raises(FunctionRefused, match="its effect must be said"):
        tool(bare)  # type: ignore[call-overload]


def test_all_mistakes_of_a_function_are_told_at_once() -> None:
    with pytest.raises(FunctionRefused) as raised:
        tool(effect="no", name="a b")(untyped)  # type: ignore[call-overload]

    assert len(raised.value.problems) == 4


def test_a_file_with_such_a_function_is_refused_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "orders.py"
    file.write_text(
        "from stepfold.tools.function import tool\n\n\n"
        '@tool(effect="read")\ndef find(order) -> str:\n    """Finds."""\n    return order\n'
    )

    with pytest.raises(ToolsRefused) as raised:
        load_tools(tmp_path)

    assert f"{file}:4: find: parameter 'order' has no type" in str(raised.value)

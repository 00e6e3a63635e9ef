"""A typed function as a tool: what it is given, what it may return, and how it ends."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field, field_validator

from stepfold.policy.agent import Agent
from stepfold.policy.schema import mismatch
from stepfold.providers.model import Call as ModelCall
from stepfold.providers.model import Reply
from stepfold.testing import run_to_rest
from stepfold.tools.function import Call, Caller, TypedTool, caller, tool
from stepfold.tools.function_thread import THREADS_MAX
from stepfold.tools.tool import Tool, ToolError, calling
from stepfold.tools.unsure import Unsure

ADA = Caller("acme", "c1", "ada")
LIMIT_S = 10


class Size(Enum):
    SMALL = "s"


class Line(BaseModel):
    sku: str
    count: int = 1


@dataclass
class Parcel:
    weight_kg: float


@tool(effect="read")
async def quote(  # noqa: PLR0913, PLR0917
    lines: list[Line],
    day: date,
    price: Decimal,
    size: Size = Size.SMALL,
    parcel: Parcel | None = None,
    pair: tuple[int, str] = (1, "a"),
    express: bool = False,
    factor: Annotated[float, Field(ge=1, le=3)] = 1.0,
) -> list[str]:
    """What an order costs."""
    return [repr(each) for each in (lines, day, price, size, parcel, pair, express, factor)]


@tool(effect="read")
def order_status(order: str, detail: Literal["short", "long"] = "short") -> dict[str, str]:
    """Where an order is."""
    return {"order": order, "detail": detail}


async def run(tool: Tool, *, call: str = "acme/c1/r1.1", **arguments: Any) -> Any:
    return await tool.run(arguments, call=call)


# -- arguments ----------------------------------------------------------------------------------


async def test_a_function_gets_its_arguments_as_its_types() -> None:
    told = await run(
        quote,
        lines=[{"sku": "A-1"}],
        day="2026-02-03",
        price="1.50",
        size="s",
        parcel={"weight_kg": 2},
        pair=[2, "b"],
        express=True,
        factor=2,
    )

    assert told == [
        "[Line(sku='A-1', count=1)]",
        "datetime.date(2026, 2, 3)",
        "Decimal('1.50')",
        "<Size.SMALL: 's'>",
        "Parcel(weight_kg=2.0)",
        "(2, 'b')",
        "True",
        "2.0",
    ]


async def test_what_is_left_out_is_the_default() -> None:
    assert await run(order_status, order="A-17") == {"order": "A-17", "detail": "short"}


GOOD: dict[str, Any] = {"lines": [{"sku": "A"}], "day": "2026-02-03", "price": 1}


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"factor": "2"}, "argument 'factor': Input should be a valid number, not '2'"),
        ({"factor": 9}, "argument 'factor': Input should be less than or equal to 3, not 9"),
        ({"express": "yes"}, "argument 'express'"),
        ({"lines": [{"sku": "A", "count": "2"}]}, "argument 'lines[0].count'"),
        ({"lines": [{"sku": 7}]}, "argument 'lines[0].sku'"),
        ({"size": "xl"}, "argument 'size'"),
        ({"pair": [1, 2]}, "argument 'pair[1]'"),
        ({"day": "tomorrow"}, "argument 'day'"),
        ({"price": "a lot"}, "argument 'price'"),
        ({"colour": "red"}, "there is no argument 'colour' (known: lines, day, price,"),
    ],
)
async def test_a_misfit_is_an_error_that_names_the_argument(
    wrong: dict[str, Any], named: str
) -> None:
    with pytest.raises(ToolError) as raised:
        await run(quote, **{**GOOD, **wrong})

    assert named in str(raised.value)


async def test_every_misfit_is_told_at_once() -> None:
    with pytest.raises(ToolError) as raised:
        await run(order_status, detail="all")

    assert str(raised.value).startswith("argument 'order' is missing; argument 'detail': ")


async def test_a_misfit_runs_nothing() -> None:
    ran: list[str] = []

    @tool(effect="write")
    def cancel(order: str) -> None:
        """Cancels an order."""
        ran.append(order)

    with pytest.raises(ToolError):
        await run(cancel, order=1)

    assert ran == []


@tool(effect="read")
def take(count: int, ratio: float = 1.0, rest: dict[str, Any] | None = None) -> list[str]:
    """Takes numbers."""
    return [repr(count), repr(ratio), repr(rest)]


async def test_a_whole_number_is_an_integer_however_json_spells_it() -> None:
    told = await run(take, count=2.0, ratio=3)

    assert told == ["2", "3.0", "None"]
    for wrong in (2.5, True, "2", 1e300):
        with pytest.raises(ToolError, match="'count'"):
            await run(take, count=wrong)


class Fragile(BaseModel):
    text: str

    @field_validator("text")
    @classmethod
    def _broken(cls, text: str) -> str:
        raise RuntimeError(f"no table for {text}")


async def test_a_validator_that_breaks_has_done_nothing() -> None:
    @tool(effect="write")
    def send(what: Fragile) -> None:
        """Sends it."""

    with pytest.raises(ToolError, match="cannot be checked: RuntimeError: no table for hello"):
        await run(send, what={"text": "hello"})


async def test_parameters_may_have_the_names_of_pydantics_own() -> None:
    @tool(effect="read")
    def odd(model_config: int, copy: int, _hidden: int, schema: int, p0: int, /) -> list[int]:
        """Odd names."""
        return [model_config, copy, _hidden, schema, p0]

    told = await run(odd, model_config=1, copy=2, _hidden=3, schema=4, p0=5)

    assert told == [1, 2, 3, 4, 5]
    assert list(odd.spec.parameters["properties"]) == [
        "model_config",
        "copy",
        "_hidden",
        "schema",
        "p0",
    ]


# -- what the log fills -------------------------------------------------------------------------


async def test_the_key_and_the_caller_are_filled_from_the_log_and_not_shown() -> None:
    @tool(effect="write", recovery="idempotent")
    def pay(amount: int, call: str, key: Call, who: Caller, maybe: Caller | None = None) -> Any:
        """Pays."""
        return [amount, call, key, who.contact, maybe.customer if maybe else None]

    with calling(ADA):
        told = await run(pay, amount=5, call="acme/c1/r1.1")

    assert told == [5, "acme/c1/r1.1", "acme/c1/r1.1", "ada", "acme"]
    assert list(pay.spec.parameters["properties"]) == ["amount"]


async def test_a_model_cannot_fill_what_the_log_fills() -> None:
    @tool(effect="read")
    def mine(call: str, who: Caller) -> str:
        """Says who asks."""
        return who.contact

    for forged in ({"call": "other"}, {"who": {"contact": "eve"}}):
        with pytest.raises(ToolError, match="there is no argument"):
            await mine.run(forged, call="k")


async def test_a_plain_function_runs_beside_the_loop_and_knows_its_caller() -> None:
    @tool(effect="read")
    def whose() -> list[Any]:
        """Says who asks."""
        return [caller().contact, threading.current_thread() is threading.main_thread()]

    with calling(ADA):
        told = await run(whose)

    assert told == ["ada", False]


async def test_a_plain_function_does_not_hold_up_the_loop_or_others() -> None:
    begun, end = threading.Event(), threading.Event()

    @tool(effect="read")
    def slow() -> bool:
        """Waits for the other."""
        begun.set()
        return end.wait(LIMIT_S)

    @tool(effect="read")
    def quick() -> bool:
        """Ends the other."""
        end.set()
        return begun.wait(LIMIT_S)

    assert list(await asyncio.gather(run(slow), run(quick))) == [True, True]


async def test_a_function_that_hangs_holds_nobody_that_stops_waiting() -> None:
    end = threading.Event()

    @tool(effect="read")
    def hangs() -> bool:
        """Hangs."""
        return end.wait(LIMIT_S)

    try:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await run(hangs)
    finally:
        end.set()


async def test_too_many_that_hang_refuse_the_next_one_before_it_begins() -> None:
    end = threading.Event()
    ran: list[int] = []

    @tool(effect="write")
    def hangs(number: int) -> bool:
        """Hangs."""
        ran.append(number)
        return end.wait(LIMIT_S)

    async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as group:
        for number in range(THREADS_MAX):
            group.create_task(run(hangs, number=number))
        await asyncio.sleep(0)  # each has got its thread
        with pytest.raises(ToolError, match=f"not begun: {THREADS_MAX}"):
            await run(hangs, number=-1)
        end.set()

    assert -1 not in ran
    assert await run(hangs, number=7) is True


# -- results ------------------------------------------------------------------------------------


def returning(value: Any, annotation: Any, effect: Literal["read", "write"] = "read") -> Tool:
    def made() -> Any:
        """Returns it."""
        return value

    made.__annotations__["return"] = annotation
    found: TypedTool[..., Any] = tool(effect=effect)(made)
    return found


@pytest.mark.parametrize(
    ("value", "annotation", "told"),
    [
        (Line(sku="A"), Line, {"sku": "A", "count": 1}),
        ({"sku": "A"}, Line, {"sku": "A", "count": 1}),
        ([Line(sku="A")], list[Line], [{"sku": "A", "count": 1}]),
        ((1, 2), list[int], [1, 2]),
        (Parcel(2.5), Parcel, {"weight_kg": 2.5}),
        (date(2026, 2, 3), date, "2026-02-03"),
        (Size.SMALL, Size, "s"),
        (Decimal("1.50"), Decimal, "1.50"),
        ({1}, set[int], [1]),
        (None, None, None),
        (None, Line | None, None),
        ({"a": date(2026, 2, 3)}, dict[str, Any], {"a": "2026-02-03"}),
        (2**70, int, 2**70),
    ],
)
async def test_a_result_is_told_as_json_that_fits_its_schema(
    value: Any, annotation: Any, told: Any
) -> None:
    made = returning(value, annotation)

    assert await run(made) == told
    assert mismatch(told, made.spec.result) is None


@pytest.mark.parametrize(
    ("value", "annotation", "named"),
    [
        ("5", int, "valid integer, not '5'"),
        ({"sku": 5}, Line, "sku: Input should be a valid string"),
        ({"a": object()}, dict[str, Any], "it has no JSON"),
        (None, str, "valid string"),
        ([{"sku": "A", "count": None}], list[Line], "[0].count: "),
    ],
)
async def test_a_result_that_does_not_fit_is_an_error_and_after_a_write_unsure(
    value: Any, annotation: Any, named: str
) -> None:
    with pytest.raises(ToolError) as failed:
        await run(returning(value, annotation))
    with pytest.raises(Unsure) as unsure:
        await run(returning(value, annotation, "write"))

    assert named in str(failed.value)
    assert str(unsure.value).startswith("it ran, but what it returned does not fit: ")


# -- ends ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [ToolError("no such order"), Unsure("lost"), KeyError("x")])
async def test_what_a_function_raises_is_raised(error: Exception) -> None:
    @tool(effect="write")
    def plain() -> None:
        """Fails."""
        raise error

    @tool(effect="write")
    async def coroutine() -> None:
        """Fails."""
        raise error

    for each in (plain, coroutine):
        with pytest.raises(type(error)) as raised:
            await run(each)
        assert raised.value is error


@pytest.mark.parametrize("error", [SystemExit(3), StopIteration()])
async def test_a_function_does_not_end_the_process(error: BaseException) -> None:
    @tool(effect="write")
    def plain() -> None:
        """Ends."""
        raise error

    with pytest.raises(RuntimeError, match=type(error).__name__):
        await run(plain)


async def test_a_coroutine_does_not_end_the_process() -> None:
    @tool(effect="write")
    async def ends() -> None:
        """Ends."""
        raise SystemExit(3)

    with pytest.raises(RuntimeError, match="end the process"):
        await run(ends)


async def test_a_decorated_coroutine_is_awaited() -> None:
    def doubled(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

        return wrapper

    @tool(effect="read")
    @doubled
    async def two(number: int) -> int:
        """Doubles."""
        return 2 * number

    assert await run(two, number=3) == 6


def test_it_is_still_the_plain_function() -> None:
    assert order_status("A-17", detail="long") == {"order": "A-17", "detail": "long"}
    assert order_status.__name__ == "order_status"
    assert order_status.__doc__ == "Where an order is."
    assert repr(order_status).startswith("<tool 'order_status' at ")


async def test_an_agent_uses_it() -> None:
    agent = Agent("shop", models=("scripted",), tools=("order_status",))
    calls = (ModelCall("order_status", {"order": "A-17"}), ModelCall("order_status", {"order": 1}))

    rest = await run_to_rest(
        agent, "Where is it?", replies=[Reply(calls=calls), Reply("Here.")], tools=[order_status]
    )

    assert rest.answer == "Here."
    assert [k for k in rest.kinds if k in ("tool.returned", "tool.refused", "tool.failed")] == [
        "tool.returned",
        "tool.refused",
    ]

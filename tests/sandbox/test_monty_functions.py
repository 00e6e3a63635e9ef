"""Code in monty may call the functions that it is given, and nothing else of ours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest_asyncio

from stepfold.sandbox.monty import MontySandbox
from stepfold.sandbox.process import ProcessSandbox
from stepfold.sandbox.sandbox import Code, Limits


@pytest_asyncio.fixture
async def monty() -> AsyncIterator[MontySandbox]:
    made = MontySandbox()
    yield made
    await made.close()


async def search(query: str, *, limit: int = 3) -> list[str]:
    return [f"{query} {number}" for number in range(limit)]


async def refuse() -> None:
    raise LookupError("no such order")


async def test_a_function_is_called_and_its_answer_goes_on(monty: MontySandbox) -> None:
    code = Code(
        "found = await search('fees', limit=2)\nlen(found), found[1]", functions={"search": search}
    )

    ran = await monty.run(code)

    assert (ran.outcome, ran.result) == ("ok", [2, "fees 1"])


async def test_functions_are_called_at_once(monty: MontySandbox) -> None:
    code = "import asyncio\nawait asyncio.gather(search('a', limit=1), search('b', limit=1))"

    ran = await monty.run(Code(code, functions={"search": search}))

    assert ran.result == [["a 0"], ["b 0"]]


async def test_what_a_function_raises_is_raised_in_the_code(monty: MontySandbox) -> None:
    code = """
try:
    await refuse()
except Exception as error:
    told = str(error)
told
"""

    ran = await monty.run(Code(code, functions={"refuse": refuse}))

    assert ran.result == "LookupError: no such order"


async def test_a_function_that_is_not_given_is_unknown(monty: MontySandbox) -> None:
    ran = await monty.run(Code("await delete('all')", functions={"search": search}))

    assert ran.outcome == "error"
    assert "delete" in ran.reason


async def test_a_function_is_given_plain_json_within_limits(monty: MontySandbox) -> None:
    given: list[Any] = []

    async def keep(value: Any) -> None:
        given.append(value)

    bomb = "a = [0] * 10\nfor i in range(9): a = [a] * 10\nawait keep(a)"
    ran = await monty.run(Code(bomb, functions={"keep": keep}))
    await monty.run(Code("class Own: pass\nawait keep((1, Own()))", functions={"keep": keep}))

    assert ran.outcome == "error"
    assert given == [[1, "<MontyClassProxy>"]]


async def test_calls_have_a_limit(monty: MontySandbox) -> None:
    code = "while True: await search('x')"

    ran = await monty.run(Code(code, limits=Limits(calls_max=20), functions={"search": search}))

    assert ran.outcome == "calls"


async def test_a_function_that_never_answers_is_over_with_the_run(monty: MontySandbox) -> None:
    left = asyncio.Event()

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            left.set()

    ran = await monty.run(Code("await wait()", limits=Limits(wall_s=0.2), functions={"wait": wait}))

    assert ran.outcome == "time"
    async with asyncio.timeout(2):
        await left.wait()


async def test_where_functions_cannot_be_called_nothing_runs() -> None:
    ran = await ProcessSandbox().run(Code("1", functions={"search": search}))

    assert ran.outcome == "refused"
    assert "monty" in ran.reason

"""Each attack ends as it must, wins nothing, and the next call is served within a second."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio

from stepfold.sandbox.backends import sandbox
from stepfold.sandbox.sandbox import Code, Outcome, Ran, Sandbox
from tests.attacks.sandbox_attacks import LIMIT_ATTACKS, Attack
from tests.attacks.sandbox_escapes import ESCAPES

ATTACKS = (*LIMIT_ATTACKS, *ESCAPES)
NEXT_S = 1.0
END_S = 3.0
"""Beyond its own wall time no attack may hold the worker for so long."""
SECRET = "swordfish-9b1d"
FLOODED = frozenset({"time", "cpu", "memory", "output", "files", "processes", "calls"})

together = pytest.mark.asyncio(loop_scope="module")
"""The runs of a module share a loop, as a worker's do, and so one sandbox."""


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["monty", "process"])
async def attacked(request: pytest.FixtureRequest) -> AsyncIterator[Sandbox]:
    where = sandbox(request.param)
    if missing := await where.missing():
        assert "CI" not in os.environ, f"CI must prove it: {missing}"
        pytest.skip(missing)
    yield where
    await where.close()


@pytest.fixture(autouse=True)
def listening(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The machine has a secret in its environment, and a socket that anybody may reach."""
    monkeypatch.setenv("STEPFOLD_SECRET", SECRET)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("\0stepfold-attacked")
        listener.listen()
        yield


@together
@pytest.mark.parametrize("each", ATTACKS, ids=[each.name for each in ATTACKS])
async def test_an_attack_ends_as_it_must_and_the_next_call_is_served(
    attacked: Sandbox, each: Attack
) -> None:
    begin = time.monotonic()

    ran = await attacked.run(Code(each.code, limits=each.limits))

    assert time.monotonic() - begin < each.limits.wall_s + END_S
    assert ran.outcome == _expected(each, attacked, ran), (ran.reason, ran.output[-500:])
    assert ran.outcome != "ok" or ran.result == _won(each, attacked)
    assert _is_bounded(ran, each)
    assert SECRET not in repr(ran)
    assert not os.path.exists("/left")
    await _served(attacked)


def test_there_are_attacks_enough_and_each_has_a_name_of_its_own() -> None:
    assert len(ATTACKS) >= 45
    assert len({each.name for each in ATTACKS}) == len(ATTACKS)


@together
async def test_attacks_at_once_do_not_hold_up_a_run_beside_them(attacked: Sandbox) -> None:
    loop = next(each for each in ATTACKS if each.name == "endless loop")
    attacks = [
        asyncio.create_task(attacked.run(Code(loop.code, limits=loop.limits))) for _ in range(2)
    ]

    beside = await attacked.run(Code("6 * 7"))

    assert (beside.outcome, beside.result) == ("ok", 42)
    assert {each.outcome for each in await asyncio.gather(*attacks)} <= {"cpu", "time"}


async def _served(where: Sandbox) -> None:
    begin = time.monotonic()
    ran = await where.run(Code("print('next')\n1 + 1"))
    assert (ran.outcome, ran.result, ran.output) == ("ok", 2, "next\n"), ran
    assert time.monotonic() - begin < NEXT_S


def _expected(each: Attack, where: Sandbox, ran: Ran) -> Outcome:
    """On a busy machine the wall time can be over before the CPU time is, which the usage shows."""
    expected = each.monty if where.name == "monty" else each.process
    used = ran.usage.cpu_s
    starved = ran.outcome == "time" and used is not None and used <= each.limits.cpu_s
    return "time" if expected == "cpu" and starved else expected


def _won(each: Attack, where: Sandbox) -> Any:
    """`result` is one for all, or one for each backend; an attack on monty wins nothing else."""
    if isinstance(each.result, dict):
        return each.result.get(where.name)
    return each.result


def _is_bounded(ran: Ran, each: Attack) -> bool:
    limits = each.limits
    return (
        len(ran.output.encode("utf-8", "replace")) <= 3 * limits.output_bytes
        and len(ran.files) <= limits.files_max
        and sum(map(len, ran.files.values())) <= limits.files_bytes
        and (ran.outcome not in FLOODED or ran.result is None)
    )

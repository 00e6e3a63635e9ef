"""What every sandbox does, run against each that runs here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from msgspec.structs import replace

from stepfold.sandbox.backends import sandbox
from stepfold.sandbox.container import ContainerSandbox
from stepfold.sandbox.sandbox import Code, Limits, Sandbox, SandboxError
from tests.sandbox.engines import engine

IMAGE = "python:look-alike"
LIMITS = Limits(cpu_s=2.0, wall_s=5.0, output_bytes=2_000, files_max=3, files_bytes=50_000)

together = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(
    scope="module", loop_scope="module", params=["monty", "process", "container"]
)
async def where(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Sandbox]:
    made = _made(request.param, tmp_path_factory.mktemp("engine"))
    if missing := await made.missing():
        pytest.skip(missing)
    yield made
    await made.close()


def _made(name: str, folder: Path) -> Sandbox:
    if name == "container":
        return ContainerSandbox(engine=str(engine(folder, image=IMAGE)), image=IMAGE)
    return sandbox(name)


@together
async def test_the_value_of_a_last_expression_is_the_result(where: Sandbox) -> None:
    ran = await where.run(Code("x = 20\n{'sum': x + 22, 'parts': (x, None, 1.5, 'é')}"))

    assert ran.outcome == "ok"
    assert ran.result == {"sum": 42, "parts": [20, None, 1.5, "é"]}


@together
async def test_a_program_without_a_last_expression_has_no_result(where: Sandbox) -> None:
    ran = await where.run(Code("x = 1"))

    assert (ran.outcome, ran.result, ran.output) == ("ok", None, "")


@together
async def test_what_json_cannot_say_comes_as_its_text(where: Sandbox) -> None:
    ran = await where.run(Code("2**70"))

    assert ran.result == str(2**70)


@together
async def test_both_streams_are_the_output(where: Sandbox) -> None:
    ran = await where.run(Code("import sys\nprint('one')\nprint('two', file=sys.stderr)"))

    assert ran.output == "one\ntwo\n"


@together
async def test_an_error_is_told_with_its_line(where: Sandbox) -> None:
    ran = await where.run(Code("print('before')\n1 / 0"))

    assert ran.outcome == "error"
    assert ran.reason.startswith("ZeroDivisionError: division by zero")
    assert ran.output.startswith("before\n")
    assert "line 2" in ran.output


@together
async def test_what_is_no_python_is_an_error(where: Sandbox) -> None:
    ran = await where.run(Code("x = = 1"))

    assert ran.outcome == "error"
    assert ran.result is None


@together
async def test_files_go_in_and_those_made_or_changed_come_out(where: Sandbox) -> None:
    code = """
import os
rows = open("in/rows.csv").read()
os.makedirs("out")
open("out/count.txt", "w").write(str(len(rows)))
open("changed.txt", "w").write("new")
rows
"""
    given = {"in/rows.csv": b"a,b\n", "changed.txt": b"old"}

    ran = await where.run(Code(code, given))

    assert (ran.outcome, ran.result) == ("ok", "a,b\n"), ran
    assert ran.files == {"out/count.txt": b"4", "changed.txt": b"new"}


@together
async def test_a_run_leaves_nothing_to_the_next(where: Sandbox) -> None:
    await where.run(Code("open('left.txt', 'w').write('x')\nleft = 1"))

    file = await where.run(Code("open('left.txt').read()"))
    name = await where.run(Code("left"))

    assert file.reason.startswith("FileNotFoundError")
    assert name.reason.startswith("NameError")


@together
async def test_too_much_output_ends_a_run(where: Sandbox) -> None:
    ran = await where.run(Code("while True: print('x' * 100)", limits=LIMITS))

    assert ran.outcome == "output"
    assert 1_000 < len(ran.output) <= LIMITS.output_bytes
    assert str(LIMITS.output_bytes) in ran.reason


@together
async def test_too_large_a_result_is_none(where: Sandbox) -> None:
    ran = await where.run(Code("'x' * 3_000", limits=LIMITS))

    assert (ran.outcome, ran.result) == ("output", None)


@together
async def test_too_many_files_are_none(where: Sandbox) -> None:
    code = "for i in range(4): open(f'{i}.txt', 'w').close()"

    ran = await where.run(Code(code, limits=LIMITS))

    assert (ran.outcome, ran.files) == ("files", {})


@together
async def test_as_many_files_as_are_allowed_come_out(where: Sandbox) -> None:
    code = "for i in range(3): open(f'{i}.txt', 'w').close()"

    ran = await where.run(Code(code, limits=LIMITS))

    assert (ran.outcome, sorted(ran.files)) == ("ok", ["0.txt", "1.txt", "2.txt"])


@together
@pytest.mark.parametrize(
    "name", ["/etc/x", "../x", "a/../x", "", "a//b", "a\nb", "a\\b", "x" * 201]
)
async def test_a_file_without_a_safe_name_does_not_go_in(where: Sandbox, name: str) -> None:
    with pytest.raises(SandboxError, match="relative path"):
        await where.run(Code("1", {name: b"x"}))


@together
async def test_files_that_do_not_fit_do_not_go_in(where: Sandbox) -> None:
    with pytest.raises(SandboxError, match="files_bytes is 50000"):
        await where.run(Code("1", {"a": b"x" * 50_001}, LIMITS))
    with pytest.raises(SandboxError, match="files_max is 3"):
        await where.run(Code("1", dict.fromkeys("abcd", b""), LIMITS))


@together
async def test_a_limit_that_cannot_be_is_an_error(where: Sandbox) -> None:
    with pytest.raises(SandboxError, match="wall_s"):
        await where.run(Code("1", limits=replace(LIMITS, wall_s=0)))


@together
async def test_runs_at_once_do_not_meet(where: Sandbox) -> None:
    codes = [Code(f"open('own.txt', 'w').write('{n}')\n{n}") for n in range(6)]

    every = await asyncio.gather(*(where.run(code) for code in codes))

    assert [ran.result for ran in every] == list(range(6))
    assert [ran.files["own.txt"] for ran in every] == [str(n).encode() for n in range(6)]


@together
async def test_a_cancelled_run_is_over_and_the_next_is_served(where: Sandbox) -> None:
    running = asyncio.create_task(where.run(Code("print('up')\nwhile True: pass")))
    await asyncio.wait([running], timeout=0.2)

    running.cancel()

    with pytest.raises(asyncio.CancelledError):
        await running
    assert (await where.run(Code("1"))).result == 1


@together
async def test_a_closed_sandbox_can_be_used_again(where: Sandbox) -> None:
    await where.run(Code("1"))
    await where.close()

    assert (await where.run(Code("2"))).result == 2


@together
async def test_usage_is_told(where: Sandbox) -> None:
    ran = await where.run(Code("sum(range(100_000))"))

    assert 0 < ran.usage.wall_s < LIMITS.wall_s + 5

"""The process sandbox ends with whoever started it, and is never half a sandbox."""

from __future__ import annotations

import asyncio
import os
import platform
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from stepfold.sandbox.process import ProcessSandbox
from stepfold.sandbox.sandbox import Code, Limits
from tests.waiting import eventually

OUTLIVES = """
import os
if os.fork() == 0:
    os.setsid()
    python = "/python/bin/python3"
    os.execv(python, [python, "-I", "-S", "-c", "import time; time.sleep(1e6)", "{name}"])
"""
SLEEPS = OUTLIVES + "import time\ntime.sleep(1e6)"
WORKER = """
import asyncio, sys
from stepfold.sandbox.process import ProcessSandbox
from stepfold.sandbox.sandbox import Code, Limits
asyncio.run(ProcessSandbox().run(Code(sys.stdin.read(), limits=Limits(wall_s=60))))
"""


@pytest_asyncio.fixture
async def process() -> AsyncIterator[ProcessSandbox]:
    made = ProcessSandbox()
    if missing := await made.missing():
        pytest.skip(missing)
    yield made
    await made.close()


def named(name: str) -> list[str]:
    """The processes of this machine that have `name` as their last word."""
    return [each.parent.name for each in Path("/proc").glob("[0-9]*/cmdline") if _calls(each, name)]


def _calls(path: Path, name: str) -> bool:
    try:
        return path.read_bytes().split(b"\0")[-2:-1] == [name.encode()]
    except OSError:
        return False


async def test_a_child_that_detaches_dies_with_the_run(process: ProcessSandbox) -> None:
    name = f"outlives-{os.getpid()}"

    ran = await process.run(Code(OUTLIVES.format(name=name) + "None"))

    assert ran.outcome == "ok"
    await eventually(lambda: not named(name), 2)


async def test_a_cancelled_run_leaves_no_process(process: ProcessSandbox) -> None:
    name = f"cancelled-{os.getpid()}"
    running = asyncio.create_task(process.run(Code(SLEEPS.format(name=name))))
    await eventually(lambda: named(name))

    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    await eventually(lambda: not named(name), 2)


async def test_a_killed_worker_leaves_no_process(process: ProcessSandbox) -> None:
    name = f"orphan-{os.getpid()}"
    with subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-c", WORKER], stdin=subprocess.PIPE, start_new_session=True
    ) as worker:
        assert worker.stdin is not None
        worker.stdin.write(SLEEPS.format(name=name).encode())
        worker.stdin.close()
        await eventually(lambda: named(name))

        worker.send_signal(signal.SIGKILL)

    await eventually(lambda: not named(name), 3)


async def test_the_code_is_nobody_on_the_machine(process: ProcessSandbox) -> None:
    name = f"nobody-{os.getpid()}"
    running = asyncio.create_task(process.run(Code(SLEEPS.format(name=name))))
    (number,) = await eventually(lambda: named(name))

    owner = Path(f"/proc/{number}").stat().st_uid

    assert owner != 0
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_spare_is_used_once_and_goes_with_the_sandbox(process: ProcessSandbox) -> None:
    limits = Limits(files_bytes=123_456)
    for _ in range(3):
        assert (await process.run(Code("1", limits=limits))).outcome == "ok"
    assert (await process.run(Code("1", limits=Limits(files_bytes=50_000)))).outcome == "ok"

    ran = await process.run(Code("open('a', 'wb').write(b'x' * 100_000)", limits=limits))

    assert (ran.outcome, ran.result) == ("ok", 100_000)


async def test_cpu_time_and_memory_are_told(process: ProcessSandbox) -> None:
    code = "held = bytearray(50_000_000)\nfor i in range(3_000_000): pass"

    ran = await process.run(Code(code))

    assert ran.usage.cpu_s is not None
    assert 0.03 < ran.usage.cpu_s < 5
    assert ran.usage.memory_bytes is not None
    assert 40_000_000 < ran.usage.memory_bytes < 256_000_000


@pytest.mark.skipif(platform.system() != "Linux", reason="says that it is for Linux, and no more")
async def test_without_bubblewrap_nothing_runs_and_the_reason_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("stepfold.sandbox.process.PATH", "/nowhere")

    ran = await ProcessSandbox().run(Code("1"))

    assert ran.outcome == "refused"
    assert "apt-get install bubblewrap" in ran.reason


@pytest.mark.skipif(platform.system() != "Linux", reason="says that it is for Linux, and no more")
async def test_where_bubblewrap_cannot_isolate_nothing_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("bwrap", "setpriv"):
        (tmp_path / name).write_text("#!/bin/sh\necho 'bwrap: No permissions' >&2\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setattr("stepfold.sandbox.process.PATH", str(tmp_path))

    ran = await ProcessSandbox().run(Code("1"))

    assert ran.outcome == "refused"
    assert "bwrap: No permissions" in ran.reason
    assert "user namespaces" in ran.reason


@pytest.mark.skipif(platform.system() != "Linux", reason="says that it is for Linux, and no more")
async def test_a_bubblewrap_that_does_not_isolate_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretender = f'#!/bin/sh\nfor last; do :; done\nexec {sys.executable} -I -S -c "$last"\n'
    for name in ("bwrap", "setpriv"):
        (tmp_path / name).write_text(pretender)
        (tmp_path / name).chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("stepfold.sandbox.process.PATH", str(tmp_path))

    ran = await ProcessSandbox().run(Code("1"))

    assert ran.outcome == "refused"
    assert "cannot isolate" in ran.reason


@pytest.mark.parametrize("code", ["1 +", "(" * 10_000, "1 / 0"])
async def test_what_runs_the_code_is_not_in_its_traceback(
    process: ProcessSandbox, code: str
) -> None:
    ran = await process.run(Code(code))

    assert ran.outcome == "error"
    assert 'File "main.py", line 1' in ran.output
    assert "/python/" not in ran.output
    assert "<string>" not in ran.output

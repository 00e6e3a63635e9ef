"""Monty: a subset of Python, interpreted in Rust, that has no access to the machine.

Each run gets an interpreter process of its own from a small warm pool, with an empty environment;
one that hangs or falls over is killed and replaced. The code sees a working folder and the
functions it is given, which it awaits (`await search("x")`).
"""

from __future__ import annotations

import asyncio
import math
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace
from pydantic_monty import AsyncMonty, MontyCrashedError, MontyError, MountDir, ResourceLimits

from stepfold.sandbox.sandbox import (
    Code,
    Function,
    Limits,
    Outcome,
    Ran,
    Usage,
    changed,
    check,
    is_safe,
)
from stepfold.sandbox.values import TooLarge, plain

WORK = "/work"
WORKERS_MAX = 4
"""Interpreters at once; a further run waits for one, within its own wall time."""

REASON_MAX = 500
"""Characters of an error, and of each line of its traceback."""

GRACE_S = 0.25
"""After its CPU time an interpreter that does not stop by itself is killed."""

_LIMIT_WORDS: Mapping[str, Outcome] = {
    "feed time limit exceeded": "cpu",
    "memory limit exceeded": "memory",
    "exceeded its memory limit": "memory",
    "allocation of": "memory",
    "suspension limit": "calls",
    "sleep limit exceeded": "time",
    "disk write limit": "files",
}
"""By what Monty says when it stops the code. Code that says so itself has stopped itself."""


class _Stopped(Exception):
    """A limit that is kept here."""

    def __init__(self, outcome: Outcome, reason: str) -> None:
        super().__init__(outcome, reason)
        self.outcome: Outcome = outcome
        self.reason = reason


SETTLE_S = 0.1
"""What the pool's own threads still tell the loop after it was closed must find a loop: one that
tells it to an interpreter which is ending aborts the process.
"""


class MontySandbox:
    """Embedded, started with the first run. Its wheel carries the interpreter."""

    name = "monty"

    def __init__(self) -> None:
        self._pool: AsyncMonty | None = None
        self._opening = asyncio.Lock()

    async def missing(self) -> str:
        try:
            await self._opened()
        except (OSError, RuntimeError) as error:
            return f"monty cannot start here ({error}): pip install pydantic-monty"
        return ""

    async def run(self, code: Code) -> Ran:
        check(code)
        if reason := await self.missing():
            return Ran("refused", reason)
        begin = time.monotonic()
        printed = _Printed(code.limits.output_bytes)
        with _folder(code.files) as folder:
            try:
                result = await self._result(code, folder, printed)
                files = changed(code.files, _found(folder, code.limits))
                ran = Ran("ok", "", result, files=files)
            except _Stopped as stopped:
                ran = Ran(stopped.outcome, stopped.reason)
        usage = Usage(time.monotonic() - begin)
        return replace(ran, output=printed.text(), usage=usage)

    async def close(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.__aexit__(None, None, None)
            await asyncio.sleep(SETTLE_S)

    async def _opened(self) -> AsyncMonty:
        async with self._opening:
            if self._pool is None:
                pool = AsyncMonty(
                    max_processes=WORKERS_MAX,
                    max_checkouts_per_worker=1,
                    feed_duration_limit_grace=GRACE_S,
                )
                await pool.__aenter__()
                self._pool = pool
            return self._pool

    async def _result(self, code: Code, folder: Path, printed: _Printed) -> Any:
        running = asyncio.ensure_future(self._fed(code, folder, printed))
        printed.stop = running.cancel
        try:
            done, _ = await asyncio.wait([running], timeout=code.limits.wall_s)
            if not done:
                raise _Stopped("time", f"more than {code.limits.wall_s:g} s")
            if printed.full:
                raise _Stopped("output", f"more than {code.limits.output_bytes} bytes printed")
            return running.result()
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError, _Stopped):
                await running

    async def _fed(self, code: Code, folder: Path, printed: _Printed) -> Any:
        limits, calls = code.limits, _Calls(code)
        pool = await self._opened()
        try:
            with MountDir(
                host_path=folder,
                virtual_path=WORK,
                mode="read-write",
                write_bytes_limit=limits.files_bytes,
            ) as mount:
                async with pool.checkout(
                    limits=_resources(limits), os_policy={"sleep_system_max": math.inf}
                ) as session:
                    value = await session.feed_run(
                        code.text,
                        print_callback=printed,
                        mount=mount,
                        external_lookup=calls.named(),
                    )
            return plain(value, bytes_max=limits.output_bytes)
        except MontyCrashedError as error:
            outcome = "cpu" if error.timed_out else _outcome(str(error), "crashed")
            raise _Stopped(outcome, str(error)) from error
        except MontyError as error:
            raise _failed(error, printed) from error
        except TooLarge as error:
            raise _Stopped("output", str(error)) from error
        finally:
            calls.end()


class _Printed:
    """Takes what the code prints, and stops the code when that is too much."""

    def __init__(self, bytes_max: int) -> None:
        self._parts: list[str] = []
        self._left = bytes_max
        self._loop = asyncio.get_running_loop()
        self.full = False
        self.stop: Callable[[], object] = bool

    def __call__(self, stream: str, text: str) -> None:
        """Called by Monty, in a thread of its own."""
        if self.full:
            return
        size = len(text.encode("utf-8", "replace"))
        self._parts.append(text if size <= self._left else text[: self._left])
        self._left -= size
        if self._left < 0:
            self.full = True
            self._loop.call_soon_threadsafe(self.stop)

    def text(self) -> str:
        return "".join(self._parts)


def _resources(limits: Limits) -> ResourceLimits:
    return {
        "max_feed_duration_secs": limits.cpu_s,
        "max_memory": limits.memory_bytes,
        "max_suspensions": limits.calls_max,
        "max_total_sleep_secs": limits.wall_s,
    }


def _failed(error: Exception, printed: _Printed) -> _Stopped:
    """The traceback goes to the output, as Python prints it."""
    outcome = _outcome(str(error), "error")
    if outcome == "error" and hasattr(error, "display"):
        lines = (line[:REASON_MAX] for line in error.display().splitlines())
        printed("stderr", "\n".join(lines) + "\n")
    return _Stopped(outcome, str(error)[:REASON_MAX])


def _outcome(text: str, otherwise: Outcome) -> Outcome:
    return next((found for words, found in _LIMIT_WORDS.items() if words in text), otherwise)


# -- functions ----------------------------------------------------------------------------------


class _Calls:
    """The functions of one run. Only JSON goes in and out; what went wrong is told in words, never
    as an object. Monty does not end a call whose code is gone, so they are ended here.
    """

    def __init__(self, code: Code) -> None:
        self._functions = code.functions
        self._bytes_max = code.limits.output_bytes
        self._under_way: set[asyncio.Task[Any]] = set()

    def named(self) -> dict[str, Function]:
        return {name: self._called(function) for name, function in self._functions.items()}

    def end(self) -> None:
        for task in self._under_way:
            task.cancel()

    def _called(self, function: Function) -> Function:
        async def call(*positional: Any, **named: Any) -> Any:
            task = asyncio.current_task()
            assert task is not None
            self._under_way.add(task)
            try:
                given = plain([positional, named], bytes_max=self._bytes_max)
                return msgspec.to_builtins(await function(*given[0], **given[1]))
            except Exception as error:  # noqa: BLE001  (whatever it is, the code must hear of it)
                raise RuntimeError(f"{type(error).__name__}: {error}") from None
            finally:
                self._under_way.discard(task)

        return call


# -- files --------------------------------------------------------------------------------------


class _Entry(Struct, frozen=True):
    name: str
    path: Path


@contextmanager
def _folder(files: Mapping[str, bytes]) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="stepfold-monty-"))
    try:
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _found(folder: Path, limits: Limits) -> dict[str, bytes]:
    """Regular files alone; a symbolic link is not followed, into a folder neither."""
    found: dict[str, bytes] = {}
    left = limits.files_bytes
    for entry in _walk(folder, limits.files_max):
        content = _content(entry.path, left)
        left -= len(content)
        found[entry.name] = content
    return found


def _walk(folder: Path, files_max: int) -> Iterator[_Entry]:
    count, folders = 0, [folder]
    while folders:
        for path in sorted(folders.pop().iterdir()):
            count += 1
            if count > files_max:
                raise _Stopped("files", f"more than {files_max} files and folders")
            mode, name = path.lstat().st_mode, path.relative_to(folder).as_posix()
            if not is_safe(name):
                raise _Stopped("error", f"its file {name!r:.60} has no name that can be kept")
            if stat.S_ISDIR(mode):
                folders.append(path)
            elif stat.S_ISREG(mode):
                yield _Entry(name, path)


def _content(path: Path, bytes_max: int) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        content = file.read(bytes_max + 1)
    if len(content) > bytes_max:
        raise _Stopped("files", "the files are larger than files_bytes allows")
    return content

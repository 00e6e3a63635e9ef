"""The contract of a sandbox: a stranger's code in; a result, output, files and an outcome out.

Nothing that comes out is believed. The result is what the code says its result is: code that forges
it has only told its own result in another way. An outcome that names a limit was seen from outside
where the backend can see it, and else was reported by the code's own interpreter.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal, Protocol

from msgspec import Struct

Function = Callable[..., Awaitable[Any]]
"""What the code may call: JSON in, JSON out. An exception becomes one in the code."""

Outcome = Literal[
    "ok",
    "error",
    "time",
    "cpu",
    "memory",
    "output",
    "files",
    "processes",
    "calls",
    "crashed",
    "refused",
]
"""`ok`; `error` (the code raised, or ended without a result); the limit that was reached; `crashed`
(its interpreter was killed or fell over); `refused` (nothing ran, and `reason` says why).
"""

NAME_MAX = 200
"""Characters in the name of a file, folders included."""


class SandboxError(Exception):
    """The caller asked for what no sandbox takes; the text says what, and the way out."""


class Limits(Struct, frozen=True):
    """How much one run may use. `memory_bytes` and `cpu_s` are of all its processes together,
    `processes_max` counts threads too, `output_bytes` holds for what is printed and once more for
    the result, `files_max` and `files_bytes` for all files at the end, `calls_max` for calls of
    functions and, in monty, for each use of a file.
    """

    cpu_s: float = 5.0
    wall_s: float = 10.0
    memory_bytes: int = 256_000_000
    output_bytes: int = 100_000
    files_max: int = 100
    files_bytes: int = 10_000_000
    processes_max: int = 16
    calls_max: int = 1_000


class Code(Struct, frozen=True):
    """One Python program. The files, by name (`a.csv`, `in/a.csv`), stand in its working folder.
    The value of a last line that is an expression is the result.
    """

    text: str
    files: Mapping[str, bytes] = {}
    limits: Limits = Limits()
    functions: Mapping[str, Function] = {}


class Usage(Struct, frozen=True):
    """None where the backend cannot tell. Memory is the peak that was seen."""

    wall_s: float = 0.0
    cpu_s: float | None = None
    memory_bytes: int | None = None


class Ran(Struct, frozen=True):
    """`result` is JSON; what JSON cannot say comes as its text. `output` is what was printed, up to
    the limit. `files` are those that the run made or changed; a symbolic link is none.
    """

    outcome: Outcome
    reason: str = ""
    result: Any = None
    output: str = ""
    files: Mapping[str, bytes] = {}
    usage: Usage = Usage()


class Sandbox(Protocol):
    @property
    def name(self) -> str: ...

    async def missing(self) -> str:
        """Why isolation cannot be had here, and the way out; empty when it can."""

    async def run(self, code: Code) -> Ran:
        """Never raises for what the code does. SandboxError for a file name or a limit that cannot
        be. When the caller is cancelled, the run is stopped.
        """

    async def close(self) -> None:
        """What is kept warm is let go. The sandbox may be used again."""


def is_safe(name: str) -> bool:
    """A name below the working folder: no way up, no root, nothing that a screen or a shell trips
    over.
    """
    return (
        0 < len(name) <= NAME_MAX
        and not any(part in {"", ".", ".."} for part in name.split("/"))
        and "\\" not in name
        and not any(unicodedata.category(each).startswith("C") for each in name)
    )


def check(code: Code) -> None:
    """SandboxError where the files that go in have no safe name, or do not fit their own limits."""
    limits = code.limits
    for name in code.files:
        if not is_safe(name):
            raise SandboxError(f"file {name!r}: give a relative path without '..', as 'in/a.csv'")
    for name, at_least in {
        "cpu_s": 0.01,
        "wall_s": 0.01,
        "memory_bytes": 1,
        "output_bytes": 1,
    }.items():
        if getattr(limits, name) < at_least:
            raise SandboxError(f"{name} {getattr(limits, name)}: give at least {at_least}")
    if len(code.files) > limits.files_max:
        raise SandboxError(
            f"{len(code.files)} files go in, files_max is {limits.files_max}: raise it or send less"
        )
    if (size := sum(map(len, code.files.values()))) > limits.files_bytes:
        raise SandboxError(
            f"{size} bytes go in, files_bytes is {limits.files_bytes}: raise it, or send less"
        )


def changed(before: Mapping[str, bytes], after: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files that a run made or changed."""
    return {name: content for name, content in after.items() if before.get(name) != content}


def refused(reason: str) -> Ran:
    return Ran("refused", reason)

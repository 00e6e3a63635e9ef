"""What goes to the runner and what comes back: a line of JSON, then the bytes of the files.

The reply is a stranger's. It is decoded by type and within limits, never unpickled; whatever is not
exactly one reply is none.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from stepfold.sandbox.sandbox import Code, Limits, Outcome, is_safe
from stepfold.sandbox.values import TooLarge, plain

OPEN_FILES_MAX = 64
LINE_BYTES_PER_FILE = 1_500
LINE_BYTES = 10_000

Reported = Literal["ok", "error", "memory", "output", "files", "processes"]
"""The outcomes that the code's own interpreter may report."""


class NotAReply(Exception):
    """What came back is no reply; the text says why."""


class _Request(Struct, frozen=True):
    code: str
    files: list[tuple[str, int]]
    rlimits: dict[str, int]
    result_bytes: int
    files_max: int
    files_bytes: int


class _Line(Struct, frozen=True):
    outcome: Reported
    reason: Annotated[str, Meta(max_length=1_000)] = ""
    result: Any = None
    files: list[tuple[str, Annotated[int, Meta(ge=0)]]] = []


class Reply(Struct, frozen=True):
    """The code's own word."""

    outcome: Outcome
    reason: str
    result: Any
    files: Mapping[str, bytes]


_lines = msgspec.json.Decoder(_Line)


def request(code: Code, *, rlimits: Mapping[str, int]) -> bytes:
    """`rlimits` by the name after `RLIMIT_`, beside those that hold everywhere."""
    limits = code.limits
    line = _Request(
        code=code.text,
        files=[(name, len(content)) for name, content in code.files.items()],
        rlimits={**_rlimits(limits), **rlimits},
        result_bytes=limits.output_bytes,
        files_max=limits.files_max,
        files_bytes=limits.files_bytes,
    )
    return b"".join((msgspec.json.encode(line), b"\n", *code.files.values()))


def _rlimits(limits: Limits) -> dict[str, int]:
    """A second more of CPU time than is allowed: who watches from outside is to be first."""
    return {
        "CPU": math.ceil(limits.cpu_s) + 1,
        "AS": limits.memory_bytes,
        "FSIZE": limits.files_bytes,
        "NOFILE": OPEN_FILES_MAX,
        "CORE": 0,
        "MEMLOCK": 0,
        "MSGQUEUE": 0,
    }


def reply_bytes_max(limits: Limits) -> int:
    line = LINE_BYTES + limits.output_bytes + LINE_BYTES_PER_FILE * limits.files_max
    return line + limits.files_bytes


def reply(received: bytes, limits: Limits) -> Reply:
    """Exactly one reply; NotAReply where there is none, or more than that."""
    head, end, rest = received.partition(b"\n")
    if not end:
        raise NotAReply("it ended without a result")
    try:
        line = _lines.decode(head)
        result = plain(line.result, bytes_max=limits.output_bytes)
    except (msgspec.MsgspecError, RecursionError, TooLarge, ValueError) as error:
        raise NotAReply(f"its reply is none: {error}") from error
    return Reply(line.outcome, line.reason, result, _files(line.files, rest, limits))


def _files(named: list[tuple[str, int]], content: bytes, limits: Limits) -> dict[str, bytes]:
    if len(named) > limits.files_max or sum(size for _, size in named) != len(content):
        raise NotAReply("its files are not those that its reply names")
    files, place = {}, 0
    for name, size in named:
        if not is_safe(name):
            raise NotAReply(f"its file {name!r:.60} has no name that can be kept")
        files[name] = content[place : place + size]
        place += size
    return files

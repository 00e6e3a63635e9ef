"""A JSONL archive as columns, without a Python object per line.

The form of the lines is drawn in `streams/archive.py`, which this room may not import: a step is
its payload with its address in place of `after`; what is `raw` there is no step, and odd here.
"""

from __future__ import annotations

import mmap
import os
import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from msgspec import Raw, Struct

from stepfold.events.names import EventError, split_subject
from stepfold.projections.views.batch import Found, arranged
from stepfold.projections.views.errors import ArchiveRefused

BLOCK_BYTES = 4 * 1024 * 1024
"""How much is looked through for newlines at a time; more does not stay in the cache."""

_HEADER = re.compile(r'\s*(\{\s*"(agent|routes|missing)"\s*:|$)')
_TYPE = re.compile(rb'\s*\{\s*"type"\s*:\s*"([^"/\\]*)')
_NEWLINE = 10
_SHORT = 16
"""Bytes below which a line might be blank; no step is that short."""


class _Line(Struct):
    at: datetime
    subject: str = ""
    customer: str = ""
    conversation: str = ""
    kind: str = ""
    raw: bytes | None = None
    event: Raw = Raw(b"")
    broken: int | None = None


_line = msgspec.json.Decoder(_Line)
_fields = msgspec.json.Decoder(dict[str, Raw])


class Archive:
    """The file is mapped, not read: its lines are Arrow strings over the very bytes on disk, so a
    file larger than the memory will do. It must not be cut while it is loaded.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._lines = _steps(path)
        except OSError as error:
            raise ArchiveRefused(f"{path} cannot be read: {error.strerror}") from error
        except pa.ArrowInvalid as error:
            raise ArchiveRefused(
                f"{path} is no archive: it holds bytes that are not UTF-8"
            ) from error

    def columns(self) -> pa.Table:
        """What read.sql reads; empty for a file without steps."""
        count = len(self._lines)
        position = pa.array(np.arange(1, count + 1, dtype=np.int64))
        return arranged(position, pa.nulls(count, pa.string()), self._lines)

    def find(self, positions: Sequence[int]) -> list[Found]:
        """Some steps, as far as each line holds one. ArchiveRefused when a line is none of ours."""
        return [self._step(position) for position in positions]

    def _step(self, position: int) -> Found:
        text = self._lines[position - 1].as_py().encode()
        try:
            line = _line.decode(text)
            payload = line.raw if line.raw is not None else _payload(text, line.broken)
            subject = line.subject or _subject(line)
        except (msgspec.DecodeError, EventError) as error:
            raise ArchiveRefused(
                f"{self.path}: step {position} is not a line of an archive: {error}"
            ) from error
        return Found(position, subject, payload, line.at, chained=False)


def _payload(text: bytes, broken: int | None) -> bytes:
    """The line as a payload. `after` is looked at only when it is negative: of another log."""
    after = 0 if broken is None else _elsewhere(broken)
    return msgspec.json.encode({"after": after} | _fields.decode(text))


def _elsewhere(position: int) -> int:
    return -position - 2 if position >= 0 else position


def _subject(line: _Line) -> str:
    if not (line.customer and line.conversation):
        raise EventError("it has no customer and conversation")
    kind = line.kind
    if not kind and (found := _TYPE.match(bytes(line.event))):
        kind = found.group(1).decode()
    subject = f"steps.{line.customer}.{line.conversation}.{kind}"
    split_subject(subject)
    return subject


def _steps(path: Path) -> pa.ChunkedArray:
    """The lines that are steps: neither blank, nor headers, which stand at the beginning only."""
    with path.open("rb") as file:
        if not os.fstat(file.fileno()).st_size:
            return pa.chunked_array([], pa.large_string())
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    ends = _ends(mapped)
    offsets = np.concatenate((np.zeros(1, np.int64), ends))
    lines = pa.LargeStringArray.from_buffers(len(ends), pa.py_buffer(offsets), pa.py_buffer(mapped))
    lines.validate(full=True)
    return _between(lines, _others(lines, offsets))


def _ends(mapped: mmap.mmap) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Where each line ends, its newline included: JSON does not mind it."""
    found = []
    for start in range(0, len(mapped), BLOCK_BYTES):
        block = np.frombuffer(mapped, np.uint8, min(BLOCK_BYTES, len(mapped) - start), start)
        found.append(np.flatnonzero(block == _NEWLINE).astype(np.int64) + start + 1)
    ends = np.concatenate(found)
    return ends if len(ends) and ends[-1] == len(mapped) else np.append(ends, len(mapped))


def _others(lines: pa.LargeStringArray, offsets: np.ndarray[Any, np.dtype[np.int64]]) -> list[int]:
    headers = 0
    while headers < len(lines) and _HEADER.match(lines[headers].as_py()):
        headers += 1
    short = np.flatnonzero(np.diff(offsets) < _SHORT).tolist()
    blank = [number for number in short if number >= headers and not lines[number].as_py().strip()]
    return [*range(headers), *blank]


def _between(lines: pa.LargeStringArray, others: Sequence[int]) -> pa.ChunkedArray:
    """All lines but `others`, in slices that copy nothing."""
    starts = [0, *(number + 1 for number in others)]
    ends = [*others, len(lines)]
    slices = [lines[start:end] for start, end in zip(starts, ends, strict=True) if start < end]
    return pa.chunked_array(slices, pa.large_string())

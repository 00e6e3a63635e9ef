"""A JSONL archive as columns, block by block, without a Python object per line.

The form of the lines is drawn in `streams/archive.py`, which this room may not import: a step is
its payload with its address in place of `after`; what is `raw` there is no step, and odd here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Raw, Struct

from stepfold.events.names import EventError, split_subject
from stepfold.projections.views.batch import CHUNK_ROWS, COLUMNS, Stored, arranged
from stepfold.projections.views.errors import ArchiveRefused

BLOCK_BYTES = 4 * 1024 * 1024
"""A few blocks are alive at a time. Larger ones are slower: they do not stay in the cache."""

_HEADER = r'^\s*\{\s*"(agent|missing)"\s*:'
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
    """`failure` is what ended the reading, since it happens inside DuckDB."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.failure: ArchiveRefused | None = None

    def reader(self) -> pa.RecordBatchReader:
        """The columns of read.sql, pulled by DuckDB's threads while others work on them."""
        return pa.RecordBatchReader.from_batches(COLUMNS, self._batches())

    def find(self, positions: Sequence[int]) -> list[Stored]:
        """Some steps, as far as each line holds one. Goes through the file again: these are rare.

        ArchiveRefused when a line is none of ours.
        """
        wanted = list(positions)
        found: list[Stored] = []
        for first, lines in self._blocks() if wanted else ():
            while wanted and wanted[0] < first + len(lines):
                position = wanted.pop(0)
                found.append(self._step(position, lines[position - first].as_py().encode()))
        return found

    def _batches(self) -> Iterator[pa.RecordBatch]:
        try:
            for first, lines in self._blocks():
                count = len(lines)
                position = pa.array(np.arange(first, first + count, dtype=np.int64))
                table = arranged(position, pa.nulls(count, pa.string()), lines)
                yield from table.to_batches(max_chunksize=CHUNK_ROWS)
        except ArchiveRefused as error:
            self.failure = error
            raise

    def _blocks(self) -> Iterator[tuple[int, pa.Array]]:
        """(position of the first, lines that are steps). Headers stand at the beginning only."""
        first = 1
        try:
            with self.path.open("rb") as file:
                for text in _whole_lines(file):
                    lines = _not_blank(_lines(text))
                    if first == 1:
                        lines = lines.filter(pc.invert(pc.match_substring_regex(lines, _HEADER)))
                    if len(lines):
                        yield first, lines
                        first += len(lines)
        except OSError as error:
            raise ArchiveRefused(f"{self.path} cannot be read: {error.strerror}") from error
        except pa.ArrowInvalid as error:
            raise ArchiveRefused(
                f"{self.path} is no archive: a line after step {first - 1} is not UTF-8"
            ) from error

    def _step(self, position: int, text: bytes) -> Stored:
        try:
            line = _line.decode(text)
            payload = line.raw if line.raw is not None else _payload(text, line.broken)
            subject = line.subject or _subject(line)
        except (msgspec.DecodeError, EventError) as error:
            raise ArchiveRefused(
                f"{self.path}: step {position} is not a line of an archive: {error}"
            ) from error
        return Stored(position, subject, payload, line.at, chained=False)


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


def _whole_lines(file: BinaryIO) -> Iterator[bytes]:
    """The file cut at newlines: the part of a line at a block's end is read again with the next."""
    size = BLOCK_BYTES
    while text := file.read(size):
        end = text.rfind(b"\n") + 1
        if len(text) < size:
            yield text
            return
        if not end:
            file.seek(-len(text), 1)
            size *= 2
            continue
        file.seek(end - len(text), 1)
        yield text[:end]
        size = BLOCK_BYTES


def _lines(text: bytes) -> pa.Array:
    """The lines, each with its newline (JSON does not mind), over the very bytes that were read."""
    ends = np.flatnonzero(np.frombuffer(text, np.uint8) == _NEWLINE).astype(np.int64) + 1
    if not len(ends) or ends[-1] != len(text):
        ends = np.append(ends, len(text))
    offsets = np.concatenate((np.zeros(1, np.int64), ends))
    lines = pa.LargeStringArray.from_buffers(len(ends), pa.py_buffer(offsets), pa.py_buffer(text))
    lines.validate(full=True)
    return lines


def _not_blank(lines: pa.Array) -> pa.Array:
    if not pc.any(pc.less(pc.binary_length(lines), _SHORT)).as_py():
        return lines
    return lines.filter(pc.not_equal(pc.utf8_trim_whitespace(lines), ""))

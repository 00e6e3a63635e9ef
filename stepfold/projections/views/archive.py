"""A JSONL archive as columns, block by block, without a Python object per line.

The form of the lines is drawn in `streams/archive.py`, which this room may not import: a step is
its payload with its address in place of `after`; what is `raw` there is no step, and odd here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, NoReturn

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Raw, Struct

from stepfold.events.names import split_subject
from stepfold.projections.views.batch import Stored, arranged
from stepfold.projections.views.errors import ArchiveRefused

BLOCK_BYTES = 64 * 1024 * 1024
"""About one row group of DuckDB's (122,880 rows): what fills one goes to the file without a log."""

_HEADER = r'^\s*\{\s*"(agent|missing)"\s*:'
_TYPE = re.compile(rb'\s*\{\s*"type"\s*:\s*"([^"/\\]*)')
_NEWLINE = 10


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


class Block(Struct, frozen=True):
    """Some lines of `path`, the first being step `first` of the file."""

    path: Path
    first: int
    lines: pa.Array

    def columns(self) -> pa.Table:
        count = len(self.lines)
        position = pa.array(np.arange(self.first, self.first + count, dtype=np.int64))
        return arranged(position, pa.nulls(count, pa.string()), self.lines)

    def step(self, position: int) -> Stored:
        """One line as its payload, as far as it has one. ArchiveRefused when it is no line of ours."""
        text = self.lines[position - self.first].as_py().encode()
        try:
            line = _line.decode(text)
            payload = line.raw if line.raw is not None else _payload(text)
        except msgspec.DecodeError as error:
            self._refuse(position, str(error))
        if line.raw is None and not (line.customer and line.conversation):
            self._refuse(position, "it has no customer and conversation")
        return Stored(position, line.subject or _subject(line), payload, line.at, False)

    def broken(self, position: int) -> str | None:
        """What the file says about a step that did not follow the one before it."""
        claimed = _line.decode(self.lines[position - self.first].as_py().encode()).broken
        if claimed is None:
            return None
        where = claimed if claimed >= 0 else "a step elsewhere"
        return f"broken chain: this step said it follows {where}, and it did not"

    def _refuse(self, position: int, why: str) -> NoReturn:
        raise ArchiveRefused(f"{self.path}: step {position} is not a line of an archive: {why}")


def _payload(text: bytes) -> bytes:
    return msgspec.json.encode({"after": Raw(b"0")} | _fields.decode(text))


def _subject(line: _Line) -> str:
    kind = line.kind
    if not kind and (found := _TYPE.match(bytes(line.event))):
        kind = found.group(1).decode()
    subject = f"steps.{line.customer}.{line.conversation}.{kind}"
    split_subject(subject)
    return subject


def blocks(path: Path, block_bytes: int = BLOCK_BYTES) -> Iterator[Block]:
    """The steps of the file; headers and blank lines are neither steps nor counted. ArchiveRefused."""
    first = 1
    try:
        with path.open("rb") as file:
            for text in _whole_lines(file, block_bytes):
                lines = _steps(_lines(text))
                if len(lines):
                    yield Block(path, first, lines)
                    first += len(lines)
    except OSError as error:
        raise ArchiveRefused(f"{path} cannot be read: {error.strerror}") from error
    except pa.ArrowInvalid as error:
        raise ArchiveRefused(f"{path} is not an archive: a line near step {first} is not UTF-8") from error


def _whole_lines(file: BinaryIO, block_bytes: int) -> Iterator[bytes]:
    """The file cut at newlines: the part of a line at a block's end is read again with the next."""
    size = block_bytes
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
        yield text[:end] if end < len(text) else text
        size = block_bytes


def _lines(text: bytes) -> pa.Array:
    """The lines, each with its newline (JSON does not mind), over the very bytes that were read."""
    ends = np.flatnonzero(np.frombuffer(text, np.uint8) == _NEWLINE).astype(np.int64) + 1
    if not len(ends) or ends[-1] != len(text):
        ends = np.append(ends, len(text))
    offsets = np.concatenate((np.zeros(1, np.int64), ends))
    lines = pa.LargeStringArray.from_buffers(len(ends), pa.py_buffer(offsets), pa.py_buffer(text))
    lines.validate(full=True)
    return lines


def _steps(lines: pa.Array) -> pa.Array:
    """Only the lines that are steps. Copies nothing when all of them are."""
    short = pc.less_equal(pc.binary_length(lines), 2)
    blank = pc.and_(short, pc.equal(pc.utf8_trim_whitespace(lines), "")) if pc.any(short).as_py() else short
    other = pc.or_(blank, pc.match_substring_regex(lines, _HEADER))
    return lines.filter(pc.invert(other)) if pc.any(other).as_py() else lines

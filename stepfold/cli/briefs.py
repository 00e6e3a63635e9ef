"""What `stepfold generate` is given, as briefs: with a schema of its own, or for a ready task."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from stepfold.cli.exits import CommandRefused
from stepfold.events.values import FileRef
from stepfold.policy.schema import broken
from stepfold.tasks import READY, Brief, Json, TaskRefused, filled

_BYTE = re.compile(r"\(byte (\d+)\)")
"""Where msgspec found the mistake."""


class Order(Struct, frozen=True):
    """What all inputs of one command have in common. Without a `schema` it is the task's own."""

    task: str
    schema: Json | None = None
    instructions: str = ""
    model: str = ""

    def brief(self, given: Any, file: FileRef | None = None) -> Brief:
        """TaskRefused."""
        ready = READY.get(self.task)
        if self.schema is not None:
            own = ready.instructions if ready else ""
            files = (file,) if file else ()
            told = self.instructions or own
            return Brief(self.task, given, self.schema, told, files, self.model)
        if ready is None:
            known = ", ".join(READY)
            raise TaskRefused(f"task {self.task!r} needs --schema FILE (ready are: {known})")
        brief = filled(ready, given, file).brief()
        told = self.instructions or brief.instructions
        return Brief(
            brief.task, brief.input, brief.schema, told, files=brief.files, model=self.model
        )


def read_schema(path: Path) -> Json:
    """A JSON Schema; CommandRefused."""
    schema = _json(path.read_bytes(), path)
    if not isinstance(schema, dict):
        raise CommandRefused(f"{path}: {type(schema).__name__} is no JSON Schema: give an object")
    if why := broken(schema):
        raise CommandRefused(f"{path}: this is no JSON Schema: {why}")
    return schema


def read_input(name: str) -> Any:
    """The JSON in a file, or its text when it is none, unless it is called .json; CommandRefused.
    `-` is stdin.
    """
    raw = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    if not raw.strip():
        raise CommandRefused(f"{'stdin' if name == '-' else name}: it is empty; nothing was asked")
    if Path(name).suffix == ".json":
        return _json(raw, Path(name))
    try:
        return msgspec.json.decode(raw)
    except msgspec.DecodeError:
        return raw.decode(errors="replace")


def read_briefs(path: Path, order: Order) -> Iterator[tuple[int, Brief]]:
    """(the line, its brief); CommandRefused names the first line that cannot be one."""
    for line, raw in enumerate(path.read_bytes().splitlines(), start=1):
        if not raw.strip():
            continue
        try:
            yield line, order.brief(msgspec.json.decode(raw))
        except (msgspec.DecodeError, TaskRefused) as error:
            raise CommandRefused(f"{path}:{line}: {error}; nothing was asked") from error


def _json(raw: bytes, path: Path) -> Any:
    try:
        return msgspec.json.decode(raw)
    except msgspec.DecodeError as error:
        place = _BYTE.search(str(error))
        end = int(place[1]) if place else len(raw.rstrip())
        line = raw.count(b"\n", 0, end) + 1
        raise CommandRefused(f"{path}:{line}: not JSON: {error}") from error

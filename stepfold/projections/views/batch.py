"""Steps on their way into DuckDB: columns for SQL to read, and the few that Python must read.

SQL reads what this version writes. Whatever it calls odd comes here, goes through `wire.decode`
(which knows old tags, and why a payload is unreadable), and is read by the same SQL again.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
from msgspec import Raw

from stepfold.events import wire
from stepfold.events.envelope import Entry
from stepfold.events.event import Unreadable
from stepfold.events.names import EventError
from stepfold.events.steps import Steps

CHUNK_ROWS = 4_096
"""Rows in one Arrow batch: DuckDB's threads take one each, so a fold needs several."""

TYPED = (
    "call",
    "channel",
    "collections",
    "digest",
    "model",
    "name",
    "parts",
    "passages",
    "passages_max",
    "query",
    "reason",
    "text",
    "turn",
)
"""Required fields that read.sql checks by their value: never null, and cheap to read. Of the others
it checks that the key is there.
"""
SAME_COLUMN = {"task": "name", "agent": "name"}

COLUMNS = pa.schema(
    {
        "position": pa.int64(),
        "subject": pa.string(),
        "payload": pa.large_string(),
        "delivered_at": pa.timestamp("us"),
        "reason": pa.string(),
    }
)


class Found(NamedTuple):
    """A step to be read by Python. `at` stands in where the payload tells no time.

    Not `chained`: it comes from a file, whose positions are not those that it was fenced on.
    """

    position: int
    subject: str
    payload: bytes
    at: datetime
    chained: bool = True


class Row(NamedTuple):
    """A step for `read.sql`. `reason` says that it is unreadable, and why."""

    position: int
    subject: str
    payload: str
    delivered_at: datetime
    reason: str | None


def columns(steps: Steps) -> pa.Table:
    """About 0.3 µs a step, most of it copying payloads. One that is not UTF-8 is null, and odd."""
    return arranged(
        pa.array(np.asarray(steps.positions, np.int64)),
        _text(pa.array(steps.subjects, pa.binary()), pa.string()),
        _text(pa.array(steps.payloads, pa.large_binary()), pa.large_string()),
    )


def arranged(
    position: pa.Array, subject: pa.Array, payload: pa.Array | pa.ChunkedArray
) -> pa.Table:
    nothing = pa.nulls(len(position), pa.string())
    table = pa.Table.from_arrays(
        [position, subject, payload, pa.nulls(len(position), pa.timestamp("us")), nothing],
        schema=COLUMNS,
    )
    return pa.Table.from_batches(table.to_batches(max_chunksize=CHUNK_ROWS), schema=COLUMNS)


def _text(raw: pa.Array, kind: pa.DataType) -> pa.Array:
    try:
        return raw.cast(kind)
    except pa.ArrowInvalid:
        return pa.array([_decoded(each) for each in raw.to_pylist()], kind)


def _decoded(raw: bytes) -> str | None:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return None


def rows(read: Iterable[Row]) -> pa.Table:
    return pa.Table.from_pylist(
        [
            {**row._asdict(), "delivered_at": row.delivered_at.astimezone(UTC).replace(tzinfo=None)}
            for row in read
        ],
        schema=COLUMNS,
    )


def reread(step: Found) -> Row:
    """`step` in the form of today's version, or with the reason why it has none."""
    try:
        entry = wire.decode(step.subject, step.payload, position=step.position, at=step.at)
    except EventError as error:
        return Row(step.position, step.subject, "{}", step.at, str(error))
    if isinstance(entry.event, Unreadable):
        return unreadable(step, entry.event.reason)
    return Row(step.position, step.subject, _payload(entry, step.chained), step.at, None)


def unreadable(step: Found, reason: str) -> Row:
    entry = wire.decode(step.subject, step.payload, position=step.position, at=step.at)
    blank = msgspec.structs.replace(entry, event=Unreadable(kind="", reason=reason))
    return Row(step.position, step.subject, _payload(blank, step.chained), step.at, reason)


def _payload(entry: Entry, chained: bool) -> str:
    form: dict[str, object] = {"at": entry.at}
    if chained and entry.after != wire.UNKNOWN:
        form["after"] = entry.after
    for name in ("id", "cause", "by", "trace"):
        if value := getattr(entry, name):
            form[name] = value
    if not isinstance(entry.event, Unreadable):
        form["event"] = Raw(wire.encode_event(entry.event))
    return msgspec.json.encode(form).decode()


def tags() -> pa.Table:
    """Today's tags: their kind, and what an event of each must have."""
    found = []
    for tag, kind in wire.TAGS.items():
        required = {f.encode_name for f in msgspec.structs.fields(kind) if f.required}
        typed = {SAME_COLUMN.get(name, name) for name in required} & set(TYPED)
        others = sorted(name for name in required if SAME_COLUMN.get(name, name) not in TYPED)
        found.append(
            {"tag": tag, "kind": tag.partition("/")[0], "others": others or None}
            | {f"needs_{name}": name in typed for name in TYPED}
        )
    flags = [pa.field(f"needs_{name}", pa.bool_()) for name in TYPED]
    words = [pa.field("tag", pa.string()), pa.field("kind", pa.string())]
    schema = pa.schema([*words, pa.field("others", pa.list_(pa.string())), *flags])
    return pa.Table.from_pylist(
        [row for row in found if row["kind"] != "unreadable"], schema=schema
    )

"""Paid things with their prices in three books, as one Parquet file for each given book."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from msgspec import Struct, structs

FOLDER = "repriced"
"""In the folder of the log."""
_UNSAFE = re.compile(r"[^\w.-]+")


class Repricing(Struct, frozen=True):
    """A paid thing, and what it costs in three books; None = nothing to pay, or unpriced."""

    position: int
    item: int
    recorded_at: datetime
    customer: str
    conversation: str
    provider: str
    model: str
    recorded_usd: Decimal | None
    current_usd: Decimal | None
    given_usd: Decimal | None


class Kept:
    """The file while it grows; it has its name when the block of `keeping` has ended well."""

    def __init__(self, file: Path, writer: pq.ParquetWriter, schema: pa.Schema) -> None:
        self.file = file
        self._writer = writer
        self._schema = schema

    def add(self, lines: Sequence[Repricing]) -> None:
        rows = list(map(structs.asdict, lines))
        self._writer.write_table(pa.Table.from_pylist(rows, schema=self._schema))


@contextmanager
def keeping(folder: Path, book: str) -> Iterator[Kept]:
    """A file for the prices of this book, in place of the one it had."""
    amount = pa.decimal128(38, 18)
    words = ("customer", "conversation", "provider", "model")
    schema = pa.schema(
        [
            ("position", pa.int64()),
            ("item", pa.int64()),
            ("recorded_at", pa.timestamp("us", tz="UTC")),
            *((word, pa.string()) for word in words),
            ("recorded_usd", amount),
            ("current_usd", amount),
            ("given_usd", amount),
        ],
        metadata={"book": book},
    )
    file = folder / FOLDER / f"{_UNSAFE.sub('-', book)}.parquet"
    file.parent.mkdir(parents=True, exist_ok=True)
    growing = file.with_suffix(".part")
    try:
        with pq.ParquetWriter(growing, schema, compression="zstd") as writer:
            yield Kept(file, writer, schema)
        growing.replace(file)
    finally:
        growing.unlink(missing_ok=True)

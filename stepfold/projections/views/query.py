"""Guarded SQL: one statement that only reads, in a read-only transaction, within limits.

Each question gets a connection of its own, so that it sees one moment's views while a fold goes on.
What could reach files or the network is shut for the whole instance (`store.py`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import duckdb
import pyarrow as pa
from msgspec import Struct

from stepfold.projections.views.errors import (
    QueryError,
    QueryFailed,
    QueryRefused,
    QueryTimedOut,
)
from stepfold.projections.views.room import ROOM

TIMEOUT_S = 10.0
ROWS_MAX = 10_000
BYTES_MAX = 64_000_000
"""Of an answer, as DuckDB hands it over; as text it takes several times as much."""
CHUNK_ROWS = 256
"""Few, because what is handed over at once is not counted before it is there."""
INTERRUPT_S = 0.05
READING = (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN)
MAY = "a query may be SELECT, FROM, WITH, VALUES, DESCRIBE, SHOW, SUMMARIZE or EXPLAIN"


class Answer(Struct, frozen=True):
    """`position` is where the views were when asked; `truncated` says that there were more rows."""

    table: pa.Table
    position: int
    elapsed_ms: float
    truncated: bool = False


class Asking:
    """Answers questions, each on its own connection to `instance`."""

    def __init__(self, instance: duckdb.DuckDBPyConnection) -> None:
        self._instance = instance
        self._changed = threading.Condition()
        self._running: set[duckdb.DuckDBPyConnection] = set()
        self._closed = False

    def interrupt(self) -> None:
        """Stops what runs now; each of those questions fails."""
        with self._changed:
            for connection in self._running:
                connection.interrupt()

    def close(self) -> None:
        """Returns when nothing runs any more, and lets nothing begin."""
        with self._changed:
            self._closed = True
        while self._running:
            # Again and again: an interrupt just before a statement begins is lost.
            self.interrupt()
            with self._changed:
                self._changed.wait_for(lambda: not self._running, INTERRUPT_S)

    def ask(
        self, sql: str, *, as_of: int | None, at: datetime | None, timeout_s: float, rows_max: int
    ) -> Answer:
        begun = time.perf_counter()
        with (
            self._connection() as connection,
            _limited(connection, timeout_s),
            ROOM.taken(connection),
        ):
            query = _single(connection, sql)
            position = _pin(connection, as_of, at)
            table, truncated = _read(connection, query, rows_max)
        return Answer(
            table=table,
            position=position,
            elapsed_ms=(time.perf_counter() - begun) * 1e3,
            truncated=truncated,
        )

    @contextmanager
    def _connection(self) -> Iterator[duckdb.DuckDBPyConnection]:
        with self._changed:
            if self._closed:
                raise QueryRefused("the views are closed: ask again when they are open")
            connection = self._instance.cursor()
            self._running.add(connection)
        try:
            yield connection
        finally:
            connection.close()
            with self._changed:
                self._running.discard(connection)
                self._changed.notify_all()


@contextmanager
def _limited(connection: duckdb.DuckDBPyConnection, timeout_s: float) -> Iterator[None]:
    """Stops the block after `timeout_s`, and says in our words what DuckDB raised inside it."""
    late = threading.Event()

    def stop() -> None:
        late.set()
        connection.interrupt()

    timer = threading.Timer(timeout_s, stop)
    timer.daemon = True
    timer.start()
    try:
        yield
    except (duckdb.Error, pa.ArrowException, MemoryError, OSError) as error:
        if late.is_set():
            raise QueryTimedOut(
                f"the query ran longer than {timeout_s:g} s and was stopped:"
                " ask for less, or allow it more time"
            ) from error
        raise _told(error) from error
    finally:
        timer.cancel()


def _told(error: Exception) -> QueryError:
    text = str(error).strip()
    if isinstance(error, MemoryError) or text.startswith("Out of Memory"):
        return QueryFailed(f"the query needs more memory than it may have; ask for less: {text}")
    match error:
        case duckdb.PermissionException():
            return QueryRefused(f"a query cannot reach files or the network: {text}")
        case duckdb.TransactionException() if "read-only" in text:
            return QueryRefused(f"the views are read-only for queries: {MAY}")
        case duckdb.InterruptException():
            return QueryFailed("the query was stopped to make room for the views: ask again")
        case _:
            return QueryFailed(text)


def _single(connection: duckdb.DuckDBPyConnection, sql: str) -> str:
    statements = connection.extract_statements(sql)
    if not statements:
        raise QueryRefused(f"the query is empty: {MAY}")
    if len(statements) > 1:
        raise QueryRefused(f"these are {len(statements)} statements, ask them one by one")
    if statements[0].type not in READING:
        raise QueryRefused(f"{statements[0].type.name} is not allowed: {MAY}")
    return statements[0].query


def _pin(connection: duckdb.DuckDBPyConnection, as_of: int | None, at: datetime | None) -> int:
    """Begins the transaction, and shows it only what was there at a position or a time."""
    if at is not None and at.tzinfo is None:
        raise QueryRefused(f"the time {at.isoformat()} has no zone: add one, such as +00:00")
    if as_of is not None:
        connection.execute(f"SET VARIABLE as_of = {as_of:d}::BIGINT")
    if at is not None:
        utc = at.astimezone(UTC).replace(tzinfo=None).isoformat()
        connection.execute(f"SET VARIABLE as_of_time = TIMESTAMP '{utc}'")
    connection.execute("BEGIN TRANSACTION READ ONLY")
    # fetchall: a result that is not read to its end keeps the connection to itself.
    ((position,),) = connection.execute("SELECT position FROM _log.checkpoint").fetchall()
    if as_of is not None and as_of > position:
        raise QueryRefused(f"position {as_of} is not in the views yet: they are at {position}")
    return int(position)


def _read(
    connection: duckdb.DuckDBPyConnection, query: str, rows_max: int
) -> tuple[pa.Table, bool]:
    """The first `rows_max` rows. The rest of the answer is never computed. QueryRefused when they
    are more than BYTES_MAX.
    """
    relation = connection.sql(query)
    reader = relation.to_arrow_reader(min(CHUNK_ROWS, rows_max + 1))
    batches, count, size = [], 0, 0
    for batch in reader:
        batches.append(batch)
        count += batch.num_rows
        size += batch.nbytes
        if size > BYTES_MAX:
            raise QueryRefused(
                f"the first {count:,} rows take {size / 1e6:,.0f} MB, and an answer may have"
                f" {BYTES_MAX / 1e6:,.0f}: ask for fewer columns or shorter values"
            )
        if count > rows_max:
            break
    table = pa.Table.from_batches(batches, schema=reader.schema)
    return table.slice(0, rows_max), count > rows_max

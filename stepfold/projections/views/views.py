"""The owner of the views' file: folds steps in, and answers SQL about them meanwhile.

Rows and position are committed in one transaction, so a process that dies leaves both as they were
after some batch. One thread folds at a time; any thread may query.
"""

from __future__ import annotations

import os
import threading
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from stepfold.events.steps import Steps
from stepfold.events.wire import ENVELOPE_VERSION
from stepfold.projections.views import batch, store
from stepfold.projections.views.archive import Archive
from stepfold.projections.views.batch import Found, Row
from stepfold.projections.views.errors import (
    ArchiveRefused,
    BatchRefused,
    ChainBroken,
    ViewsAhead,
    ViewsError,
    ViewsFull,
)
from stepfold.projections.views.query import ROWS_MAX, TIMEOUT_S, Answer, Asking

Find = Callable[[Sequence[int]], Sequence[Found]]
"""The steps at some positions of what is being folded, as they lie in the log."""

UNFIT = "malformed: a field does not fit its column in the views"


class Views:
    """Open one with `Views.open`, or with `rebuilding` to make a file anew, `in_one_go`."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        path: Path,
        *,
        read_only: bool = False,
        in_one_go: bool = False,
    ) -> None:
        self.path = path
        self._read_only = read_only
        self._instance = connection
        self._writer = connection.cursor()
        self._writing = threading.Lock()
        self._asking = Asking(connection)
        self._in_one_go = in_one_go
        self._writer.register("tags_today", batch.tags())
        self._writer.execute("CREATE TEMP TABLE tags AS FROM tags_today")
        self._writer.execute(f"SET VARIABLE envelope = {ENVELOPE_VERSION:d}")
        self._read, self._chain = store.sql("log/read"), store.sql("log/chain")
        self._position = int(self._value("SELECT position FROM _log.checkpoint"))
        if in_one_go:
            self._writer.execute("BEGIN")

    @classmethod
    def open(
        cls, path: Path, *, read_only: bool = False, memory_limit: str = store.MEMORY_LIMIT
    ) -> Self:
        """Made empty when there is none. ViewsMissing, ViewsBusy, ViewsStale."""
        connection = store.connect(path, read_only=read_only, memory_limit=memory_limit)
        return cls(connection, path, read_only=read_only)

    def close(self) -> None:
        """Queries that run are stopped; what was folded stays."""
        self._asking.close()
        with self._writing:
            self._writer.close()
            self._instance.close()

    def keep(self) -> None:
        """All that was folded in one go, at once. ViewsFull."""
        with self._writing, self._fitting():
            self._writer.execute("COMMIT")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def position(self) -> int:
        """The checkpoint: the position of the last step folded in, 0 when there is none."""
        return self._position

    def check_tail(self, last: int) -> None:
        """`last` is the position of the log's last step. ViewsAhead when the views know more."""
        if last < self._position:
            raise ViewsAhead(
                f"the views at {self.path} are at position {self._position}, but the log ends at"
                f" {last}: it lost steps, or is another log; {store.REBUILD}"
            )

    def fold(self, steps: Sequence[tuple[int, str, bytes, datetime]]) -> None:
        """Steps (position, subject, payload, time) that come after the checkpoint: all or none.

        Releases the GIL for nearly all of its time; batches of 20,000 and more are cheapest per
        step, and those that are `Steps` already. BatchRefused, ChainBroken, ViewsFull.
        """
        if not steps:
            return
        many = steps if isinstance(steps, Steps) else Steps.of(steps)

        def find(positions: Sequence[int]) -> list[Found]:
            return [Found(*many[bisect_left(many.positions, position)]) for position in positions]

        with self._writing:
            table = batch.columns(many)
            self._check_order(table["position"])
            try:
                self._fold(table, find)
            except ViewsFull:
                if self._in_one_go:
                    raise
                # Queries share the memory with the fold, which comes first: they give way, once.
                self._asking.interrupt()
                self._fold(table, find)

    def load_archive(self, path: Path) -> None:
        """All steps of a JSONL archive, or none, into views that are empty. ArchiveRefused."""
        with self._writing:
            if self._position:
                raise ArchiveRefused(
                    f"the views at {self.path} are at position {self._position}; an archive goes"
                    f" into empty ones: {store.REBUILD}"
                )
            file = Archive(path)
            self._fold(file.columns(), file.find)

    def hash(self) -> str:
        """Equal for equal views, however their steps came in."""
        with self._writing:
            return str(self._value(store.sql("log/hash")))

    def query(
        self,
        sql: str,
        *,
        as_of: int | None = None,
        at: datetime | None = None,
        timeout_s: float = TIMEOUT_S,
        rows_max: int = ROWS_MAX,
    ) -> Answer:
        """One reading statement, answered from one moment's views, those up to position `as_of`
        or time `at`. QueryError.
        """
        return self._asking.ask(sql, as_of=as_of, at=at, timeout_s=timeout_s, rows_max=rows_max)

    def _check_order(self, positions: pa.ChunkedArray) -> None:
        column = positions.combine_chunks()
        first = column[0].as_py()
        if first <= self._position:
            raise BatchRefused(
                f"the batch starts at position {first}, the views at {self.path} are at"
                f" {self._position}: read the log after {self._position}"
            )
        if not pc.all(pc.less(column[:-1], column[1:]), min_count=0).as_py():
            raise BatchRefused(f"the positions of the batch from {first} do not increase")

    def _fold(self, table: pa.Table, find: Find) -> None:
        if self._read_only:
            raise ViewsError(f"the views at {self.path} were opened to read: open them to write")
        with self._fitting(), self._transaction():
            self._writer.execute(f"SET VARIABLE checkpoint = {self._position:d}::BIGINT")
            self._insert(table)
            self._reread(find)
            self._check_chain(find)
            self._writer.execute(store.sql("log/checkpoint"))
            position = int(self._value("SELECT position FROM _log.checkpoint"))
        self._position = position

    @contextmanager
    def _fitting(self) -> Iterator[None]:
        try:
            yield
        except (duckdb.OutOfMemoryException, duckdb.IOException) as error:
            raise ViewsFull(
                f"the steps after {self._position} did not fit into the views at {self.path}, and"
                f" none of them is kept: {error}"
            ) from error

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        if self._in_one_go:
            yield
            return
        self._writer.execute("BEGIN")
        try:
            yield
        except BaseException:
            self._writer.execute("ROLLBACK")
            raise
        self._writer.execute("COMMIT")

    def _insert(self, table: pa.Table) -> None:
        self._writer.register("batch", table)
        self._writer.execute(f"INSERT INTO _log.steps {self._read}")
        self._writer.unregister("batch")

    def _reread(self, find: Find) -> None:
        self._replace([batch.reread(step) for step in find(self._odd())])
        self._replace([batch.unreadable(step, UNFIT) for step in find(self._odd())])

    def _odd(self) -> list[int]:
        found = self._writer.execute(
            "SELECT position FROM _log.steps"
            " WHERE position > getvariable('checkpoint') AND error = '' ORDER BY position"
        )
        return [position for (position,) in found.fetchall()]

    def _replace(self, rows: Sequence[Row]) -> None:
        if rows:
            self._writer.execute(
                "DELETE FROM _log.steps WHERE position IN (FROM unnest(?))",
                [[row.position for row in rows]],
            )
            self._insert(batch.rows(rows))

    def _check_chain(self, find: Find) -> None:
        """A step that skips one is refused; one that was not fenced is unreadable, as for readers.

        When all of the log was read, what a step skips was removed from it, and is no gap of ours.
        """
        if not self._writer.execute(
            "FROM _log.steps WHERE position > getvariable('checkpoint') AND after >= 0 LIMIT 1"
        ).fetchall():
            return
        reasons = {}
        for position, customer, conversation, after, before in self._writer.execute(
            self._chain
        ).fetchall():
            if before < after < position and not self._in_one_go:
                raise ChainBroken(
                    f"conversation {customer}/{conversation}: step {position} follows {after}, but"
                    f" the last one in the views at {self.path} is {before}; {store.REBUILD}"
                )
            reasons[position] = (
                f"broken chain: step {position} says it follows {after}, but it follows {before};"
                " somebody published to steps.> without the fence, or steps were removed"
            )
        steps = find(list(reasons))
        self._replace([batch.unreadable(step, reasons[step.position]) for step in steps])

    def _value(self, sql: str) -> Any:
        ((value,),) = self._writer.execute(sql).fetchall()
        return value


@contextmanager
def rebuilding(path: Path, *, memory_limit: str = store.MEMORY_LIMIT) -> Iterator[Views]:
    """Empty views beside `path`, which take its place when the block ends without an error. Until
    then queries see nothing: all is folded in one transaction, without a write-ahead log.

    Close the views at `path` before the block ends.
    """
    fresh = path.with_name(path.name + ".new")
    _remove(fresh)
    connection = store.connect(fresh, memory_limit=memory_limit, more=store.IN_ONE_GO)
    views = Views(connection, fresh, in_one_go=True)
    try:
        yield views
        views.keep()
    except BaseException:
        views.close()
        _remove(fresh)
        raise
    views.close()
    _remove(path.with_name(path.name + ".wal"))
    os.replace(fresh, path)


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.with_name(path.name + ".wal").unlink(missing_ok=True)

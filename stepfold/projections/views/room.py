"""How much memory questions may take, beside what DuckDB counts itself.

DuckDB's own limit leaves out what it makes of constants (`range(500000000)`) and what it hands over
as Arrow. So while questions run the whole process has a limit, and an allocation beyond it fails
in the question that asks for it, instead of the process. It is the soft `RLIMIT_DATA` and is taken
away when no question runs; only Linux keeps to it.
"""

from __future__ import annotations

import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

MORE = 1.25
"""Of DuckDB's limit: what DuckDB and its answers may take together."""
LEAST_BYTES = 512_000_000
"""Also where DuckDB's limit is small: threads and the interpreter need some."""
_STATM = Path("/proc/self/statm")
_USED = """
    SELECT (SELECT sum(memory_usage_bytes)::BIGINT FROM duckdb_memory()),
        parse_formatted_bytes(current_setting('memory_limit'))
"""


class Room:
    """One for the whole process: its limit is that of all who ask at the same time."""

    def __init__(self) -> None:
        self._changing = threading.Lock()
        self._asking = 0
        self._before = resource.RLIM_INFINITY

    @contextmanager
    def taken(self, connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
        """The limit holds from the first who comes to the last who goes."""
        with self._changing:
            if not self._asking:
                self._limit(connection)
            self._asking += 1
        try:
            yield
        finally:
            with self._changing:
                self._asking -= 1
                if not self._asking:
                    _set(self._before)

    def _limit(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._before = resource.getrlimit(resource.RLIMIT_DATA)[0]
        held = _held()
        if held is None:
            return
        ((used, most),) = connection.execute(_USED).fetchall()
        room = max(int(most * MORE) - int(used), LEAST_BYTES)
        _set(_least(held + room, self._before))


def _least(wanted: int, before: int) -> int:
    return wanted if before == resource.RLIM_INFINITY else min(wanted, before)


def _held() -> int | None:
    """Bytes of memory that can be written to; None where the system does not tell."""
    try:
        pages = int(_STATM.read_text().split()[5])
    except (OSError, IndexError, ValueError):
        return None
    return pages * resource.getpagesize()


def _set(soft: int) -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (soft, resource.getrlimit(resource.RLIMIT_DATA)[1]))


ROOM = Room()

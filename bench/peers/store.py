"""How many bytes a peer has on disk: files after a WAL checkpoint, or the database's own size."""

import sqlite3
from contextlib import closing
from pathlib import Path

from bench.peers.peer import Place, Store


def stored_bytes(store: Store, place: Place) -> int | None:
    """Bytes on disk now; None where nothing is kept."""
    match store:
        case "sqlite":
            return _sqlite_bytes(place.folder)
        case "postgres":
            return _postgres_bytes(place.postgres)
        case "memory":
            return None


def _sqlite_bytes(folder: Path) -> int:
    for file in folder.rglob("*.sqlite"):
        with closing(sqlite3.connect(file, timeout=60)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    return sum(file.stat().st_size for file in folder.rglob("*.sqlite*"))


def _postgres_bytes(url: str) -> int:
    """All databases of the server, without its write-ahead log, which it recycles."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute("select sum(pg_database_size(oid)) from pg_database").fetchone()
    assert row is not None
    return int(row[0])

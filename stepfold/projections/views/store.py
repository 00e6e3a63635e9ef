"""The file of the views: opened with everything shut that SQL could reach, and checked.

The settings hold for the whole instance and are locked, so that no query can open them again; a
fold needs none of them, because its rows come in as Arrow.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import duckdb

from stepfold.projections.views.errors import ViewsBusy, ViewsError, ViewsMissing, ViewsStale

SCHEMA = 1
"""Of the tables and of what is read into them. Files of another one are rebuilt, not migrated."""

PUBLIC = (
    "steps",
    "turns",
    "messages",
    "model_calls",
    "tool_calls",
    "retrievals",
    "citations",
    "costs",
    "conversations",
)
"""The files of the public views, in the order in which they build on each other."""

MEMORY_LIMIT = "2GB"
CHECKPOINT_BYTES = "512MB"
REBUILD = "rebuild them from the log: stepfold rebuild"

_FOLDER = Path(__file__).parent / "sql"


def sql(name: str) -> str:
    return (_FOLDER / f"{name}.sql").read_text(encoding="utf-8")


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def public_sql() -> str:
    return "\n".join(sql(f"public/{name}") for name in PUBLIC)


def connect(
    path: Path, *, read_only: bool = False, memory_limit: str = MEMORY_LIMIT
) -> duckdb.DuckDBPyConnection:
    """The file's instance, made new when there is none and checked when there is. ViewsError."""
    known = path.exists()
    if read_only and not known:
        raise ViewsMissing(f"there are no views at {path}: {REBUILD}")
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = _open(path, read_only=read_only, memory_limit=memory_limit)
    try:
        if known:
            _check(connection, path)
        if not read_only:
            _prepare(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _open(path: Path, *, read_only: bool, memory_limit: str) -> duckdb.DuckDBPyConnection:
    config: dict[str, str | bool | int | float | list[str]] = {
        "enable_external_access": "false",
        "allow_community_extensions": "false",
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "python_enable_replacements": "false",
        "checkpoint_threshold": CHECKPOINT_BYTES,
        "memory_limit": memory_limit,
        "lock_configuration": "true",
    }
    try:
        return duckdb.connect(str(path), read_only=read_only, config=config)
    except duckdb.IOException as error:
        if "lock" in str(error):
            raise ViewsBusy(
                f"the views at {path} are open in another process, which answers queries on them:"
                f" ask it, or stop it first ({_first_line(error)})"
            ) from error
        raise ViewsStale(
            f"{path} cannot be opened as views ({_first_line(error)}): {REBUILD}"
        ) from error
    except duckdb.Error as error:
        raise ViewsError(f"{path} cannot be opened: {_first_line(error)}") from error


def _check(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    try:
        about = dict(connection.execute("SELECT what, value FROM _log.about").fetchall())
    except duckdb.CatalogException:
        if not connection.execute("SELECT 1 FROM duckdb_tables() LIMIT 1").fetchall():
            return
        raise ViewsStale(f"{path} is a DuckDB file, but holds no views of ours") from None
    if about.get("schema") != str(SCHEMA):
        raise ViewsStale(
            f"the views at {path} have schema {about.get('schema')}, this version has {SCHEMA}:"
            f" {REBUILD}"
        )


def _prepare(connection: duckdb.DuckDBPyConnection) -> None:
    """Tables where there are none; public views where theirs are not today's."""
    text = public_sql()
    today = digest(text)
    connection.execute("BEGIN")
    if not connection.execute("FROM duckdb_tables() WHERE schema_name = '_log'").fetchall():
        connection.execute(sql("log/tables"))
        connection.execute("INSERT INTO _log.about VALUES ('schema', ?)", [str(SCHEMA)])
    if not connection.execute(
        "FROM _log.about WHERE what = 'views' AND value = ?", [today]
    ).fetchall():
        connection.execute(text)
        connection.execute("DELETE FROM _log.about WHERE what = 'views'")
        connection.execute("INSERT INTO _log.about VALUES ('views', ?)", [today])
    connection.execute("COMMIT")


def _first_line(error: duckdb.Error) -> str:
    return str(error).partition("\n")[0]

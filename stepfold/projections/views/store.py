"""The file of the views: opened with everything shut that SQL could reach, and checked.

The settings hold for the whole instance and are locked, so that no query can open them again; a
fold needs none of them, because its rows come in as Arrow.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import duckdb

from stepfold.projections.views.errors import ViewsBusy, ViewsError, ViewsMissing, ViewsStale

SCHEMA = 4
"""Of the tables and of what is read into them. Files of another one are rebuilt, not migrated."""

PUBLIC = (
    "steps",
    "turns",
    "messages",
    "spend",
    "model_calls",
    "tool_calls",
    "approvals",
    "retrievals",
    "citations",
    "costs",
    "conversations",
)
"""The files of the public views, in the order in which they build on each other."""

MEMORY_LIMIT = "2GB"
NOTHING_MORE: Mapping[str, str] = {}
SHUT: Mapping[str, str] = {
    "enable_external_access": "false",
    "allow_community_extensions": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",
    "checkpoint_threshold": "512MB",
    "lock_configuration": "true",
}
IN_ONE_GO: Mapping[str, str] = {"max_vacuum_tasks": "0"}
"""For a file that is written once, from start to end: else its checkpoint puts together row groups
that several threads left half full, and writes most of the file a second time.
"""
REBUILD = "rebuild them from the log: stepfold rebuild"

_FOLDER = Path(__file__).parent / "sql"


def sql(name: str) -> str:
    return (_FOLDER / f"{name}.sql").read_text(encoding="utf-8")


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def public_sql() -> str:
    return "\n".join(sql(f"public/{name}") for name in PUBLIC)


def connect(
    path: Path,
    *,
    read_only: bool = False,
    memory_limit: str = MEMORY_LIMIT,
    more: Mapping[str, str] = NOTHING_MORE,
) -> duckdb.DuckDBPyConnection:
    """The file's instance, made new when there is none and checked when there is. ViewsError.

    `more` are further settings of DuckDB's.
    """
    known = path.exists()
    if read_only and not known:
        raise ViewsMissing(f"there are no views at {path}: {REBUILD}")
    path.parent.mkdir(parents=True, exist_ok=True)
    config = {**SHUT, "memory_limit": memory_limit, **more}
    connection = _open(path, config, read_only=read_only)
    try:
        if known:
            _check(connection, path)
        if not read_only:
            _prepare(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _open(path: Path, config: Mapping[str, str], *, read_only: bool) -> duckdb.DuckDBPyConnection:
    try:
        return duckdb.connect(str(path), read_only=read_only, config=dict(config))
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

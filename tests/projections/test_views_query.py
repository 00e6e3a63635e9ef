"""Guarded SQL: whatever reads the views is answered; everything else is refused or stopped."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from stepfold.projections.views import (
    QueryFailed,
    QueryRefused,
    QueryTimedOut,
    Views,
)
from tests.projections.made import log

STEPS = log(11, 60)
FOREVER = "SELECT count(*) FROM range(1000000000) a, range(1000000000) b"


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Views]:
    with Views.open(tmp_path_factory.mktemp("full") / "views.duckdb") as views:
        views.fold(STEPS)
        yield views


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1",
        "FROM steps",
        "WITH a AS (SELECT 1) SELECT * FROM a",
        "VALUES (1), (2)",
        "DESCRIBE turns",
        "SHOW TABLES",
        "SUMMARIZE turns",
        "EXPLAIN SELECT * FROM turns",
        "EXPLAIN ANALYZE SELECT count(*) FROM turns",
        "SELECT 1; -- with a comment behind it",
    ],
)
def test_a_statement_that_only_reads_is_answered(full: Views, sql: str) -> None:
    assert full.query(sql).table.num_rows > 0


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO _log.checkpoint VALUES (1)",
        "UPDATE _log.checkpoint SET position = 0",
        "DELETE FROM _log.steps",
        "DROP VIEW steps",
        "CREATE TABLE mine (a INT)",
        "CREATE TEMP TABLE mine (a INT)",
        "COPY steps TO '/tmp/steps.csv'",
        "COPY (SELECT 1) TO '/tmp/steps.parquet'",
        "EXPORT DATABASE '/tmp/all'",
        "ATTACH '/tmp/other.duckdb'",
        "ATTACH ':memory:' AS other",
        "PRAGMA version",
        "SET threads = 1",
        "SET VARIABLE as_of = 1",
        "RESET memory_limit",
        "CALL pragma_version()",
        "INSTALL httpfs",
        "LOAD httpfs",
        "CHECKPOINT",
        "USE log",
        "BEGIN",
        "PREPARE a AS SELECT 1",
        "VACUUM",
        "PIVOT steps ON kind USING count(*)",
        "WITH a AS (INSERT INTO _log.checkpoint VALUES (1) RETURNING *) SELECT * FROM a",
        "EXPLAIN ANALYZE INSERT INTO _log.checkpoint VALUES (1)",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO '/tmp/steps.csv'",
        "SELECT 1; SELECT 2",
        "SELECT 1; DROP VIEW steps",
        "",
        "-- nothing",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM read_json('https://example.com/a.json')",
        "SELECT * FROM glob('/etc/*')",
    ],
)
def test_what_would_write_or_reach_outside_is_refused(full: Views, sql: str) -> None:
    before = full.hash()

    with pytest.raises(QueryRefused):
        full.query(sql)

    assert full.hash() == before


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM '/etc/passwd'",
        "SELECT getenv('HOME')",
        "SELECT * FROM read_duckdb('/tmp/other.duckdb')",
        "SELECT * FROM arrow_scan(1, 2, 3)",
        "SELECT * FROM tags",
        "SELECT * FROM batch",
        "SELECT nothing FROM steps",
        "SELEC 1",
        "SELECT 'x'::INT",
    ],
)
def test_what_cannot_be_answered_fails_with_the_words_of_duckdb(full: Views, sql: str) -> None:
    with pytest.raises((QueryFailed, QueryRefused)):
        full.query(sql)


def test_a_refusal_says_what_may_be_asked(full: Views) -> None:
    with pytest.raises(QueryRefused, match="INSERT is not allowed: a query may be SELECT, FROM"):
        full.query("INSERT INTO _log.checkpoint VALUES (1)")


@pytest.mark.parametrize(
    "sql",
    [
        FOREVER,
        "WITH RECURSIVE a AS (SELECT 1 x UNION ALL SELECT x + 1 FROM a) SELECT max(x) FROM a",
        "SELECT * FROM range(1000000000) ORDER BY random()",
    ],
)
def test_a_query_that_never_ends_is_stopped_at_its_limit(full: Views, sql: str) -> None:
    begin = time.monotonic()

    with pytest.raises(QueryTimedOut, match=r"longer than 0\.3 s and was stopped: ask for less"):
        full.query(sql, timeout_s=0.3)

    assert time.monotonic() - begin < 5
    assert full.query("SELECT 1").table.num_rows == 1


def test_a_query_that_wants_too_much_memory_fails_and_the_views_go_on(tmp_path: Path) -> None:
    with Views.open(tmp_path / "small.duckdb", memory_limit="200MB") as views:
        views.fold(STEPS[:100])

        with pytest.raises(QueryFailed, match="more memory"):
            views.query("SELECT list(a.range), list(b.range) FROM range(100000000) a, range(9) b")

        views.fold(STEPS[100:])
        assert views.position == len(STEPS)


def test_an_answer_is_cut_at_its_row_limit_and_says_so(full: Views) -> None:
    cut = full.query("SELECT * FROM range(100000000000)", rows_max=5_000)
    whole = full.query("SELECT * FROM range(5000)", rows_max=5_000)

    assert (cut.table.num_rows, cut.truncated) == (5_000, True)
    assert (whole.table.num_rows, whole.truncated) == (5_000, False)


def test_an_answer_says_where_the_views_were(full: Views) -> None:
    assert full.query("SELECT 1").position == len(STEPS)


@pytest.mark.parametrize("sql", ["FROM steps", "FROM conversations", "FROM cost_by_customer"])
def test_views_as_of_a_position_are_those_of_a_log_that_ends_there(
    full: Views, tmp_path: Path, sql: str
) -> None:
    with Views.open(tmp_path / "then.duckdb") as then:
        then.fold(STEPS[:300])

        seen = full.query(f"{sql} ORDER BY ALL", as_of=300).table

        assert seen.equals(then.query(f"{sql} ORDER BY ALL").table)


def test_views_as_of_a_time_hold_what_was_recorded_by_then(full: Views) -> None:
    at = STEPS[299][3]

    seen = full.query("SELECT count(*) AS n FROM steps", at=at).table
    elsewhere = full.query(
        "SELECT count(*) AS n FROM steps", at=at.astimezone(datetime.now().astimezone().tzinfo)
    ).table
    before = full.query("SELECT count(*) AS n FROM steps", at=at - timedelta(microseconds=1)).table

    assert seen["n"].to_pylist() == elsewhere["n"].to_pylist() == [300]
    assert before["n"].to_pylist() == [299]


def test_one_question_as_of_then_does_not_change_the_next(full: Views) -> None:
    full.query("SELECT count(*) FROM steps", as_of=1, at=datetime(2000, 1, 1, tzinfo=UTC))

    assert full.query("SELECT count(*) AS n FROM steps").table["n"].to_pylist() == [len(STEPS)]


def test_a_time_without_a_zone_is_refused(full: Views) -> None:
    with pytest.raises(QueryRefused, match="has no zone"):
        full.query("SELECT 1", at=datetime(2026, 1, 1))


def test_a_position_that_is_not_there_yet_is_refused(full: Views) -> None:
    with pytest.raises(QueryRefused, match=r"not in the views yet: they are at \d+"):
        full.query("SELECT 1", as_of=len(STEPS) + 1)


def test_closed_views_refuse_a_question(tmp_path: Path) -> None:
    views = Views.open(tmp_path / "views.duckdb")
    views.close()

    with pytest.raises(QueryRefused, match="closed"):
        views.query("SELECT 1")


def test_closing_the_views_ends_the_queries_that_run(tmp_path: Path) -> None:
    views = Views.open(tmp_path / "views.duckdb")
    failed: list[Exception] = []
    asked = threading.Event()

    def ask() -> None:
        asked.set()
        try:
            views.query(FOREVER, timeout_s=60)
        except (QueryFailed, QueryRefused) as error:
            failed.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    assert asked.wait(10)
    views.close()
    asking.join(timeout=10)

    assert len(failed) == 1


def test_a_query_that_never_ends_does_not_hold_up_the_fold(views: Views) -> None:
    def ask() -> None:
        with pytest.raises(QueryTimedOut):
            views.query(FOREVER, timeout_s=1.5)

    asking = threading.Thread(target=ask)
    asking.start()
    for start in range(0, 200, 100):
        views.fold(STEPS[start : start + 100])
    folded_meanwhile = asking.is_alive()
    asking.join()

    assert folded_meanwhile
    assert views.position == 200

"""`stepfold query` and `rebuild`: the views, owned by another process or by nobody."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from stepfold.cli import exits
from tests.cli.commands import records, run

KINDS = "SELECT kind, count(*) AS n FROM steps WHERE customer = 'demo' GROUP BY ALL ORDER BY ALL"


@pytest.fixture(scope="module")
def owned(served: Path) -> Path:
    """A log whose views another process owns, with conversations of the customer `demo` in it."""
    assert run("demo", "--ask", "Refunds?", "--json", "--data", served).exit_code == 0
    return served


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log that nobody serves, with a conversation of the customer `demo` in it."""
    folder = tmp_path_factory.mktemp("alone")
    assert run("demo", "--ask", "Refunds?", "--json", "--data", folder).exit_code == 0
    return folder


@pytest.fixture(params=["owned", "alone"])
def log(request: pytest.FixtureRequest) -> Path:
    log: Path = request.getfixturevalue(request.param)
    return log


def rows(sql: str, log: Path, *more: str) -> Any:
    return records(run("query", sql, "--json", *more, data=log))[0]


def test_it_counts_what_the_log_holds(log: Path) -> None:
    entries = records(run("tail", "--customer", "demo", "--json", data=log))

    counted = {row["kind"]: row["n"] for row in rows(KINDS, log)}

    kinds = [entry["event"]["type"].partition("/")[0] for entry in entries]
    assert counted == {kind: kinds.count(kind) for kind in kinds}


def test_it_sees_a_message_that_was_published_just_before(log: Path) -> None:
    words = ("publish", "Hi", "--customer", "late", "--conversation", log.name)
    published = run(*words, data=log)
    assert published.exit_code == 0, published.output

    found = rows("SELECT text FROM messages WHERE customer = 'late'", log)

    assert found[0] == {"text": "Hi"}


def test_the_help_names_every_view_and_no_other(alone: Path) -> None:
    found = rows("SELECT name FROM (SHOW TABLES) ORDER BY name", alone)

    helped = run("query", "--help").stdout
    named = helped.partition("They are ")[2].partition(".")[0].split(",")
    assert sorted(name.strip() for name in named) == [row["name"] for row in found]


def test_every_format_says_the_same(log: Path, tmp_path: Path) -> None:
    wanted = rows(KINDS, log)

    table = run("query", KINDS, data=log).stdout.splitlines()
    written = run("query", KINDS, "--format", "csv", data=log).stdout
    file = tmp_path / "kinds.parquet"
    run("query", KINDS, "--format", "parquet", "--output", file, data=log)

    assert [line.split() for line in table[2:]] == [[r["kind"], str(r["n"])] for r in wanted]
    assert [(r["kind"], int(r["n"])) for r in csv.DictReader(io.StringIO(written))] == [
        (r["kind"], r["n"]) for r in wanted
    ]
    assert pyarrow.parquet.read_table(file).to_pylist() == wanted


def test_it_answers_as_of_a_position_or_a_time(log: Path) -> None:
    first, *_, last = records(run("tail", "--customer", "demo", "--json", data=log))

    (then,) = rows("SELECT max(position) AS p FROM steps", log, "--as-of", str(first["position"]))
    (later,) = rows("SELECT max(position) AS p FROM steps", log, "--at", last["at"])

    assert then["p"] == first["position"]
    assert later["p"] >= last["position"]


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("INSERT INTO steps VALUES (1)", "INSERT is not allowed"),
        ("COPY steps TO 'x'", "COPY is not allowed"),
        ("ATTACH 'x'", "ATTACH is not allowed"),
        ("FROM read_csv('/etc/passwd')", "cannot reach files"),
        ("SELECT nothing", "nothing"),
        ("", "the query is empty"),
    ],
)
def test_what_is_no_reading_is_refused_in_one_line(log: Path, sql: str, why: str) -> None:
    ended = run("query", sql, data=log)

    assert ended.exit_code == exits.REFUSED
    assert ended.stderr.startswith("stepfold: ")
    assert why in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_a_query_that_never_ends_is_stopped(log: Path) -> None:
    ended = run("query", "SELECT count(*) FROM range(10000000000000)", "--timeout", "0.2", data=log)

    assert ended.exit_code == exits.REFUSED
    assert "longer than 0.2 s" in ended.stderr


def test_more_rows_than_asked_for_are_left_out_and_said(log: Path) -> None:
    ended = run("query", "FROM steps", "--rows", "1", "--json", data=log)

    assert len(json.loads(ended.stdout)) == 1
    assert "more than 1 row" in ended.stderr


@pytest.mark.parametrize("words", [["--at", "noon"], ["--format", "xml"], ["--as-of", "-1"]])
def test_an_option_that_means_nothing_is_a_usage_error(words: list[str]) -> None:
    assert run("query", "SELECT 1", *words).exit_code == exits.USAGE


# -- rebuild --------------------------------------------------------------------


def test_a_rebuild_equals_the_views_as_they_grew(alone: Path) -> None:
    grown = rows(KINDS, alone)

    (checked,) = records(run("rebuild", "--check", "--json", data=alone))
    (built,) = records(run("rebuild", "--json", data=alone))

    assert checked["differs"] == ""
    assert built["hash"] == checked["hash"]
    assert built["steps"] > 0
    assert rows(KINDS, alone) == grown


def test_a_file_has_views_of_its_own(alone: Path, tmp_path: Path) -> None:
    file = tmp_path / "all.jsonl"
    run("export", "--output", file, data=alone)

    (checked,) = records(run("rebuild", file, "--check", "--json"))
    (built,) = records(run("rebuild", file, "--json"))
    found = records(run("query", KINDS, "--views", tmp_path / "all.duckdb", "--json"))[0]

    assert built["hash"] == checked["hash"]
    assert checked["differs"] == ""
    assert found == rows(KINDS, alone)


def test_views_that_another_process_owns_are_not_rebuilt_under_it(owned: Path) -> None:
    ended = run("rebuild", data=owned)

    assert ended.exit_code == exits.REFUSED
    assert "another process" in ended.stderr


def test_views_that_are_none_are_rebuilt(alone: Path) -> None:
    wanted = rows(KINDS, alone)
    (alone / "views.duckdb").write_bytes(b"nothing of ours")

    refused = run("query", KINDS, data=alone)
    rebuilt = run("rebuild", data=alone)

    assert refused.exit_code == exits.REFUSED
    assert "stepfold rebuild" in refused.stderr
    assert rebuilt.exit_code == 0, rebuilt.output
    assert rows(KINDS, alone) == wanted

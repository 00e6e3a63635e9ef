"""Folding steps into the views: all or none of a batch, and the same rows however they come in."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pytest

from stepfold.events import wire
from stepfold.events.event import ConversationStarted, MessageReceived, ReasonRequested
from stepfold.projections.views import (
    BatchRefused,
    ChainBroken,
    Views,
    ViewsAhead,
    ViewsBusy,
    ViewsError,
    ViewsMissing,
    ViewsStale,
    rebuilding,
    store,
)
from tests.projections.made import BEGIN, DIGEST, Stored, log, stored

STEPS = log(7, 120)


def rows(views: Views, sql: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = views.query(sql).table.to_pylist()
    return found


def fold(views: Views, steps: list[Stored], size: int) -> None:
    for start in range(0, len(steps), size):
        views.fold(steps[start : start + size])


def spoiled(step: Stored, **changes: object) -> Stored:
    """The step with other fields in its payload."""
    position, subject, payload, at = step
    form = msgspec.json.decode(payload, type=dict[str, Any]) | changes
    return position, subject, msgspec.json.encode(form), at


@pytest.mark.parametrize("size", [1, 7, 20_000])
def test_the_views_are_the_same_whatever_the_size_of_the_batches(tmp_path: Path, size: int) -> None:
    steps = STEPS[: 100 * size]
    with (
        Views.open(tmp_path / "one.duckdb") as one,
        Views.open(tmp_path / "many.duckdb") as many,
    ):
        one.fold(steps)

        fold(many, steps, size)

        assert many.hash() == one.hash()
        assert many.position == one.position == len(steps)


def test_another_step_is_another_hash(views: Views) -> None:
    views.fold(STEPS[:100])
    before = views.hash()

    views.fold(STEPS[100:101])

    assert views.hash() != before


def test_the_views_go_on_where_they_stopped_when_they_are_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "views.duckdb"
    with Views.open(path) as first:
        first.fold(STEPS[:100])
    with Views.open(path) as second, Views.open(tmp_path / "other.duckdb") as other:
        second.fold(STEPS[100:])
        other.fold(STEPS)

        assert second.hash() == other.hash()


def test_every_made_step_is_read_in_sql(views: Views) -> None:
    views.fold(STEPS)

    assert rows(views, "SELECT count(*) AS n FROM steps WHERE error IS NOT NULL") == [{"n": 0}]


def test_a_batch_that_was_folded_already_is_refused(views: Views) -> None:
    views.fold(STEPS[:10])

    with pytest.raises(BatchRefused, match=r"starts at position 1, the views .* are at 10"):
        views.fold(STEPS[:20])


def test_a_batch_whose_positions_do_not_increase_is_refused(views: Views) -> None:
    with pytest.raises(BatchRefused, match="do not increase"):
        views.fold([STEPS[0], STEPS[2], STEPS[1]])


def test_an_empty_batch_changes_nothing(views: Views) -> None:
    views.fold([])

    assert views.position == 0


def test_a_step_that_follows_one_never_seen_is_refused_and_nothing_of_its_batch_is_kept(
    views: Views,
) -> None:
    steps = stored([MessageReceived("a"), MessageReceived("b"), MessageReceived("c")])
    views.fold(steps[:1])

    with pytest.raises(ChainBroken, match=r"acme/c1: step 3 follows 2, but the last one .* is 1"):
        views.fold(steps[2:])

    assert views.position == 1
    assert rows(views, "SELECT count(*) AS n FROM steps") == [{"n": 1}]


def test_a_refused_batch_can_be_folded_once_it_is_whole(views: Views) -> None:
    steps = stored([MessageReceived("a"), MessageReceived("b"), MessageReceived("c")])
    views.fold(steps[:1])
    with pytest.raises(ChainBroken):
        views.fold(steps[2:])

    views.fold(steps[1:])

    assert views.position == 3


def test_a_step_that_was_not_fenced_is_unreadable_and_stops_nobody_else(views: Views) -> None:
    steps = stored([MessageReceived("a"), MessageReceived("b"), MessageReceived("c")])
    stray = spoiled(steps[2], after=1)

    views.fold([*steps[:2], stray])

    (row,) = rows(views, "SELECT kind, event, error FROM steps WHERE position = 3")
    assert row["kind"] == "message.received"
    assert row["event"] is None
    assert row["error"].startswith("broken chain: step 3 says it follows 1, but it follows 2")


def test_a_rebuild_records_a_gap_that_the_log_itself_has(tmp_path: Path) -> None:
    steps = stored([MessageReceived("a"), MessageReceived("b"), MessageReceived("c")])

    path = tmp_path / "views.duckdb"

    with rebuilding(path) as fresh:
        fresh.fold([steps[0], steps[2]])

    with Views.open(path) as views:
        assert [row["error"] is None for row in rows(views, "FROM steps ORDER BY position")] == [
            True,
            False,
        ]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"event": {"type": "message.received/9", "text": "a"}}, "from a newer version"),
        ({"event": {"type": "dream.had/1"}}, "unknown to this version"),
        ({"event": {"type": "message.received/1"}}, "missing required field `text`"),
        ({"event": {"type": "message.received/1", "text": {}, "x": 1}}, None),
        ({"event": {"type": "conversation.stopped/1", "reason": "x"}}, "subject says"),
        ({"event": None}, "malformed"),
        ({"id": "no-uuid"}, "is not a UUID"),
        ({"id": "{6F7A3F1E-51F3-5C55-9D7E-57E9F01D0B0C}"}, "is not a UUID"),
        ({"at": "yesterday"}, "malformed"),
        ({"after": -1}, "says that it follows -1"),
        ({"after": None}, "malformed"),
        ({"v": 2}, "envelope version 2 is newer"),
        ({"blob": "ab12"}, "not in the object store"),
    ],
)
def test_a_payload_that_cannot_be_read_is_a_row_with_the_reason(
    views: Views, changes: Mapping[str, object], reason: str | None
) -> None:
    (step,) = stored([MessageReceived("a")])

    views.fold([spoiled(step, **changes)])

    (row,) = rows(views, "SELECT kind, customer, recorded_at, event, error FROM steps")
    assert (row["kind"], row["customer"]) == ("message.received", "acme")
    assert row["recorded_at"] == BEGIN.replace(tzinfo=None)
    if reason is None:
        assert row["error"] is None
    else:
        assert reason in row["error"]
        assert row["event"] is None


@pytest.mark.parametrize("payload", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"id":1} x'])
def test_bytes_that_are_no_envelope_are_a_row_with_the_reason(views: Views, payload: bytes) -> None:
    steps = stored([MessageReceived("a"), MessageReceived("b")])

    views.fold([(1, steps[0][1], payload, BEGIN), steps[1]])

    first, second = rows(views, "SELECT conversation, id, error FROM steps ORDER BY position")
    assert first["error"].startswith("malformed")
    assert (first["conversation"], first["id"]) == ("c1", None)
    assert second["error"] is None


@pytest.mark.parametrize(
    ("subject", "reason"),
    [
        ("steps.acme", "is not a step"),
        ("steps.acme.c1", "is not a step"),
        ("steps.acme.c1.message.received.twice", "subject says"),
        ("other.acme.c1.message.received", "is not a step"),
    ],
)
def test_a_wrong_subject_is_a_row_with_the_reason(views: Views, subject: str, reason: str) -> None:
    (step,) = stored([MessageReceived("a")])

    views.fold([(1, subject, step[2], BEGIN)])

    (row,) = rows(views, "SELECT error FROM steps")
    assert reason in row["error"]


def test_a_number_that_no_column_can_hold_is_a_row_with_the_reason(views: Views) -> None:
    (step,) = stored([ReasonRequested("r1", 10**30, "m")])

    views.fold([step])

    (row,) = rows(views, "SELECT turn, error FROM steps")
    assert row["turn"] is None
    assert row["error"]


def test_an_old_tag_is_read_in_todays_form(views: Views, monkeypatch: pytest.MonkeyPatch) -> None:
    def upcast(form: dict[str, Any]) -> dict[str, Any]:
        return {"type": "message.received/1", "text": form["words"]}

    monkeypatch.setitem(wire.decode_event.__defaults__[0], "message.received/0", upcast)  # type: ignore[index]
    (step,) = stored([MessageReceived("a")])

    views.fold([spoiled(step, event={"type": "message.received/0", "words": "hello"})])

    assert rows(views, "SELECT text FROM messages") == [{"text": "hello"}]


def test_an_unreadable_step_is_in_no_view_but_steps(views: Views) -> None:
    steps = stored([ConversationStarted("a", DIGEST), MessageReceived("a"), MessageReceived("b")])
    steps[1] = spoiled(steps[1], event={"type": "message.received/9", "text": "a"})

    views.fold(steps)

    assert rows(views, "SELECT text FROM messages") == [{"text": "b"}]
    (row,) = rows(views, "SELECT steps, messages, state, reason FROM conversations")
    assert (row["steps"], row["messages"], row["state"]) == (3, 1, "unreadable")
    assert "newer version" in row["reason"]


def test_a_log_that_ends_before_the_checkpoint_is_refused(views: Views) -> None:
    views.fold(STEPS[:100])

    views.check_tail(100)
    with pytest.raises(ViewsAhead, match="at position 100, but the log ends at 99"):
        views.check_tail(99)


def test_a_file_of_another_schema_says_to_rebuild_it(tmp_path: Path) -> None:
    path = tmp_path / "views.duckdb"
    Views.open(path).close()
    with duckdb.connect(str(path)) as file:
        file.execute("UPDATE _log.about SET value = '0' WHERE what = 'schema'")

    with pytest.raises(ViewsStale, match=r"schema 0, this version has 4: .*stepfold rebuild"):
        Views.open(path)


def test_a_strangers_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "theirs.duckdb"
    with duckdb.connect(str(path)) as file:
        file.execute("CREATE TABLE precious (a INT)")
    (tmp_path / "text.duckdb").write_text("hello, hello, hello")

    with pytest.raises(ViewsStale, match="holds no views of ours"):
        Views.open(path)
    with pytest.raises(ViewsError, match="cannot be opened"):
        Views.open(tmp_path / "text.duckdb")


def test_there_is_nothing_to_read_where_there_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ViewsMissing, match="stepfold rebuild"):
        Views.open(tmp_path / "none.duckdb", read_only=True)


def test_a_file_opened_to_read_answers_and_takes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "views.duckdb"
    with Views.open(path) as writing:
        writing.fold(STEPS[:50])

    with Views.open(path, read_only=True) as reading:
        assert rows(reading, "SELECT count(*) AS n FROM steps") == [{"n": 50}]
        with pytest.raises(ViewsError, match="opened to read"):
            reading.fold(STEPS[50:])


def test_views_of_yesterdays_version_get_todays_public_views(tmp_path: Path) -> None:
    path = tmp_path / "views.duckdb"
    with Views.open(path) as first:
        first.fold(STEPS[:50])
    with duckdb.connect(str(path)) as file:
        file.execute("DROP VIEW turns")
        file.execute("UPDATE _log.about SET value = 'old' WHERE what = 'views'")

    with Views.open(path) as second:
        assert rows(second, "SELECT count(*) > 0 AS some FROM turns") == [{"some": True}]


def rebuild_twice_the_same(path: Path) -> None:
    with rebuilding(path) as fresh:
        fresh.fold(STEPS[:20])
        fresh.fold(STEPS[:20])


def test_a_rebuild_takes_the_place_of_the_views_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "views.duckdb"
    with Views.open(path) as old:
        old.fold(STEPS[:10])

    with pytest.raises(BatchRefused):
        rebuild_twice_the_same(path)
    with Views.open(path) as kept:
        assert kept.position == 10
    with rebuilding(path) as fresh:
        fresh.fold(STEPS)

    with Views.open(path) as views:
        assert views.position == len(STEPS)
    assert [file.name for file in tmp_path.iterdir()] == ["views.duckdb"]


def test_queries_are_answered_while_steps_are_folded_and_see_one_moment(views: Views) -> None:
    seen: list[tuple[int, int]] = []
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            answer = views.query("SELECT count(*) AS n, coalesce(max(position), 0) AS p FROM steps")
            seen.append((answer.table["n"][0].as_py(), answer.table["p"][0].as_py()))
            assert answer.position == seen[-1][1]

    asking = threading.Thread(target=ask)
    asking.start()
    fold(views, STEPS, 50)
    done.set()
    asking.join()

    assert seen == sorted(seen)
    assert all(count == position for count, position in seen)
    assert {position % 50 for _, position in seen} <= {0, len(STEPS) % 50}


def test_what_fills_the_tables_has_the_version_of_the_file() -> None:
    """When this fails: raise SCHEMA, so that old files are rebuilt, and note the new digest."""
    text = store.sql("log/tables") + store.sql("log/read")

    assert (store.SCHEMA, store.digest(text)[:16]) == (4, "5476adec1bfdeacc")


def test_two_processes_cannot_own_one_file(tmp_path: Path, run_python: Any) -> None:
    path = tmp_path / "views.duckdb"
    with Views.open(path):
        told = run_python(
            "import sys; from pathlib import Path; from stepfold.projections.views import Views;"
            " Views.open(Path(sys.argv[1]))",
            str(path),
        )

    assert ViewsBusy.__name__ in told
    assert "open in another process" in told

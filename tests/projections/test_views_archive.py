"""Archives become views block by block, and mean the same as the log that they were."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from stepfold.events.event import MessageReceived
from stepfold.projections.views import ArchiveRefused, Views, rebuilding
from stepfold.projections.views import archive as files
from stepfold.streams.archive import load
from tests.projections.made import archive, log, stored

STEPS = log(9, 120)
AT = "2026-03-01T09:00:00Z"
STEP = json.loads(archive(stored([MessageReceived("hello")])).splitlines()[1])


def written(path: Path, *lines: bytes | dict[str, object]) -> Path:
    path.write_bytes(
        b"\n".join(line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines)
    )
    return path


def test_views_of_an_archive_are_those_of_its_log(tmp_path: Path) -> None:
    file = tmp_path / "log.jsonl"
    file.write_bytes(archive(STEPS))
    with (
        Views.open(tmp_path / "log.duckdb") as folded,
        Views.open(tmp_path / "file.duckdb") as loaded,
    ):
        folded.fold(STEPS)

        loaded.load_archive(file)

        assert loaded.position == folded.position
        assert loaded.hash() == folded.hash()


@pytest.mark.parametrize("block", [64, 1_000, 4_096])
def test_lines_may_begin_and_end_anywhere_in_a_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    file = tmp_path / "log.jsonl"
    file.write_bytes(archive(STEPS[:300]).rstrip(b"\n"))
    with Views.open(tmp_path / "whole.duckdb") as whole:
        whole.load_archive(file)
        monkeypatch.setattr(files, "BLOCK_BYTES", block)
        with rebuilding(tmp_path / "cut.duckdb") as cut:
            cut.load_archive(file)

            assert cut.hash() == whole.hash()


def test_odd_lines_mean_what_they_mean_to_every_reader(tmp_path: Path) -> None:
    raw = base64.b64encode(b"not json").decode()
    newer = STEP | {"event": {"type": "message.received/9", "text": "x"}}
    file = written(
        tmp_path / "odd.jsonl",
        {"agent": {"name": "help-desk"}},
        {"missing": "sha256:1"},
        b"",
        STEP,
        {
            "customer": "acme",
            "conversation": "c1",
            "kind": "message.received",
            "raw": raw,
            "at": AT,
        },
        {"subject": "steps.acme", "raw": raw, "at": AT},
        b"   ",
        STEP | {"broken": 7},
        STEP | {"broken": -3},
        newer,
        STEP | {"kind": "response.given"},
        STEP,
    )
    with (
        Views.open(tmp_path / "folded.duckdb") as folded,
        Views.open(tmp_path / "loaded.duckdb") as loaded,
    ):
        folded.fold(list(load(file)))

        loaded.load_archive(file)

        sql = "SELECT position, kind, error FROM steps ORDER BY position"
        assert loaded.query(sql).table.to_pylist() == folded.query(sql).table.to_pylist()
        assert loaded.hash() == folded.hash()
        errors = loaded.query("SELECT count(error) AS n FROM steps").table["n"].to_pylist()
        assert (loaded.position, errors) == (8, [6])


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"not json at all, but long", "step 2 is not a line of an archive"),
        (b'{"customer": "acme", "conv', "step 2 is not a line of an archive"),
        (b'{"customer": "a\xff\xfe"}', "bytes that are not UTF-8"),
        (json.dumps({"event": STEP["event"], "at": AT}).encode(), "no customer and conversation"),
    ],
)
def test_a_line_that_is_none_is_refused_and_nothing_is_kept(
    views: Views, tmp_path: Path, line: bytes, reason: str
) -> None:
    file = written(tmp_path / "bad.jsonl", STEP, line)

    with pytest.raises(ArchiveRefused, match=reason):
        views.load_archive(file)

    assert views.position == 0
    assert views.query("FROM steps").table.num_rows == 0


def test_a_file_that_is_not_there_is_refused(views: Views, tmp_path: Path) -> None:
    with pytest.raises(ArchiveRefused, match="No such file"):
        views.load_archive(tmp_path / "none.jsonl")


def test_an_empty_file_is_an_empty_archive(views: Views, tmp_path: Path) -> None:
    views.load_archive(written(tmp_path / "empty.jsonl"))

    assert views.position == 0


def test_an_archive_goes_only_into_empty_views(views: Views, tmp_path: Path) -> None:
    views.fold(STEPS[:10])

    with pytest.raises(ArchiveRefused, match="goes into empty ones"):
        views.load_archive(written(tmp_path / "log.jsonl", STEP))

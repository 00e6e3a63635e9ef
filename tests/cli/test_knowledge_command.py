"""`stepfold knowledge`."""

from __future__ import annotations

from pathlib import Path

import pytest

from stepfold.cli import exits
from stepfold.knowledge.documents import SAMPLE
from tests.cli.commands import records, run


def test_what_was_added_is_listed_and_found(tmp_path: Path) -> None:
    added = records(run("knowledge", "add", SAMPLE, "--json", data=tmp_path))[0]

    (listed,) = records(run("knowledge", "list", "--json", data=tmp_path))[0]
    passages = records(
        run("knowledge", "search", "csv export", "--passages", "2", "--json", data=tmp_path)
    )[0]

    assert added["documents"] == listed["documents"] == len(added["added"])
    assert [passage["document"] for passage in passages] == ["export-data.md"] * 2


def test_for_people_it_is_text_that_fits(tmp_path: Path) -> None:
    run("knowledge", "add", SAMPLE, data=tmp_path)

    said = [
        run("knowledge", *words, data=tmp_path, columns=60).stdout
        for words in (["list"], ["search", "csv export"], ["search", "xyzzy"])
    ]

    assert max(len(line) for text in said for line in text.splitlines()) <= 60
    assert "no passage in 'default' shares a word with it" in said[2]


def test_an_empty_library_says_how_to_fill_it(tmp_path: Path) -> None:
    assert "stepfold knowledge add PATH" in run("knowledge", "list", data=tmp_path).stdout


@pytest.mark.parametrize(
    "words", [["add", "nowhere"], ["search", "x"], ["add", "nowhere", "--collection", "No!"]]
)
def test_what_cannot_be_done_is_said_in_one_line(tmp_path: Path, words: list[str]) -> None:
    ended = run("knowledge", *words, data=tmp_path)

    assert ended.exit_code == exits.REFUSED
    assert ended.stderr.startswith("stepfold: ")
    assert len(ended.stderr.splitlines()) == 1


def test_a_folder_that_cannot_hold_it_is_told_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    ended = run("knowledge", "add", SAMPLE, data=tmp_path / "file" / "data")

    assert ended.exit_code == exits.UNAVAILABLE
    assert "file/data' cannot be used: " in ended.stderr
    assert ended.stderr.endswith("or give --data\n")

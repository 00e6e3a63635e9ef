"""`stepfold publish`: what it records of a message, files included."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stepfold.streams.jetstream.files import FILE_BYTES_MAX
from stepfold.streams.log import content_digest
from tests.cli.commands import records, run

PICTURE = b"\x89PNG made by nobody"


def publish(data: Path, *words: str | Path, columns: int = 100) -> Any:
    names = ("--customer", "acme", "--conversation", "c1")
    return run("publish", "What is this?", *names, *words, data=data, columns=columns)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    file = tmp_path / "invoice.png"
    file.write_bytes(PICTURE)
    return file


def test_files_and_language_are_part_of_the_message(tmp_path: Path, picture: Path) -> None:
    other = picture.with_name("terms.pdf")
    other.write_bytes(b"%PDF")

    ended = publish(tmp_path, "--file", picture, "--file", other, "--language", "pt-BR", "--json")

    (step,) = records(ended)
    assert step["event"]["language"] == "pt-BR"
    assert [(file["name"], file["media"]) for file in step["event"]["files"]] == [
        ("invoice.png", "image/png"),
        ("terms.pdf", "application/pdf"),
    ]
    assert step["event"]["files"][0]["blob"] == content_digest(PICTURE)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("notes", b"x", "notes: its name says no kind: end it in .png, .jpg, .pdf"),
        (
            "large.pdf",
            bytes(FILE_BYTES_MAX + 1),
            f"large.pdf: a file of {FILE_BYTES_MAX + 1} bytes is too large",
        ),
        ("gone.pdf", None, "gone.pdf: No such file or directory"),
    ],
    ids=["no kind", "too large", "not there"],
)
def test_a_file_that_cannot_go_along_is_named_and_nothing_is_recorded(
    tmp_path: Path, name: str, content: bytes | None, said: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)

    ended = publish(tmp_path, "--file", tmp_path / name)

    assert ended.exit_code == 1
    assert said in ended.stderr
    assert records(run("tail", "--json", data=tmp_path)) == []

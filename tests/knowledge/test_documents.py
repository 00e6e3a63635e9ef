"""Documents are read as they stand, in a stable order, and bad ones say where and what to do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stepfold.knowledge.documents import DOCUMENT_BYTES_MAX, SAMPLE, load
from stepfold.knowledge.errors import DocumentInvalid, DocumentsMissing

LINE = json.dumps({"id": "a", "title": "A", "content": "Text of A.\r\n"})


def _jsonl(folder: Path, *lines: str) -> Path:
    file = folder / "documents.jsonl"
    file.write_text("\n".join(lines), encoding="utf-8")
    return file


def test_a_folder_is_read_recursively_in_the_order_of_relative_paths(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "two.txt").write_text("Two.")
    (tmp_path / "a-one.md").write_text("# One\n\nFirst.")
    (tmp_path / "three.html").write_text("<title>Three</title><p>Third.")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")

    documents = load(tmp_path)

    assert [(each.id, each.title) for each in documents] == [
        ("a-one.md", "One"),
        ("b/two.txt", "Two"),
        ("three.html", "Three"),
    ]


def test_hidden_files_and_folders_are_left_out(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "notes.md").write_text("hidden")
    (tmp_path / ".draft.md").write_text("hidden")
    (tmp_path / "shown.md").write_text("shown")

    assert [each.id for each in load(tmp_path)] == ["shown.md"]


def test_the_text_of_a_file_is_its_content(tmp_path: Path) -> None:
    text = "# Été\n\n  Prices: 5 €  \n\n\n- one\n"
    (tmp_path / "prices.md").write_text(text, encoding="utf-8")

    assert load(tmp_path)[0].content == text


def test_windows_line_ends_and_a_byte_order_mark_are_read_as_text_is(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_bytes(b"\xef\xbb\xbfone\r\ntwo")

    assert load(tmp_path)[0].content == "one\ntwo"


def test_a_file_without_a_heading_is_called_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "opening-hours.md").write_text("Monday to Friday")

    assert load(tmp_path)[0].title == "Opening hours"


def test_a_single_file_is_a_document(tmp_path: Path) -> None:
    (tmp_path / "one.md").write_text("# One")

    assert [each.id for each in load(tmp_path / "one.md")] == ["one.md"]


def test_a_line_keeps_its_content_exactly(tmp_path: Path) -> None:
    document = load(_jsonl(tmp_path, LINE, ""))[0]

    assert (document.id, document.title, document.content) == ("a", "A", "Text of A.\r\n")


def test_equal_content_has_an_equal_digest_whatever_the_id(tmp_path: Path) -> None:
    first, second = load(_jsonl(tmp_path, LINE, LINE.replace('"a"', '"b"')))

    assert first.digest == second.digest
    assert first.digest.startswith("sha256:")


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('{"id": "b", "title": "B"}', "line 2: Object missing required field `content`"),
        ('{"id": 7, "title": "B", "content": ""}', "line 2: Expected `str`, got `int` - at `$.id`"),
        ('{"id": "b", ', "line 2: Input data was truncated"),
        ("[]", "line 2: Expected `object`, got `array`"),
        (LINE, "line 2: id 'a' stands on line 1 already; give each document an id of its own"),
        ('{"id": " ", "title": "", "content": ""}', "line 2: the id is blank"),
    ],
)
def test_a_bad_line_is_named_with_its_file_and_number(
    tmp_path: Path, line: str, complaint: str
) -> None:
    file = _jsonl(tmp_path, LINE, line)

    with pytest.raises(DocumentInvalid) as caught:
        load(file)

    assert str(caught.value).startswith(f"document {file}, {complaint}")


def test_bytes_that_are_not_utf8_are_named_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "old.md").write_bytes(b"# Old\ncaf\xe9")

    with pytest.raises(DocumentInvalid, match=r"old\.md, line 2: not UTF-8 at byte 9; .*iconv"):
        load(tmp_path)


def test_a_line_that_is_not_utf8_is_named_by_its_own_number(tmp_path: Path) -> None:
    file = tmp_path / "old.jsonl"
    file.write_bytes(LINE.encode() + b'\n{"id": "caf\xe9"}')

    with pytest.raises(DocumentInvalid, match=r"old\.jsonl, line 2: not UTF-8"):
        load(file)


@pytest.mark.parametrize("name", ["nowhere", "nowhere.jsonl"])
def test_a_path_that_does_not_exist_says_so(tmp_path: Path, name: str) -> None:
    with pytest.raises(DocumentsMissing, match="does not exist; give a folder or"):
        load(tmp_path / name)


def test_an_empty_folder_says_what_it_could_hold(tmp_path: Path) -> None:
    with pytest.raises(DocumentsMissing, match=r"holds none \(known: \.md"):
        load(tmp_path)


def test_an_empty_jsonl_file_says_what_it_could_hold(tmp_path: Path) -> None:
    with pytest.raises(DocumentsMissing, match=r'holds none; write one .*"id", "title"'):
        load(_jsonl(tmp_path, "", " "))


def test_an_unknown_kind_of_file_says_which_are_known(tmp_path: Path) -> None:
    (tmp_path / "book.pdf").write_bytes(b"%PDF")

    with pytest.raises(DocumentInvalid, match=r"unknown kind of file '\.pdf' \(known: \.jsonl"):
        load(tmp_path / "book.pdf")


def test_a_document_that_is_too_long_is_refused(tmp_path: Path) -> None:
    (tmp_path / "long.txt").write_bytes(b"a" * (DOCUMENT_BYTES_MAX + 1))

    with pytest.raises(DocumentInvalid, match="at most 5000000; split the document"):
        load(tmp_path)


def test_the_sample_that_ships_can_be_read() -> None:
    documents = load(SAMPLE)

    assert "trial-and-refunds.md" in {each.id for each in documents}
    assert all(each.title and each.content.startswith("# ") for each in documents)

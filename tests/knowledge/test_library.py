"""A library keeps what was added, through crashes and through two writers at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from stepfold.knowledge import CollectionBusy, CollectionInvalid, CollectionUnknown, Document
from stepfold.knowledge.library import Library
from stepfold.knowledge.lock import locked

FEES = Document("fees", "Fees", "The fee is $5.")
REFUNDS = Document("refunds", "Refunds", "Refunds take 5 days.")

WRITER = """
import sys
from pathlib import Path
from stepfold.knowledge import Document
from stepfold.knowledge.library import Library

for number in range(5):
    name = f"{sys.argv[2]}-{number}"
    Library(Path(sys.argv[1])).add("help", [Document(name, name, f"About {name}.")])
"""


def test_adding_reports_what_was_new_changed_and_the_same(tmp_path: Path) -> None:
    library = Library(tmp_path)
    library.add("help", [FEES, REFUNDS])
    dearer = Document("fees", "Fees", "The fee is $6.")

    added = library.add("help", [dearer, REFUNDS, Document("new", "New", "New.")])

    assert (added.added, added.changed, added.unchanged) == (("new",), ("fees",), ("refunds",))
    assert added.documents == 3


def test_what_was_added_is_there_for_the_next_process(tmp_path: Path) -> None:
    Library(tmp_path).add("help", [REFUNDS, FEES])

    library = Library(tmp_path)

    assert library.documents("help") == (FEES, REFUNDS)
    assert [(each.name, each.documents) for each in library.collections()] == [("help", 2)]


async def test_a_search_sees_what_somebody_else_added_meanwhile(tmp_path: Path) -> None:
    reader, writer = Library(tmp_path), Library(tmp_path)
    writer.add("help", [FEES])
    before = await reader.search(["help"], "refund", 3)

    writer.add("help", [REFUNDS])

    assert before == ()
    assert [each.document for each in await reader.search(["help"], "refund", 3)] == ["refunds"]


def test_an_index_is_loaded_once_while_nothing_changes(tmp_path: Path) -> None:
    library = Library(tmp_path)
    library.add("help", [FEES])

    assert library.index("help") is library.index("help")


def test_adding_the_same_again_writes_nothing(tmp_path: Path) -> None:
    library = Library(tmp_path)
    library.add("help", [FEES])
    before = (tmp_path / "help" / "documents.jsonl").stat()

    library.add("help", [FEES])

    assert (tmp_path / "help" / "documents.jsonl").stat() == before


def test_a_crash_while_writing_leaves_the_documents_as_they_were(tmp_path: Path) -> None:
    library = Library(tmp_path)
    library.add("help", [FEES])
    (tmp_path / "help" / "documents.jsonl.new").write_text('{"id": "cut o')
    (tmp_path / "help" / "index.new").mkdir()

    added = library.add("help", [REFUNDS])

    assert added.documents == 2
    assert [each.document for each in library.index("help").search("fee", 1)] == ["fees"]


def test_a_damaged_index_is_built_anew_from_the_documents(tmp_path: Path) -> None:
    Library(tmp_path).add("help", [FEES])
    (saved,) = (tmp_path / "help").glob("index-*")
    for file in saved.iterdir():
        file.write_bytes(b"")

    found = Library(tmp_path).index("help").search("fee", 1)

    assert [passage.document for passage in found] == ["fees"]


def test_only_the_index_of_the_present_documents_is_kept(tmp_path: Path) -> None:
    library = Library(tmp_path)
    library.add("help", [FEES])
    library.add("help", [REFUNDS])

    assert len(list((tmp_path / "help").glob("index*"))) == 1


def test_two_processes_that_add_at_once_lose_nothing(tmp_path: Path) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), name])
        for name in ("left", "right")
    ]

    codes = [writer.wait(timeout=60) for writer in writers]

    assert codes == [0, 0]
    assert len(Library(tmp_path).documents("help")) == 10


def test_a_writer_that_waits_too_long_says_why(tmp_path: Path) -> None:
    lock = tmp_path / "lock"

    with (
        locked(lock),
        pytest.raises(CollectionBusy, match=r"writing for 0\.01 s; try again"),
        locked(lock, wait_s=0.01),
    ):
        raise AssertionError("two writers at once")


@pytest.mark.parametrize("name", ["", "..", "a/b", "Help", ".git", "a" * 65, "ä"])
def test_a_name_that_is_no_folder_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(CollectionInvalid, match="not a name; use 1 to 64 of"):
        Library(tmp_path).add(name, [FEES])


def test_an_unknown_collection_says_how_to_add_it(tmp_path: Path) -> None:
    with pytest.raises(CollectionUnknown, match="stepfold knowledge add PATH --collection help"):
        Library(tmp_path).documents("help")


def test_damaged_documents_are_an_error_and_not_silence(tmp_path: Path) -> None:
    Library(tmp_path).add("help", [FEES])
    (tmp_path / "help" / "documents.jsonl").write_text("{")

    with pytest.raises(CollectionInvalid, match="is damaged"):
        Library(tmp_path).index("help")


def test_a_library_without_a_folder_is_empty(tmp_path: Path) -> None:
    assert Library(tmp_path / "nowhere").collections() == ()

"""The contract of Knowledge, kept by each implementation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from stepfold.knowledge import CollectionUnknown, Document, Knowledge
from stepfold.knowledge.library import Library
from stepfold.knowledge.memory import MemoryKnowledge

Shelves = dict[str, tuple[Document, ...]]
SHELVES: Shelves = {
    "help": (Document("refunds", "Refunds", "Refunds take 5 days."),),
    "blog": (
        Document("post", "Our fees", "Fees fell."),
        Document("refunds", "Refunds", "Refunds take 5 days."),
    ),
}


def _memory(shelves: Shelves, folder: Path) -> Knowledge:
    return MemoryKnowledge(shelves)


def _library(shelves: Shelves, folder: Path) -> Knowledge:
    library = Library(folder)
    for name, documents in shelves.items():
        library.add(name, documents)
    return library


@pytest.fixture(params=[_memory, _library])
def knowledge(request: pytest.FixtureRequest, tmp_path: Path) -> Knowledge:
    build: Callable[[Shelves, Path], Knowledge] = request.param
    return build(SHELVES, tmp_path)


async def test_a_passage_is_an_exact_slice_with_the_digest_of_its_document(
    knowledge: Knowledge,
) -> None:
    (passage,) = await knowledge.search(["help"], "refund", 3)

    document = SHELVES["help"][0]
    assert passage.text == document.content[passage.start : passage.end]
    assert (passage.document, passage.digest) == (document.id, document.digest)
    assert passage.score > 0


async def test_only_the_named_collections_are_searched(knowledge: Knowledge) -> None:
    assert await knowledge.search(["help"], "fees", 3) == ()


async def test_several_collections_are_searched_as_one(knowledge: Knowledge) -> None:
    found = await knowledge.search(["help", "blog"], "fees and refunds", 3)

    assert {passage.document for passage in found} == {"post", "refunds"}
    assert [passage.score for passage in found] == sorted((p.score for p in found), reverse=True)


async def test_no_more_than_k_come_back_from_all_of_them_together(knowledge: Knowledge) -> None:
    assert len(await knowledge.search(["help", "blog"], "fees and refunds", 1)) == 1


async def test_no_collection_holds_nothing(knowledge: Knowledge) -> None:
    assert await knowledge.search([], "refund", 3) == ()


async def test_an_unknown_collection_is_named_beside_the_known_ones(knowledge: Knowledge) -> None:
    with pytest.raises(CollectionUnknown, match=r"'shop': unknown \(known: blog, help\)"):
        await knowledge.search(["shop"], "refund", 3)

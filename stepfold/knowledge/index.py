"""Passages found by words: chunks, their terms and BM25. Pure but for save and load.

The title and the headings over a chunk count as if they stood in it, the title TITLE_WEIGHT times.
The same documents and query always give the same passages, ties in the order of document and place.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib.metadata import version
from pathlib import Path

import msgspec

from stepfold.events.values import Passage
from stepfold.knowledge import bm25
from stepfold.knowledge.bm25 import Scorer
from stepfold.knowledge.chunks import (
    CHUNK_CHARS_MAX,
    CHUNK_CHARS_MIN,
    HEADING_CHARS_MAX,
    Chunk,
    chunks,
)
from stepfold.knowledge.document import Document
from stepfold.knowledge.terms import terms

TITLE_WEIGHT = 3
QUERY_CHARS_MAX = 20_000
"""The rest of a longer query is not read."""

_CHUNKS = "chunks.json"
_FORMAT = 1
"""Raise it when chunks or terms change, so that saved indexes are built again."""


class Index:
    """Build or load one; it never changes afterwards."""

    def __init__(self, entries: tuple[Chunk, ...], scorer: Scorer) -> None:
        self._entries = entries
        self._scorer = scorer

    def __len__(self) -> int:
        """How many chunks it holds."""
        return len(self._entries)

    @classmethod
    def build(cls, documents: Iterable[Document]) -> Index:
        ordered = sorted(documents, key=lambda document: document.id)
        entries = tuple(chunk for document in ordered for chunk in chunks(document))
        return cls(entries, Scorer.build([_indexed(chunk) for chunk in entries]))

    def search(self, query: str, k: int) -> tuple[Passage, ...]:
        """The `k` best passages; fewer, or none, when fewer share a term with the query."""
        ranked = self._ranked(query)
        return tuple(passage for passage, _ in zip(ranked, range(k), strict=False))

    def search_documents(self, query: str, k: int) -> tuple[Passage, ...]:
        """The best passage of each of the `k` best documents: a document is as good as that."""
        best: dict[str, Passage] = {}
        for passage in self._ranked(query):
            if len(best) >= k:
                break
            best.setdefault(passage.document, passage)
        return tuple(best.values())

    def save(self, folder: Path) -> None:
        """Into an empty folder. Whoever wants this crash-safe renames the folder afterwards."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _CHUNKS).write_bytes(msgspec.json.encode(self._entries))
        self._scorer.save(folder)

    @classmethod
    def load(cls, folder: Path) -> Index:
        """What `save` wrote; raises OSError or ValueError for anything else."""
        entries = msgspec.json.decode((folder / _CHUNKS).read_bytes(), type=tuple[Chunk, ...])
        return cls(entries, Scorer.load(folder))

    def _ranked(self, query: str) -> Iterator[Passage]:
        for entry, score in self._scorer.best(terms(query[:QUERY_CHARS_MAX])):
            yield _passage(self._entries[entry], score)


def search_all(indexes: Iterable[Index], query: str, k: int) -> tuple[Passage, ...]:
    """The `k` best passages of several indexes, ties in the order of document and place."""
    found = [passage for index in indexes for passage in index.search(query, k)]
    found.sort(key=lambda passage: (-passage.score, passage.document, passage.start))
    return tuple(found[:k])


def make() -> str:
    """What a saved index depends on besides the documents."""
    cut = f"{CHUNK_CHARS_MAX} {CHUNK_CHARS_MIN} {TITLE_WEIGHT}"
    return f"{_FORMAT}; {cut}; {bm25.make()}; PyStemmer {version('PyStemmer')}"


def _indexed(chunk: Chunk) -> list[str]:
    above = [term for heading in chunk.above for term in terms(heading)]
    return terms(chunk.title[:HEADING_CHARS_MAX]) * TITLE_WEIGHT + above + terms(chunk.text)


def _passage(chunk: Chunk, score: float) -> Passage:
    return Passage(
        document=chunk.document,
        title=chunk.title,
        digest=chunk.digest,
        start=chunk.start,
        end=chunk.end,
        text=chunk.text,
        score=score,
    )

"""The one file that knows bm25s, which costs 0.3 s to import and so is imported on first use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bm25s import BM25

TERM_REPEAT_K1 = 1.2
LENGTH_B = 0.75


class Scorer:
    """Scores of lists of terms; the same lists in the same order give the same scores."""

    def __init__(self, bm25: BM25 | None) -> None:
        self._bm25: Any = bm25

    @classmethod
    def build(cls, corpus: Sequence[list[str]]) -> Scorer:
        """`corpus` holds one list of terms per entry; an empty one finds nothing."""
        if not any(corpus):
            return cls(None)
        from bm25s import BM25

        bm25 = BM25(k1=TERM_REPEAT_K1, b=LENGTH_B)
        bm25.index(list(corpus), show_progress=False)
        return cls(bm25)

    def best(self, query: list[str]) -> list[tuple[int, float]]:
        """(entry, score) of every entry that holds a term, best first, ties in their order.

        A term that the query says n times counts sqrt(n) times: long stories repeat themselves.
        """
        said = Counter(self._bm25.get_tokens_ids(query) if self._bm25 else [])
        if not said:
            return []
        scores = sum(
            self._bm25.get_scores_from_ids([term for term in said if said[term] == times])
            * times**0.5
            for times in sorted(set(said.values()))
        )
        order = (-scores).argsort(kind="stable")[: (scores > 0).sum()]
        return list(zip(order.tolist(), scores[order].tolist(), strict=True))

    def save(self, folder: Path) -> None:
        if self._bm25:
            self._bm25.save(folder, show_progress=False)

    @classmethod
    def load(cls, folder: Path) -> Scorer:
        from bm25s import BM25

        empty = not (folder / "params.index.json").exists()
        return cls(None if empty else BM25.load(folder, show_progress=False))


def make() -> str:
    """What a saved scorer depends on; one of another make must be built again."""
    return f"bm25s {version('bm25s')}, {TERM_REPEAT_K1}, {LENGTH_B}"

"""Numbers with labels, kept in memory: counts, gauges, and how long things took.

Labels are bounded: `Words` lets so many different ones in, and calls what goes beyond `other`.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Literal

from msgspec import Struct

OTHER = "other"
SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0)
_WORD = re.compile(r"[\w.:/@+=~-]{1,128}")

Labels = tuple[str, ...]


class Family(Struct, frozen=True):
    """One name, and what its numbers are told apart by. A histogram's are seconds."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    meaning: str
    labels: Labels


class Buckets:
    """How many values were at most each of SECONDS and over the one before it; last, over all."""

    def __init__(self) -> None:
        self.counts = [0] * (len(SECONDS) + 1)
        self.sum = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(SECONDS, seconds)] += 1
        self.sum += seconds


class Numbers:
    """A histogram's are in `buckets`, all others in `values`; by family, then by labels."""

    def __init__(self, families: Sequence[Family]) -> None:
        self.families = families
        self.values: dict[Family, dict[Labels, float]] = {
            family: {} for family in families if family.kind != "histogram"
        }
        self.buckets: dict[Family, dict[Labels, Buckets]] = {
            family: {} for family in families if family.kind == "histogram"
        }

    def add(self, family: Family, labels: Labels, number: float = 1) -> None:
        """Counters only grow: what is not more than nothing is left out."""
        if number > 0:
            values = self.values[family]
            values[labels] = values.get(labels, 0) + number

    def observe(self, family: Family, labels: Labels, seconds: float) -> None:
        self.buckets[family].setdefault(labels, Buckets()).add(max(0.0, seconds))

    def set(self, family: Family, values: Mapping[Labels, float]) -> None:
        """All there is of a gauge, now."""
        self.values[family] = dict(values)


class Words:
    """The first so many words that it hears, each as it is."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._known: set[str] = set()

    def known(self, word: str) -> str:
        """The word; `other` when there are too many of them, or it is none; empty stays so."""
        if word in self._known or not word:
            return word
        if len(self._known) >= self._limit or not _WORD.fullmatch(word):
            return OTHER
        self._known.add(word)
        return word

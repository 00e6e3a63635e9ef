"""A reranker that needs no key and no network: it counts the words that a text shares with a query.

It understands nothing. A shared word counts by how rare it is among the texts at hand; words that
follow each other as they do in the query count again, and so do words that stand close together. A
synonym counts for nothing. Put behind a search that knows all documents, and so which words are
rare, it is a step back (the bank's 60 questions: recall at 10 falls from 0.37 to 0.24): it is for
texts that come in no order, and for tests.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TypeVar

from stepfold.providers.extractive import stems
from stepfold.providers.reranker import Ranked, Reranked

NAME = "overlap"
WORDS, PHRASES, NEARNESS = 0.6, 0.25, 0.15
"""What each of the three is worth; together 1."""
K = TypeVar("K")
_WORD = re.compile(r"[^\W_]+")


class OverlapReranker:
    async def rerank(self, query: str, texts: Sequence[str], /, *, model: str, k: int) -> Reranked:
        """Whatever `model` is asked for, this one answers. The same texts get the same order."""
        scores = scored(query, texts)
        best = sorted(range(len(texts)), key=lambda place: (-scores[place], place))[: max(k, 0)]
        order = tuple(Ranked(place, round(scores[place], 6)) for place in best)
        return Reranked(order, NAME, NAME)


def scored(query: str, texts: Sequence[str]) -> list[float]:
    """From 0, no word shared, to 1, all of them in the order of the query."""
    asked = _stems(query)
    read = [_stems(text) for text in texts]
    weight = _weights(frozenset(asked), read)
    phrases = {pair: weight[pair[0]] + weight[pair[1]] for pair in pairwise(asked)}
    return [_score(words, weight, phrases) for words in read]


def _stems(text: str) -> list[str]:
    """The stems in order, without the words that are in every text."""
    return [stem for word in _WORD.findall(text) for stem in stems(word)]


def _weights(asked: frozenset[str], texts: Sequence[Sequence[str]]) -> dict[str, float]:
    seen = Counter(stem for words in texts for stem in asked.intersection(words))
    return {stem: math.log(1 + (1 + len(texts)) / (1 + seen[stem])) for stem in sorted(asked)}


def _score(
    words: Sequence[str], weight: dict[str, float], phrases: dict[tuple[str, str], float]
) -> float:
    shared = weight.keys() & set(words)
    if not shared:
        return 0.0
    told = WORDS * _share(shared, weight)
    told += PHRASES * (_share(phrases.keys() & set(pairwise(words)), phrases) if phrases else 1.0)
    return told + NEARNESS * _nearness(words, shared) * _share(shared, weight)


def _share(found: set[K], weight: Mapping[K, float]) -> float:
    return sum(value for each, value in weight.items() if each in found) / sum(weight.values())


def _nearness(words: Sequence[str], shared: set[str]) -> float:
    """The share of `shared` in the narrowest stretch of `words` that holds all of it."""
    missing = Counter(dict.fromkeys(shared, 1))
    wanted, begin, narrowest = len(shared), 0, len(words)
    for end, word in enumerate(words):
        if word not in shared:
            continue
        wanted -= missing[word] > 0
        missing[word] -= 1
        while not wanted:
            narrowest = min(narrowest, end - begin + 1)
            first, begin = words[begin], begin + 1
            if first in shared:
                missing[first] += 1
                wanted += missing[first] > 0
    return len(shared) / narrowest

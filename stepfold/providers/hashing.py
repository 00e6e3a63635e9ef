"""An embedder without a key, a network or a model: feature hashing.

It knows no meaning. A text's words and the pieces of three to five characters of each word are
counted, each is sent by a hash to one of the vector's places and to a sign, and the vector is
brought to length 1. So texts are near one another when they are written alike: the same words,
inflected or mistyped ones; a synonym is as far away as any other word. It serves tests,
demonstrations, and as a floor that a real embedder must beat.
"""

from __future__ import annotations

import asyncio
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from hashlib import blake2b

from stepfold.events.values import Usage
from stepfold.providers.embedder import Embedded, Vector, What, unit

NAME = "hashing"
DIMENSIONS = 1_024
PIECE_CHARS = (3, 4, 5)
WORD_WEIGHT = 2.0
"""How much more a whole word counts than a piece of one."""
_WORD = re.compile(r"\w+")


class HashingEmbedder:
    """`dimensions` more, and fewer words meet in one place by chance."""

    def __init__(self, *, dimensions: int = DIMENSIONS) -> None:
        self._dimensions = dimensions

    async def embed(self, texts: Sequence[str], /, *, model: str, what: What) -> Embedded:
        """Documents and queries alike; a text without a word is a vector of zeros. The usage counts
        words. Many texts take a while: a thread reckons, the loop goes on.
        """
        vectors = await asyncio.to_thread(self._vectors, texts)
        words = sum(len(_WORD.findall(text)) for text in texts)
        return Embedded(vectors, model or NAME, NAME, Usage(input=words))

    def _vectors(self, texts: Sequence[str]) -> tuple[Vector, ...]:
        return tuple(vector(text, self._dimensions) for text in texts)


def vector(text: str, dimensions: int = DIMENSIONS) -> Vector:
    told = [0.0] * dimensions
    for feature, times in Counter(_features(text)).items():
        hashed = int.from_bytes(blake2b(feature.encode(), digest_size=8).digest(), "big")
        weight = (1 + math.log(times)) * (WORD_WEIGHT if feature[0] == "=" else 1.0)
        told[(hashed >> 1) % dimensions] += weight if hashed & 1 else -weight
    return unit(tuple(told))


def _features(text: str) -> Iterator[str]:
    """Whole words begin with `=`; pieces show where a word begins and ends."""
    for word in _WORD.findall(unicodedata.normalize("NFKC", text).casefold()):
        yield f"={word}"
        marked = f"<{word}>"
        for size in PIECE_CHARS:
            for begin in range(len(marked) - size + 1):
                yield marked[begin : begin + size]

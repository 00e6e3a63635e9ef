"""The contract of an embedder: texts in, a vector for each out, in the same order.

Vectors of one model are compared with one another, never with another model's. They have length 1;
that of a text in which a model finds nothing may be all zeros.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, Protocol

from msgspec import Struct

from stepfold.events.values import Usage

Vector = tuple[float, ...]
What = Literal["document", "query"]
"""What the texts are: some models embed a question differently from what may answer it."""


SLACK = 1e-3
"""A length this near to 1 is 1: models tell floats of four bytes."""


class Embedded(Struct, frozen=True):
    """`model` as it answered; `usage` of all that it took, None when it was not told."""

    vectors: tuple[Vector, ...]
    model: str
    provider: str
    usage: Usage | None = None


class Embedder(Protocol):
    async def embed(self, texts: Sequence[str], /, *, model: str, what: What) -> Embedded:
        """One vector for each text, or a ModelError: never some of them."""
        ...


def unit(vector: Vector) -> Vector:
    """Brought to length 1, as it is where it has that length or none; ValueError when it has a
    number that is none.
    """
    length = math.hypot(*vector)
    if not math.isfinite(length):
        raise ValueError("a vector with a number that is none")
    if not length or abs(length - 1) < SLACK:
        return vector
    return tuple(each / length for each in vector)

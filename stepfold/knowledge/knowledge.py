"""The contract of the room: named collections of documents, searched for passages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from stepfold.events.values import Passage


class Knowledge(Protocol):
    async def search(
        self, collections: Sequence[str], query: str, k: int, /
    ) -> tuple[Passage, ...]:
        """The `k` best passages of these collections together, best first; maybe fewer or none.

        Ties stand in the order of document and place. Raises CollectionUnknown.
        """
        ...

"""Steps as they lie in a log: rows for whoever looks at one, columns for whoever reads them all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple, overload


class Stored(NamedTuple):
    """A step as it lies in the log. `at` is the server's clock, used when the payload has none."""

    position: int
    subject: str
    payload: bytes
    at: datetime


class Steps(Sequence[Stored]):
    """Many steps, in order. A row is made when it is looked at: a reader of the whole log spends
    most of its time on what it does for each step, and needs few of them as rows.

    `at` gives the time of the step with this index. Payloads may be replaced in place.
    """

    def __init__(
        self,
        positions: Sequence[int],
        subjects: Sequence[bytes],
        payloads: list[bytes],
        at: Callable[[int], datetime],
    ) -> None:
        self.positions = positions
        self.subjects = subjects
        self.payloads = payloads
        self._at = at

    @classmethod
    def of(cls, steps: Sequence[tuple[int, str, bytes, datetime]]) -> Steps:
        return cls(
            [step[0] for step in steps],
            [step[1].encode() for step in steps],
            [step[2] for step in steps],
            lambda index: steps[index][3],
        )

    def __len__(self) -> int:
        return len(self.payloads)

    @overload
    def __getitem__(self, index: int) -> Stored: ...
    @overload
    def __getitem__(self, index: slice) -> list[Stored]: ...
    def __getitem__(self, index: int | slice) -> Stored | list[Stored]:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        subject = self.subjects[index].decode("utf-8", "replace")
        return Stored(
            self.positions[index], subject, self.payloads[index], self._at(index % len(self))
        )

"""What is broken in a description, and what was done about it. Nothing is mended in silence."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

FINDINGS_MAX = 1_000
"""More than this of one description are counted, and not told one by one."""


class Finding(Struct, frozen=True):
    """`place` is a JSON pointer into the description, `#/paths/~1pets/get`, or its line."""

    place: str
    broken: str
    done: str


class Findings:
    """Collects them, each one once."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], Finding] = {}
        self.left_out = 0

    def note(self, place: str, broken: str, done: str) -> None:
        if (place, broken) in self._found:
            return
        if len(self._found) >= FINDINGS_MAX:
            self.left_out += 1
        else:
            self._found[place, broken] = Finding(place, broken, done)

    def __iter__(self) -> Iterator[Finding]:
        yield from self._found.values()
        if self.left_out:
            yield Finding("#", f"{self.left_out:,} more are like these", "mended in the same ways")


def within(place: str, *words: str | int) -> str:
    """The pointer to what stands in `place` under `words`."""
    return "/".join([place, *(str(word).replace("~", "~0").replace("/", "~1") for word in words)])

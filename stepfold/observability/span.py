"""A span as we tell it: work that has ended, in a trace. Nothing about it changes any more.

All of it follows from the log, ids included, so that telling it again tells the same.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal

from msgspec import Struct

Value = str | bool | int | float | tuple[str, ...]
Attributes = dict[str, Value]
Kind = Literal["internal", "client", "server"]
"""`client`: somebody else does the work; `server`: it is done for a caller with a trace."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NANOSECONDS_MAX = 2**64 - 1
TEXT_CHARS_MAX = 16_000
"""A longer text in a span is cut: receivers take a few megabytes at once."""
CUT = " [... cut, the log has all of it]"


class Link(Struct, frozen=True):
    """Another span that this one has to do with."""

    trace: str
    id: str


class Span(Struct, frozen=True, kw_only=True):
    """`trace` has 32 hexadecimal digits, `id` and `parent` 16; `parent` is empty where a trace
    begins, and `remote` when it is the caller's own span. `error` is empty when all went well.
    `position` is that of the step after which nothing about this span changes.
    """

    trace: str
    id: str
    parent: str = ""
    remote: bool = False
    name: str
    kind: Kind = "internal"
    begin: datetime
    end: datetime
    attributes: Attributes
    error: str = ""
    links: tuple[Link, ...] = ()
    position: int = 0


def nanoseconds(at: datetime) -> int:
    """Since 1970, exactly: a float would be off by some of them. The wire has 64 bits for them."""
    return min(max(0, (at - EPOCH) // timedelta(microseconds=1) * 1000), NANOSECONDS_MAX)


def cut(text: str) -> str:
    return text if len(text) <= TEXT_CHARS_MAX else text[:TEXT_CHARS_MAX] + CUT

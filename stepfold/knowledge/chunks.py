"""A document in pieces small enough to quote from, cut where a reader would cut.

Each chunk is an exact slice: `text == content[start:end]`. Every character that is not blank is in
exactly one chunk. What stands above a chunk (title, headings) helps to find it and is not its text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import Struct

from stepfold.knowledge.document import Document

CHUNK_CHARS_MAX = 1200
"""No chunk is longer."""
CHUNK_CHARS_MIN = 150
"""A shorter one is put together with its neighbour where the two fit into one."""
HEADING_CHARS_MAX = 200
"""The rest of a longer heading or title is not indexed with the chunks below it."""

_HEADING_OR_FENCE = re.compile(
    r"^ {0,3}(?:(?P<fence>```+|~~~+)|(?P<level>#{1,6})[ \t]+(?P<text>[^\n]*))", re.MULTILINE
)
# From the best place to cut to the worst; the cut is at the end of the match.
_BORDERS = (
    re.compile(r"\n[ \t]*\n"),
    re.compile(r"\n(?=[ \t]*(?:[-*+]|\d+[.)])[ \t])"),
    re.compile(r"[.!?][\"'”’)]*\s"),
    re.compile(r"\s"),
)


class Chunk(Struct, frozen=True):
    """`above` are the headings over the chunk that do not stand in it, the outermost first."""

    document: str
    title: str
    digest: str
    start: int
    end: int
    text: str
    above: tuple[str, ...] = ()


class _Section(Struct, frozen=True):
    start: int
    end: int
    above: tuple[str, ...]


def chunks(document: Document) -> tuple[Chunk, ...]:
    """The chunks of `document` in the order of its text; none when it is blank."""
    digest = document.digest
    return tuple(
        Chunk(
            document=document.id,
            title=document.title,
            digest=digest,
            start=piece.start,
            end=piece.end,
            text=document.content[piece.start : piece.end],
            above=piece.above,
        )
        for piece in _packed(document.content, _sections(document.content))
    )


def _sections(content: str) -> Iterator[_Section]:
    """From each heading to the next; a `#` inside a code fence is not a heading."""
    start, fence = 0, ""
    path: dict[int, str] = {}
    above: tuple[str, ...] = ()
    for match in _HEADING_OR_FENCE.finditer(content):
        if mark := match["fence"]:
            fence = ("" if mark.startswith(fence) else fence) if fence else mark
            continue
        if fence:
            continue
        yield _Section(start, match.start(), above)
        level = len(match["level"])
        path = {depth: text for depth, text in path.items() if depth < level}
        start, above = match.start(), tuple(text for text in path.values() if text)
        path[level] = match["text"].strip(" \t#")[:HEADING_CHARS_MAX]
    yield _Section(start, len(content), above)


def _packed(content: str, sections: Iterator[_Section]) -> Iterator[_Section]:
    """Short neighbours together, long sections in pieces, blank ones left out."""
    held: _Section | None = None
    for section in sections:
        for piece in _pieces(content, section):
            if held and _belong(held, piece):
                held = _Section(held.start, piece.end, held.above)
                continue
            if held:
                yield held
            held = piece
    if held:
        yield held


def _belong(left: _Section, right: _Section) -> bool:
    shorter = min(left.end - left.start, right.end - right.start)
    return shorter < CHUNK_CHARS_MIN and right.end - left.start <= CHUNK_CHARS_MAX


def _pieces(content: str, section: _Section) -> Iterator[_Section]:
    start, end = _trimmed(content, section.start, section.end)
    while start < end:
        stop = end if end - start <= CHUNK_CHARS_MAX else _cut(content, start)
        first, last = _trimmed(content, start, stop)
        yield _Section(first, last, section.above)
        start, _ = _trimmed(content, stop, end)


def _cut(content: str, start: int) -> int:
    """Where to cut: at the last good border, but not so early that a sliver remains."""
    window = content[start : start + CHUNK_CHARS_MAX]
    for border in _BORDERS:
        ends = [match.end() for match in border.finditer(window)]
        if ends and ends[-1] > CHUNK_CHARS_MAX // 3:
            return start + ends[-1]
    return start + CHUNK_CHARS_MAX


def _trimmed(content: str, start: int, end: int) -> tuple[int, int]:
    while start < end and content[start].isspace():
        start += 1
    while end > start and content[end - 1].isspace():
        end -= 1
    return start, end

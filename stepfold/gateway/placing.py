"""Where in an answer a citation belongs. Pure.

A quote that the answer holds is where it stands; else it belongs to the part of the answer that a
model hung it on, else to the whole. Places count Unicode code points of the answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import quote, urlsplit

from msgspec import Struct

from stepfold.events.event import Event, RetrievalReturned
from stepfold.events.values import Citation, Part, Refusal, Text


class Placed(Struct, frozen=True):
    """`answer[start:end]` rests on the citation; `title` is its document's, else its name."""

    citation: Citation
    start: int
    end: int
    title: str

    def moved(self, by: int) -> Placed:
        """In a text that has so many characters before the answer."""
        return Placed(self.citation, self.start + by, self.end + by, self.title)


def placed(
    answer: str,
    citations: Sequence[Citation],
    parts: Sequence[Part] = (),
    titles: Mapping[str, str] = {},
) -> tuple[Placed, ...]:
    """`parts` are the model's own words, where the answer is made of them; `titles` are those of
    documents, by their names.
    """
    hung = dict(_spans(parts))
    return tuple(
        Placed(each, *_span(answer, each, hung), titles.get(each.document) or each.document)
        for each in citations
    )


def titles_in(event: Event) -> dict[str, str]:
    """Those of the documents that were found, by their names."""
    if not isinstance(event, RetrievalReturned):
        return {}
    return {each.document: each.title for each in event.passages}


def _spans(parts: Sequence[Part]) -> Iterator[tuple[tuple[str, int, int], tuple[int, int]]]:
    end = 0
    for part in parts:
        if not isinstance(part, Text | Refusal):
            continue
        start, end = end, end + len(part.text)
        for each in part.citations if isinstance(part, Text) else ():
            yield _key(each), (start, end)


def _span(
    answer: str, citation: Citation, hung: dict[tuple[str, int, int], tuple[int, int]]
) -> tuple[int, int]:
    start, end = hung.get(_key(citation), (0, len(answer)))
    end = min(end, len(answer))
    at = answer.find(citation.quote, min(start, end)) if citation.quote else -1
    return (at, at + len(citation.quote)) if at >= 0 else (min(start, end), end)


def _key(citation: Citation) -> tuple[str, int, int]:
    return citation.document, citation.start, citation.end


def is_page(document: str) -> bool:
    """Is the document's name the address of a page?"""
    return urlsplit(document).scheme in ("http", "https")


def address(citation: Citation) -> str:
    """The page that is cited; of another document a name, which says the characters (RFC 5147)."""
    if is_page(citation.document):
        return citation.document
    name = quote(citation.document, safe="/")
    return f"urn:stepfold:document:{name}#char={citation.start},{citation.end}"

"""Which passages an answer quotes: what a model cited is placed, what it quoted is found. Pure.

A model names a document and words; where they stand, and in which version, only the passages say.
What cannot be placed stays as it is: whoever checks the answer refuses it, and says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from stepfold.events.citation import cite
from stepfold.events.values import Citation, Part, Passage, Text

QUOTE_CHARS_MIN = 12
"""Shorter words in quotation marks are a name or an irony, not a quote."""
_QUOTED = re.compile(r"“([^“”]+)”|„([^„“”]+)[“”]|«([^«»]+)»|\"([^\"\n]+)\"")


def cited(parts: Sequence[Part], passages: Sequence[Passage]) -> tuple[Part, ...]:
    """`parts` with every citation placed in the latest passage that holds it."""
    latest = tuple(reversed(passages))
    return tuple(_text(part, latest) if isinstance(part, Text) else part for part in parts)


def _text(part: Text, passages: Sequence[Passage]) -> Text:
    found = part.citations or tuple(_quotes(part.text, passages))
    placed = tuple(_place(citation, passages) for citation in found)
    return part if placed == part.citations else replace(part, citations=placed)


def _quotes(text: str, passages: Sequence[Passage]) -> Iterator[Citation]:
    seen = set()
    for match in _QUOTED.finditer(text):
        quote = next(filter(None, match.groups())).strip()
        found = _find(quote, passages) if len(quote) >= QUOTE_CHARS_MIN else None
        if found is not None and found not in seen:
            seen.add(found)
            yield found


def _place(citation: Citation, passages: Sequence[Passage]) -> Citation:
    if citation.digest:
        return citation
    named = [each for each in passages if each.document == citation.document]
    return _find(citation.quote, named) or citation


def _find(quote: str, passages: Sequence[Passage]) -> Citation | None:
    return next((found for passage in passages if (found := cite(passage, quote))), None)

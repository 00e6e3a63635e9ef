"""The citation check that costs nothing: a quote must stand in a passage that was retrieved."""

from __future__ import annotations

from collections.abc import Iterable

from stepfold.events.values import Citation, Passage


def cite(passage: Passage, quote: str) -> Citation | None:
    """The place of a verbatim `quote` in `passage`; None when it does not stand there."""
    offset = passage.text.find(quote) if quote else -1
    if offset < 0:
        return None
    start = passage.start + offset
    return Citation(
        document=passage.document,
        digest=passage.digest,
        start=start,
        end=start + len(quote),
        quote=quote,
    )


def refusal(citation: Citation, passages: Iterable[Passage]) -> str | None:
    """Why `citation` is not supported by what was retrieved; None when it is."""
    if not citation.quote:
        return "the quote is empty"
    seen = False
    for passage in passages:
        if passage.document != citation.document or passage.digest != citation.digest:
            continue
        seen = True
        offset = citation.start - passage.start
        inside = offset >= 0 and citation.end <= passage.end
        if inside and passage.text[offset : citation.end - passage.start] == citation.quote:
            return None
    if not seen:
        return f"document {citation.document!r} was not retrieved in this version"
    return f"the quote does not stand at {citation.start}-{citation.end} of a retrieved passage"

"""What a Gemini answer rests on: searches and pages as hosted tools, quotes as citations. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from msgspec.structs import replace

from stepfold.events.values import Citation, HostedTool, Part, Text
from stepfold.providers.google_answer import Candidate, Grounding, Source
from stepfold.providers.wire import Json


def with_sources(parts: Sequence[Part], candidate: Candidate, raw: Json) -> tuple[Part, ...]:
    """`raw` is the candidate as it came."""
    cited = tuple(_cited(parts, _citations(candidate, parts)))
    return (*cited, *_tools(candidate.grounding_metadata, raw))


def _tools(grounding: Grounding | None, raw: Json) -> Iterator[HostedTool]:
    if grounding is not None and raw["groundingMetadata"]:
        queries = grounding.web_search_queries
        asked = {"queries": queries} if queries else None
        yield HostedTool(_name(grounding), input=asked, output=raw["groundingMetadata"])
    if pages := raw.get("urlContextMetadata"):
        yield HostedTool("url_context", output=pages)


def _name(grounding: Grounding) -> str:
    chunks = grounding.grounding_chunks
    if any(chunk.retrieved_context for chunk in chunks):
        return "file_search"
    return "google_maps" if any(chunk.maps for chunk in chunks) else "google_search"


def _citations(candidate: Candidate, parts: Sequence[Part]) -> Iterator[Citation]:
    if grounding := candidate.grounding_metadata:
        sources = [
            _source(chunk.web, chunk.retrieved_context, chunk.maps)
            for chunk in grounding.grounding_chunks
        ]
        for support in grounding.grounding_supports:
            quote = support.segment.text if support.segment else ""
            for index in support.grounding_chunk_indices:
                if quote and 0 <= index < len(sources):
                    yield Citation(sources[index], "", 0, 0, quote)
    if quoted := candidate.citation_metadata:
        said = "".join(part.text for part in parts if isinstance(part, Text)).encode()
        for each in (*quoted.citations, *quoted.citation_sources):
            quote = said[each.start_index : each.end_index].decode(errors="ignore")
            if quote:
                yield Citation(each.uri or each.title, "", 0, 0, quote)


def _source(*sources: Source | None) -> str:
    return next((source.name for source in sources if source is not None), "")


def _cited(parts: Sequence[Part], citations: Iterable[Citation]) -> Iterator[Part]:
    """Each citation with the text that holds its quote, else with the last text."""
    texts = [place for place, part in enumerate(parts) if isinstance(part, Text)]
    held: dict[int, list[Citation]] = {place: [] for place in texts}
    for citation in citations:
        holds = (place for place in texts if citation.quote in _text(parts[place]))
        if texts:
            held[next(holds, texts[-1])].append(citation)
    for place, part in enumerate(parts):
        yield replace(part, citations=tuple(held[place])) if place in held else part


def _text(part: Part) -> str:
    return part.text if isinstance(part, Text) else ""

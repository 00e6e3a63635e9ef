"""Chunks are exact slices that together hold everything a document says."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stepfold.knowledge.chunks import CHUNK_CHARS_MAX, CHUNK_CHARS_MIN, Chunk, chunks
from stepfold.knowledge.document import Document
from stepfold.knowledge.documents import SAMPLE, load

PARAGRAPH = "The fee is charged once, on the day after the due date, and never again. " * 4


def _chunks(content: str) -> tuple[Chunk, ...]:
    return chunks(Document(id="d", title="Fees", content=content))


def _holds_everything(document: Document) -> bool:
    covered = [False] * len(document.content)
    for chunk in chunks(document):
        assert chunk.text == document.content[chunk.start : chunk.end]
        assert 0 < len(chunk.text) <= CHUNK_CHARS_MAX
        assert not any(covered[chunk.start : chunk.end])
        covered[chunk.start : chunk.end] = [True] * len(chunk.text)
    return all(seen or sign.isspace() for seen, sign in zip(covered, document.content, strict=True))


def test_each_section_is_a_chunk_that_starts_with_its_heading() -> None:
    found = _chunks(f"# Fees\n\n{PARAGRAPH}\n\n## Late\n\n{PARAGRAPH}\n\n## Early\n\n{PARAGRAPH}")

    assert [chunk.text.splitlines()[0] for chunk in found] == ["# Fees", "## Late", "## Early"]


def test_the_headings_above_a_chunk_are_known_and_not_in_its_text() -> None:
    found = _chunks(f"# Fees\n\n{PARAGRAPH}\n\n## Late\n\n{PARAGRAPH}\n\n### EU\n\n{PARAGRAPH}")

    assert [chunk.above for chunk in found] == [(), ("Fees",), ("Fees", "Late")]


def test_a_tiny_section_is_put_together_with_its_neighbour() -> None:
    found = _chunks(f"# Fees\n\nNone.\n\n## Late\n\n{PARAGRAPH}")

    assert len(found) == 1
    assert len("# Fees\n\nNone.") < CHUNK_CHARS_MIN


def test_a_long_section_is_cut_between_paragraphs() -> None:
    found = _chunks("\n\n".join([PARAGRAPH.strip()] * 9))

    assert len(found) > 1
    assert all(chunk.text.endswith("never again.") for chunk in found)


def test_a_long_list_is_cut_between_its_items() -> None:
    found = _chunks("\n".join(f"- item {n} costs {n} dollars. Not more" for n in range(100)))

    assert all(chunk.text.startswith("- item") for chunk in found)


def test_a_long_paragraph_is_cut_after_a_sentence() -> None:
    found = _chunks(PARAGRAPH * 9)

    assert all(chunk.text.endswith("never again.") for chunk in found)


def test_one_endless_word_is_cut_at_the_limit() -> None:
    assert [len(chunk.text) for chunk in _chunks("a" * 3000)] == [1200, 1200, 600]


def test_a_hash_inside_a_code_fence_is_not_a_heading() -> None:
    text = f"# Setup\n\n{PARAGRAPH}\n\n```sh\n# not a heading\n```\n\n{PARAGRAPH}"

    assert len(_chunks(text)) == 1


def test_spans_count_code_points_not_bytes() -> None:
    chunk = _chunks("  Été: 5 € 🎉")[0]

    assert (chunk.start, chunk.end, chunk.text) == (2, 12, "Été: 5 € 🎉")


def test_a_blank_document_has_no_chunks() -> None:
    assert _chunks(" \n\n\t") == ()


def test_the_sample_is_held_whole() -> None:
    assert all(_holds_everything(document) for document in load(SAMPLE))


@given(
    st.lists(
        st.sampled_from(["# A\n", "## B\n", "\n\n", "- item\n", "```\n", "~~~~\n", " ", PARAGRAPH])
        | st.text(max_size=20)
        | st.text(alphabet="ab. \n", min_size=500, max_size=1500),
        max_size=20,
    )
)
def test_every_character_that_is_not_blank_is_in_exactly_one_chunk(parts: list[str]) -> None:
    assert _holds_everything(Document(id="d", title="T", content="".join(parts)))

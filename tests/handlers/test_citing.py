"""Which passages an answer quotes."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from stepfold.events.values import Citation, Part, Passage, Text, ToolCall
from stepfold.handlers.citing import cited
from stepfold.testing import PASSAGE

OTHER = replace(PASSAGE, document="rules.md", start=0, end=19, text="No dogs are allowed")
QUOTE = "The branch opens at 9."
PLACED = Citation(PASSAGE.document, PASSAGE.digest, 10, 32, QUOTE)


def citations(*parts: Part, passages: tuple[Passage, ...] = (PASSAGE, OTHER)) -> list[Citation]:
    made = cited(parts, passages)
    return [found for part in made if isinstance(part, Text) for found in part.citations]


@pytest.mark.parametrize("marks", ["“{}”", '"{}"', "«{}»", "„{}“"])
def test_words_in_quotation_marks_that_a_passage_holds_are_cited(marks: str) -> None:
    assert citations(Text(f"They say {marks.format(QUOTE)}, I think.")) == [PLACED]


def test_words_that_no_passage_holds_and_short_ones_are_no_quotes() -> None:
    assert citations(Text('He calls it "The bank never sleeps" and "green".')) == []


def test_the_same_quote_twice_is_one_citation() -> None:
    assert citations(Text(f'"{QUOTE}" Yes: "{QUOTE}"')) == [PLACED]


def test_what_a_model_cited_is_placed_in_the_document_it_named() -> None:
    told = Citation(PASSAGE.document, "", 0, 0, QUOTE)

    assert citations(Text("At 9.", (told,))) == [PLACED]


def test_what_cannot_be_placed_stays_as_it_is() -> None:
    wrong = Citation("rules.md", "", 0, 0, QUOTE)

    assert citations(Text("At 9.", (wrong,))) == [wrong]


def test_what_is_placed_already_is_not_touched() -> None:
    elsewhere = replace(PLACED, digest="sha256:1", start=3)
    part = Text("At 9.", (elsewhere,))

    (same,) = cited((part,), (PASSAGE,))

    assert same is part


def test_the_latest_passage_that_holds_the_words_counts() -> None:
    newer = replace(PASSAGE, digest="sha256:2")

    assert citations(Text(f'"{QUOTE}"'), passages=(PASSAGE, newer)) == [
        replace(PLACED, digest="sha256:2")
    ]


def test_parts_that_are_no_text_stay() -> None:
    call = ToolCall("", "search", {})

    assert cited((call, Text("Hm.")), (PASSAGE,)) == (call, Text("Hm."))

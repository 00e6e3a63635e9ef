"""A citation stands when its quote stands, verbatim and in place, in a passage that was found."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepfold.events.citation import cite, refusal
from stepfold.events.values import Citation, Passage

PASSAGE = Passage(
    document="refunds.md",
    title="Refunds",
    digest="sha256:aa",
    start=100,
    end=141,
    text="Refunds take 5 to 10 days. Ask in Billing",
    score=1.0,
)
CITATION = Citation(
    document="refunds.md", digest="sha256:aa", start=113, end=125, quote="5 to 10 days"
)


def test_a_quote_is_cited_at_its_place_in_the_document() -> None:
    assert cite(PASSAGE, "5 to 10 days") == CITATION


@pytest.mark.parametrize("quote", ["", "5 to 11 days", "refunds take"])
def test_what_does_not_stand_in_the_passage_cannot_be_cited(quote: str) -> None:
    assert cite(PASSAGE, quote) is None


def test_a_true_citation_is_not_refused() -> None:
    assert refusal(CITATION, [PASSAGE]) is None


def test_any_of_the_passages_may_support_the_citation() -> None:
    other = msgspec.structs.replace(PASSAGE, start=0, end=7, text="Refunds")

    assert refusal(CITATION, [other, PASSAGE]) is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"quote": ""}, "the quote is empty"),
        ({"document": "prices.md"}, "document 'prices.md' was not retrieved in this version"),
        ({"digest": "sha256:bb"}, "document 'refunds.md' was not retrieved in this version"),
        ({"quote": "5 to 11 days"}, "the quote does not stand at 113-125 of a retrieved passage"),
        ({"start": 112}, "the quote does not stand at 112-125 of a retrieved passage"),
        ({"end": 124}, "the quote does not stand at 113-124 of a retrieved passage"),
        ({"start": 99}, "the quote does not stand at 99-125 of a retrieved passage"),
        ({"end": 142}, "the quote does not stand at 113-142 of a retrieved passage"),
        ({"start": 125, "end": 113}, "the quote does not stand at 125-113 of a retrieved passage"),
    ],
)
def test_any_other_citation_is_refused_with_the_reason(
    changes: dict[str, str | int], reason: str
) -> None:
    citation = msgspec.structs.replace(CITATION, **changes)

    assert refusal(citation, [PASSAGE]) == reason


def test_nothing_retrieved_supports_nothing() -> None:
    assert refusal(CITATION, []) == "document 'refunds.md' was not retrieved in this version"


@given(text=st.text(min_size=1), start=st.integers(0, 1000), data=st.data())
def test_whatever_can_be_cited_is_never_refused(text: str, start: int, data: st.DataObject) -> None:
    passage = Passage("d", "D", "sha256:aa", start, start + len(text), text, 0.0)
    first = data.draw(st.integers(0, len(text) - 1))
    quote = text[first : data.draw(st.integers(first + 1, len(text)))]

    citation = cite(passage, quote)

    assert citation is not None
    assert refusal(citation, [passage]) is None

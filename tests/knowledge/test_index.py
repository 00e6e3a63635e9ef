"""Passages are found by the words that people use, in an order that never changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from stepfold.events.citation import cite, refusal
from stepfold.knowledge.document import Document
from stepfold.knowledge.documents import SAMPLE, load
from stepfold.knowledge.index import QUERY_CHARS_MAX, Index
from stepfold.knowledge.terms import terms

REFUNDS = Document("refunds.md", "Refunds", "You are refunded within 5 days.")
CARDS = Document("cards.md", "Cards", "A silver card costs $10. A gold bar and a card holder too.")
GOLD = Document("gold.md", "Gold", "The gold card costs $90. Silver spoons are no card matter.")
DOCUMENTS = (REFUNDS, CARDS, GOLD)


@pytest.fixture(scope="module")
def sample() -> Index:
    return Index.build(load(SAMPLE))


def test_words_are_found_in_any_of_their_forms() -> None:
    found = Index.build(DOCUMENTS).search("When will I get my refund?", 3)

    assert [passage.document for passage in found] == ["refunds.md"]


def test_neighbouring_words_count_more_together_than_apart() -> None:
    found = Index.build((CARDS, GOLD)).search("gold card", 2)

    assert [passage.document for passage in found] == ["gold.md", "cards.md"]


def test_the_title_helps_to_find_what_the_text_does_not_name() -> None:
    documents = (Document("a", "Wire transfers", "It costs $15."), Document("b", "Cash", "Free."))

    assert Index.build(documents).search("wire", 2)[0].text == "It costs $15."


def test_small_talk_finds_nothing() -> None:
    assert Index.build(DOCUMENTS).search("Hi, could you please tell me, thanks?", 5) == ()


@pytest.mark.parametrize("query", ["", "   ", "?!", "zzz unheard"])
def test_what_no_document_says_finds_nothing(query: str) -> None:
    assert Index.build(DOCUMENTS).search(query, 5) == ()


@pytest.mark.parametrize("documents", [(), (Document("a", "", " "),), (Document("b", "", "the"),)])
def test_an_index_of_nothing_finds_nothing(documents: tuple[Document, ...]) -> None:
    assert Index.build(documents).search("refund", 5) == ()


def test_ties_stand_in_the_order_of_document_and_place() -> None:
    copies = [Document(name, "Fee", "The fee is $5.") for name in ("c", "a", "b")]

    found = Index.build(copies).search("fee", 3)

    assert [passage.document for passage in found] == ["a", "b", "c"]


def test_the_order_in_which_documents_come_makes_no_difference() -> None:
    forwards, backwards = Index.build(DOCUMENTS), Index.build(reversed(DOCUMENTS))

    assert forwards.search("silver card", 9) == backwards.search("silver card", 9)


def test_at_most_k_passages_come_back_the_best_first(sample: Index) -> None:
    scores = [passage.score for passage in sample.search("invoice", 4)]

    assert len(scores) == 4
    assert scores == sorted(scores, reverse=True)


def test_documents_come_back_once_each_with_their_best_passage(sample: Index) -> None:
    passages = sample.search("refund after the trial", 9)
    best = sample.search_documents("refund after the trial", 3)

    assert len({passage.document for passage in best}) == len(best)
    assert best[0] == passages[0]


def test_the_end_of_an_endless_query_is_not_read() -> None:
    assert Index.build(DOCUMENTS).search(" " * QUERY_CHARS_MAX + "refund", 5) == ()


@pytest.mark.parametrize(
    ("question", "quote"),
    [
        ("How do I export invoices as CSV?", "Choose **Export > CSV** at the top right"),
        ("Can I get a refund after the trial?", "ask for a refund within 30 days"),
        ("How much does the Business plan cost?", "| Business | $99 |"),
        ("I forgot my password", "The link in the email is valid for 60 minutes"),
        ("how many API requests per minute can I make", "120 requests a minute on Team"),
        ("can I edit an invoice that I already sent", "A sent invoice cannot be edited"),
        ("Where is our data stored?", "data centres in Frankfurt and Dublin"),
    ],
)
def test_the_sample_answers_with_a_quote_that_can_be_cited(
    sample: Index, question: str, quote: str
) -> None:
    passages = sample.search(question, 3)

    citations = [found for passage in passages if (found := cite(passage, quote))]

    assert citations
    assert refusal(citations[0], passages) is None


def test_a_saved_index_finds_the_same(sample: Index, tmp_path: Path) -> None:
    sample.save(tmp_path / "index")

    loaded = Index.load(tmp_path / "index")

    assert loaded.search("export invoices", 5) == sample.search("export invoices", 5)


def test_an_index_of_nothing_can_be_saved_too(tmp_path: Path) -> None:
    Index.build(()).save(tmp_path / "index")

    assert Index.load(tmp_path / "index").search("refund", 1) == ()


def test_terms_are_stems_and_pairs_that_reach_over_no_stop_word() -> None:
    assert terms("Exporting invoices to the customer’s bank") == [
        *("export", "invoic", "custom", "bank"),
        *("export invoic", "custom bank"),
    ]

"""The model that looks up and quotes: what it searches, quotes, and does not claim to know."""

from __future__ import annotations

import hashlib

import pytest

from stepfold.events.citation import refusal
from stepfold.events.transcript import Heard, Item, Result, Thought
from stepfold.events.values import Passage, ToolCall
from stepfold.policy import ToolSpec
from stepfold.providers.extractive import (
    NO_ANSWER,
    NOTHING_TO_SEARCH,
    SENTENCES_MAX,
    ExtractiveModel,
    answer,
)
from stepfold.providers.model import Prompt, Reply

REFUNDS = (
    "# Refunds\n\nAsk for a refund within 30 days of your first payment. "
    "Refunds reach your card in 5 days. See help.example.com/refunds for more.\n"
)
EXPORT = "# Export\n\n- Choose **Export > CSV** at the top right.\n- A file is sent by email.\n"


def passage(text: str, title: str) -> Passage:
    digest = "sha256:" + hashlib.sha256(text.encode()).hexdigest()
    return Passage(f"{title}.md", title, digest, 0, len(text), text, 1.0)


PASSAGES = (passage(REFUNDS, "Refunds"), passage(EXPORT, "Export"))


def prompt(question: str, *items: Item, tools: tuple[str, ...] = ("search",)) -> Prompt:
    shown = tuple(map(ToolSpec, tools))
    return Prompt(instructions="", tools=shown, transcript=(Heard(question), *items), call="r1")


def searched(question: str, passages: tuple[Passage, ...]) -> tuple[Item, ...]:
    call = ToolCall("r1.1", "search", {"query": question})
    return Thought((call,)), Result("r1.1", "search", passages=passages)


async def test_it_searches_with_the_contacts_words_first() -> None:
    reply = await ExtractiveModel().reply(prompt("How do I get a refund?"))

    assert [(call.name, call.arguments) for call in reply.calls] == [
        ("search", {"query": "How do I get a refund?"})
    ]


async def test_it_says_that_it_has_nothing_to_search_when_no_knowledge_is_offered() -> None:
    reply = await ExtractiveModel().reply(prompt("How do I get a refund?", tools=()))

    assert reply.text == NOTHING_TO_SEARCH


async def test_it_answers_from_what_its_search_returned() -> None:
    question = "Within how many days can I ask for a refund?"

    reply = await ExtractiveModel().reply(prompt(question, *searched(question, PASSAGES)))

    assert "Ask for a refund within 30 days of your first payment." in reply.text
    assert (reply.model, reply.provider, str(reply.cost_usd)) == ("extractive", "extractive", "0")


@pytest.mark.parametrize(
    "question", ["How do I export CSV?", "When do refunds reach my card?", "refund payment days"]
)
def test_every_quote_stands_in_a_passage_that_was_retrieved(question: str) -> None:
    reply = answer(question, PASSAGES)

    assert reply.citations
    assert [refusal(citation, PASSAGES) for citation in reply.citations] == [None] * len(
        reply.citations
    )


@pytest.mark.parametrize("question", ["What is the capital of France?", "Is it raining?", ""])
def test_what_the_passages_do_not_speak_of_is_not_answered(question: str) -> None:
    assert answer(question, PASSAGES) == Reply(text=NO_ANSWER)


def test_no_passages_give_no_answer() -> None:
    assert answer("How do I get a refund?", ()) == Reply(text=NO_ANSWER)


def test_a_title_alone_does_not_make_a_sentence_an_answer() -> None:
    stray = passage("Pink elephants dance on the moon tonight.\n", "Refunds of payments")

    assert answer("refunds of payments", (stray,)).text == NO_ANSWER


def test_a_sentence_does_not_end_inside_an_address() -> None:
    reply = answer("Where is more of refunds on help.example.com?", PASSAGES)

    assert "See help.example.com/refunds for more." in [c.quote for c in reply.citations]


def test_a_long_story_around_a_question_is_answered_by_its_key_words() -> None:
    story = "My name is Ada and I love my garden, the sea, and old radios from Lisbon. " * 3

    reply = answer(story + "Refund within how many days of the first payment?", PASSAGES)

    assert any("within 30 days" in citation.quote for citation in reply.citations)
    assert len(reply.citations) <= SENTENCES_MAX


def test_the_same_question_gets_the_same_answer() -> None:
    question = "When do refunds reach my card?"

    assert answer(question, PASSAGES) == answer(question, PASSAGES)

"""What a contact is given of a model's words: the rules of an agent for its answers."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from stepfold.events.event import Reasoned, ResponseGiven
from stepfold.events.transcript import Thought
from stepfold.events.values import Citation, Text
from stepfold.handlers.answering import UNSUPPORTED, given_by, shortened, told_rules
from stepfold.handlers.prompt import prompt
from stepfold.policy.agent import Answers
from stepfold.projections.conversation import replay
from stepfold.testing import (
    AGENT,
    ASKED,
    FOUND,
    HELLO,
    PASSAGE,
    RETRIEVAL,
    SEARCHED,
    STARTED,
    Given,
)

QUOTE = Citation("hours.md", PASSAGE.digest, 10, 32, "The branch opens at 9.")
WRONG = replace(QUOTE, quote="The branch opens at 8.")
AGAIN = replace(ASKED, call="r2", heard=0)


def answers(text: str, *citations: Citation, **rules: Any) -> ResponseGiven:
    agent = replace(AGENT, answers=Answers(**rules))
    answer = Reasoned("r2", 1, "scripted", (Text(text, citations),))
    given = Given(agent, HELLO, ASKED, SEARCHED, RETRIEVAL, FOUND, AGAIN)
    (event,) = given.when(answer)
    assert isinstance(event, ResponseGiven)
    return event


def test_an_answer_with_a_quote_is_given_as_it_is() -> None:
    given = answers("At 9.", QUOTE, cite=True)

    assert given == ResponseGiven(1, "At 9.", (QUOTE,))


def test_a_quote_that_does_not_stand_there_is_kept_with_the_answer_that_another_supports() -> None:
    given = answers("At 9.", QUOTE, WRONG, cite=True)

    assert (given.text, given.outcome, given.citations) == ("At 9.", "answer", (QUOTE,))
    assert [refused.citation for refused in given.refused] == [WRONG]


@pytest.mark.parametrize("citations", [(), (WRONG,)])
def test_an_answer_without_support_is_a_refusal(citations: tuple[Citation, ...]) -> None:
    given = answers("At 8.", *citations, cite=True, refusal="No idea.")

    assert (given.text, given.outcome) == ("No idea.", "refusal")
    assert given.reason == UNSUPPORTED == "no quote in it stands in the knowledge"
    assert given.citations == ()
    assert len(given.refused) == len(citations)


def test_or_it_is_handed_over() -> None:
    rules = {"otherwise": "hand_off", "handoff": "A colleague will answer."}

    given = answers("At 8.", WRONG, cite=True, **rules)

    assert (given.text, given.outcome) == ("A colleague will answer.", "hand_off")
    assert given.reason == UNSUPPORTED
    assert given.citations == ()
    assert [refused.citation for refused in given.refused] == [WRONG]


def test_without_the_rule_it_is_given() -> None:
    assert answers("At 8.").outcome == "answer"


def test_what_was_not_given_is_not_in_the_transcript() -> None:
    agent = replace(AGENT, answers=Answers(cite=True, refusal="No idea."))
    given = Given(agent, HELLO, ASKED)
    given.when(Reasoned("r1", 1, "scripted", (Text("Send me your password."),)))

    assert given.state.transcript[-1] == Thought((Text("No idea."),))


def test_a_long_answer_ends_with_a_sentence_that_fits() -> None:
    given = answers("It is 9. It is green. It is far.", characters_max=22)

    assert (given.text, given.outcome) == ("It is 9. It is green.", "answer")
    assert given.reason == "cut from 32 characters"


def test_a_quote_that_was_cut_off_supports_nothing() -> None:
    text = f"Yes. “{QUOTE.quote}”"

    assert answers(text, QUOTE, cite=True, characters_max=8).outcome == "refusal"
    assert answers(text, QUOTE, cite=True, characters_max=80).citations == (QUOTE,)


def test_a_quote_that_stands_in_what_is_left_supports_it() -> None:
    given = answers(f"{QUOTE.quote} It is green.", QUOTE, cite=True, characters_max=30)

    assert (given.text, given.outcome, given.citations) == (QUOTE.quote, "answer", (QUOTE,))


@pytest.mark.parametrize(
    ("text", "most", "short"),
    [
        ("Short.", None, "Short."),
        ("Short.", 6, "Short."),
        ("One. Two", 8, "One. Two"),
        ("One. Two", 80, "One. Two"),
        ("One. Two.", 8, "One."),
        ("One. Two.", 3, "One"),
        ("No end at all", 6, "No end"),
        ("At 9.30 sharp. Yes.", 17, "At 9.30 sharp."),
        ("One.\nTwo three", 8, "One."),
        ("\n\nOne two three", 9, "One two t"),
        ("Yes. It costs 9.50 EUR. Bye.", 16, "Yes."),
        ("“One.” Two.", 8, "“One."),
    ],
)
def test_whole_sentences_as_far_as_they_fit(text: str, most: int | None, short: str) -> None:
    assert shortened(text, most) == short


def test_the_rules_are_told_to_the_model() -> None:
    rules = Answers(cite=True, characters_max=400, languages=("de", "en"))
    agent = replace(AGENT, persona="You are Ada.", answers=rules)

    told = prompt(agent, replay([STARTED, HELLO, ASKED]), ASKED).instructions

    assert told.startswith("You are Ada.\n\nAnswer from the handbook.\n\nAnswer only from")
    assert "at most 400 characters" in told
    assert told.endswith("if it is one of de, en, else in de.")
    assert [line.split()[0] for line in told_rules(rules).split("\n")] == [
        "Answer",
        "Use",
        "Answer",
    ]
    assert told_rules(Answers()) == ""
    assert prompt(AGENT, replay([STARTED, HELLO, ASKED]), ASKED).instructions == AGENT.instructions


def test_rules_without_a_need_change_nothing() -> None:
    assert given_by(Answers(), 1, "At 9.", (QUOTE,), ()) == ResponseGiven(1, "At 9.", (QUOTE,))

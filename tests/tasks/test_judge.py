"""The judge: an answer against what it was made from, and the judge against the answer."""

from __future__ import annotations

from typing import Any

import pytest

from stepfold.events.event import Generated, ResponseGiven, RetrievalReturned, ToolReturned
from stepfold.tasks import Judge, Judgement, TaskRefused, checked, grounds, judged
from stepfold.testing import ASKED, FOUND, HELLO, PASSAGE, RESPONDED, RETURNED, STARTED
from tests.tasks.asked import ask

ANSWER = "It opens at 9. It is blue."


def claims(*quotes: str, verdict: str = "partly") -> dict[str, Any]:
    unsupported = [{"quote": quote, "why": "no passage says so"} for quote in quotes]
    return {"unsupported": unsupported, "verdict": verdict}


# -- what it is given ---------------------------------------------------------------------------


async def test_it_is_shown_the_answer_and_every_passage_with_its_number() -> None:
    brief = Judge(ANSWER, ["It opens at 9.", "It is green."], "When?").brief()

    steps, (prompt,) = await ask(brief, claims("It is blue."))

    assert '"passages":["[1] It opens at 9.","[2] It is green."]' in prompt.question
    assert ANSWER in prompt.question
    assert isinstance(steps[-1], Generated)


def test_an_answer_stands_on_what_its_agent_had_been_given() -> None:
    judge = grounds((STARTED, HELLO, ASKED, FOUND, RETURNED, RESPONDED))

    assert judge == Judge("At 9.", [PASSAGE.text, "9 to 5"], HELLO.text)


def test_passages_of_earlier_turns_count_and_those_that_came_later_do_not() -> None:
    later = RetrievalReturned("r3.1", 3, (PASSAGE,))
    steps = (HELLO, FOUND, RESPONDED, HELLO, FOUND, ResponseGiven(2, "Still at 9."), HELLO, later)

    judge = grounds((*steps, ToolReturned("r3.2", 3, {"key": 1})))

    assert judge == Judge("Still at 9.", [PASSAGE.text], HELLO.text)


def test_what_a_tool_returned_is_told_in_json() -> None:
    judge = grounds((HELLO, ToolReturned("r1.1", 1, {"order": 17}), RESPONDED))

    assert judge.passages == ['{"order":17}']


def test_a_conversation_without_an_answer_cannot_be_judged() -> None:
    with pytest.raises(TaskRefused, match="there is no answer in this conversation yet"):
        grounds((HELLO, FOUND))


@pytest.mark.parametrize("answer", ["", " \n"])
def test_an_empty_answer_cannot_be_judged(answer: str) -> None:
    with pytest.raises(TaskRefused, match="the answer is empty"):
        Judge(answer, ["It opens at 9."]).brief()


# -- what is made of what it says ---------------------------------------------------------------


def test_a_claim_is_found_in_the_answer() -> None:
    (claim,) = judged(claims("It is blue."), ANSWER).unsupported

    assert ANSWER[claim.start : claim.end] == claim.quote == "It is blue."


@pytest.mark.parametrize("quote", ["It is red.", ""])
def test_a_claim_that_the_answer_does_not_make_has_no_place_in_it(quote: str) -> None:
    (claim,) = judged(claims(quote), ANSWER).unsupported

    assert (claim.start, claim.end) == (-1, -1)


@pytest.mark.parametrize("verdict", ["supported", "no_claims"])
def test_a_verdict_gives_way_to_the_claims_that_contradict_it(verdict: str) -> None:
    assert judged(claims("It is blue.", verdict=verdict), ANSWER).verdict == "partly"


@pytest.mark.parametrize("verdict", ["supported", "partly", "unsupported", "no_claims"])
def test_a_verdict_that_names_no_claim_stands(verdict: Any) -> None:
    assert judged(claims(verdict=verdict), ANSWER) == Judgement(verdict)


def test_an_output_is_shown_as_judged() -> None:
    brief = Judge(ANSWER, ["It opens at 9."]).brief()

    shown = checked(brief, claims("It is blue.", verdict="supported"))

    assert shown["verdict"] == "partly"
    assert shown["unsupported"][0] | {"why": ""} == {
        "quote": "It is blue.",
        "why": "",
        "start": 15,
        "end": 26,
    }


def test_an_output_of_another_schema_is_shown_as_it_was() -> None:
    brief = Judge(ANSWER, ["It opens at 9."]).brief()
    brief = type(brief)(brief.task, brief.input, {"type": "object"})

    assert checked(brief, {"mark": 5}) == {"mark": 5}

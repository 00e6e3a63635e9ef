"""Does an answer rest on its passages? A verdict, and each claim that does not, word by word."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Literal

import msgspec
from msgspec import Struct

from stepfold.events.event import (
    Event,
    MessageReceived,
    ResponseGiven,
    RetrievalReturned,
    ToolReturned,
)
from stepfold.routing import Need
from stepfold.tasks.brief import MATERIAL, Brief, TaskRefused, array, described, obj

Verdict = Literal["supported", "partly", "unsupported", "no_claims"]


class Judge(Struct, frozen=True, forbid_unknown_fields=True):
    """To measure agents, and to find answers that somebody should look at: which claims of an
    answer no passage supports. Whether it is kind, or right in the world, is not asked. `grounds`
    makes the input of recorded steps, `judged` reads the output.
    """

    answer: str
    passages: list[str]
    question: str = ""

    name: ClassVar[str] = "judge"
    instructions: ClassVar[str] = (
        "Hold an answer against the passages it was made from. A claim is supported when a passage"
        " says it or it follows from passages alone; what you know yourself does not count. Quote"
        " each claim that is not supported from the answer, letter by letter. Greetings, questions"
        " and saying that something is not known are no claims. " + MATERIAL
    )
    needs: ClassVar[frozenset[Need]] = frozenset()
    plain: ClassVar[str] = ""
    file: ClassVar[str] = ""

    def brief(self) -> Brief:
        if not self.answer.strip():
            raise TaskRefused("task judge: the answer is empty: there is nothing to hold")
        form = {
            "question": self.question,
            "answer": self.answer,
            "passages": [f"[{n}] {text}" for n, text in enumerate(self.passages, start=1)],
        }
        return Brief(self.name, form, _SCHEMA, self.instructions)


def grounds(steps: Iterable[Event]) -> Judge:
    """The latest answer of these steps, with all that its agent had been given before it: what
    searches found and what tools returned, each once; TaskRefused when there is no answer.
    """
    asked: list[str] = []
    given = dict[str, None]()
    latest: Judge | None = None
    for step in steps:
        match step:
            case MessageReceived(text=text):
                asked.append(text)
            case RetrievalReturned(passages=passages):
                given |= dict.fromkeys(passage.text for passage in passages)
            case ToolReturned(result=result):
                told = result if isinstance(result, str) else msgspec.json.encode(result).decode()
                given[told] = None
            case ResponseGiven(text=text):
                latest, asked = Judge(text, list(given), "\n".join(asked)), []
            case _:
                continue
    if latest is None:
        raise TaskRefused("task judge: there is no answer in this conversation yet")
    return latest


class Claim(Struct, frozen=True):
    """`quote == answer[start:end]`; both are -1 where the answer does not say the quote."""

    quote: str
    why: str
    start: int = -1
    end: int = -1


class Judgement(Struct, frozen=True):
    verdict: Verdict
    unsupported: tuple[Claim, ...] = ()


def judged(output: Any, answer: str) -> Judgement:
    """A judge's output, checked: its quotes are found in the answer, and a verdict that its own
    claims contradict gives way to them. Never to a milder one: it stands where no claim is named.
    """
    told = msgspec.convert(output, Judgement)
    claims = tuple(_found(claim, answer) for claim in told.unsupported)
    verdict = told.verdict
    if claims and verdict in ("supported", "no_claims"):
        verdict = "partly"
    return Judgement(verdict, claims)


def checked(brief: Brief, output: Any) -> Any:
    """The output of a brief as it is to be shown: a judge's is `judged`, any other is as it was."""
    if brief.task != Judge.name or brief.schema != _SCHEMA:
        return output
    return msgspec.to_builtins(judged(output, brief.input["answer"]))


def _found(claim: Claim, answer: str) -> Claim:
    start = answer.find(claim.quote) if claim.quote else -1
    end = start + len(claim.quote) if start >= 0 else -1
    return Claim(claim.quote, claim.why, start, end)


_SCHEMA = obj(
    unsupported=array(
        obj(
            quote=described("string", "the claim, letter by letter as the answer has it"),
            why=described("string", "what the passages say instead, or that they say nothing"),
        ),
        "claims that no passage supports, empty when there are none",
    ),
    verdict={
        "type": "string",
        "enum": ["supported", "partly", "unsupported", "no_claims"],
        "description": "of all claims together; no_claims when the answer claims nothing",
    },
)

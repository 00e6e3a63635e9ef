"""What a contact is given of a model's words, under the agent's rules for answers. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from stepfold.events.event import ResponseGiven
from stepfold.events.values import Citation, RefusedCitation
from stepfold.policy.agent import Answers

UNSUPPORTED = "no quote in it stands in the knowledge"
_END = re.compile(r"[.!?\u3002\uff01\uff1f](?=[\s\"'\u201d)]|$)|\n")


def given_by(
    rules: Answers,
    turn: int,
    text: str,
    accepted: Sequence[Citation],
    refused: Sequence[RefusedCitation],
) -> ResponseGiven:
    """The model's words, their first sentences, or the rules' own words in their place."""
    short = shortened(text, rules.characters_max)
    left = tuple(citation for citation in accepted if citation.quote in short)
    if short == text:
        left = tuple(accepted)
    if rules.cite and not left:
        return _instead(rules, turn, refused)
    why = "" if short == text else f"cut from {len(text)} characters"
    return ResponseGiven(turn, short, left, tuple(refused), reason=why)


def _instead(rules: Answers, turn: int, refused: Sequence[RefusedCitation]) -> ResponseGiven:
    kept = tuple(refused)
    if rules.otherwise == "hand_off":
        return ResponseGiven(turn, rules.handoff, (), kept, "hand_off", UNSUPPORTED)
    return ResponseGiven(turn, rules.refusal, (), kept, "refusal", UNSUPPORTED)


def shortened(text: str, characters_max: int | None) -> str:
    """As many whole sentences as fit, at least a part of the first."""
    if characters_max is None or len(text) <= characters_max:
        return text
    said = text.lstrip()
    ends = [end for match in _END.finditer(said) if (end := match.end()) <= characters_max]
    return said[: ends[-1] if ends else characters_max].rstrip()


def told_rules(rules: Answers) -> str:
    """The rules in words, for the model."""
    lines = []
    if rules.cite:
        lines.append(
            "Answer only from the knowledge base: search it, and quote the words that an answer"
            " rests on exactly, in double quotes. Without such a quote your answer is not given."
        )
    if rules.characters_max is not None:
        lines.append(f"Use at most {rules.characters_max} characters.")
    if rules.languages:
        named = ", ".join(rules.languages)
        lines.append(
            f"Answer in the contact's language if it is one of {named}, else in"
            f" {rules.languages[0]}."
        )
    return "\n".join(lines)

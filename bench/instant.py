"""`stepfold serve --hooks bench.instant`: a model that answers at once, and says it in four parts.

Every word of an answer is its own, so that a word that is lost or comes twice shows.
"""

from __future__ import annotations

from stepfold.events.values import Delta
from stepfold.providers.model import Prompt, Reply

PARTS, PART_WORDS = 4, 8


def answer(question: str) -> str:
    """What is said to this question, to the letter."""
    return "".join(parts(question))


def parts(question: str) -> list[str]:
    words = [f"{question}.{number} " for number in range(PARTS * PART_WORDS)]
    begins = range(0, len(words), PART_WORDS)
    return ["".join(words[begin : begin + PART_WORDS]) for begin in begins]


class Instant:
    async def reply(self, prompt: Prompt, /) -> Reply:
        said = parts(prompt.question)
        if prompt.hear is not None:
            for part in said:
                prompt.hear(Delta("text", part))
        return Reply(text="".join(said))


MODELS = {"instant": Instant()}

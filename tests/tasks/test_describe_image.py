"""Describe an image: it is named, not carried; only models that see are asked."""

from __future__ import annotations

from stepfold.events.event import Generated
from stepfold.events.values import FileRef
from stepfold.tasks import DescribeImage, filled
from tests.tasks.asked import ask, fits

IMAGE = FileRef("image/png", "sha256:" + "0" * 64, name="error.png")
SEEN = {
    "kind": "screenshot",
    "description": "An error in a window.",
    "text": ["Error 42"],
    "errors": ["Error 42"],
    "personal": False,
    "answer": None,
}


async def test_the_model_is_shown_the_file_and_the_question() -> None:
    brief = filled(DescribeImage, "Which error is it?", IMAGE).brief()

    steps, (prompt,) = await ask(brief, {**SEEN, "answer": "42"})

    assert (prompt.question, prompt.transcript[0].files) == ("Which error is it?", (IMAGE,))  # type: ignore[union-attr]
    assert isinstance(steps[-1], Generated)


def test_without_a_question_it_is_described() -> None:
    brief = filled(DescribeImage, "", IMAGE).brief()

    assert brief.input == "Describe this image."
    assert fits(brief, SEEN)
    assert not fits(brief, {**SEEN, "kind": "selfie"})

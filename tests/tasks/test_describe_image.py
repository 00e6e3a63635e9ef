"""Describe an image: it is named, not carried; only models that see are asked."""

from __future__ import annotations

import pytest

from stepfold.events.event import Generated
from stepfold.events.values import FileRef
from stepfold.streams.log import content_digest
from stepfold.tasks import DescribeImage, TaskRefused, filled
from tests.tasks.asked import PICTURE, ask, fits

IMAGE = FileRef("image/png", content_digest(PICTURE), name="error.png")
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


def test_what_is_no_image_is_refused_before_anybody_is_asked() -> None:
    text = FileRef("text/plain", "sha256:1", name="mail.txt")

    with pytest.raises(TaskRefused, match=r"mail.txt is text/plain, no image: nothing was asked"):
        filled(DescribeImage, "", text).brief()

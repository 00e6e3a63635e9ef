"""Texts in pieces that can be quoted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis.strategies import text

from stepfold.providers.sentences import sentences


@pytest.mark.parametrize(
    ("given_text", "told"),
    [
        ("We open at 9. Closed!", ["We open at 9. ", "Closed!"]),
        ("It costs 9.50 a day. Why?", ["It costs 9.50 a day. ", "Why?"]),
        ('He said "no." Then he left.', ['He said "no." ', "Then he left."]),
        ("# Hours\n\nWe open", ["# Hours\n\n", "We open"]),
        ("\n\nHello", ["\n\nHello"]),
        ("  ", ["  "]),
        ("", []),
    ],
)
def test_a_text_is_cut_behind_its_sentences_and_lines(given_text: str, told: list[str]) -> None:
    assert sentences(given_text) == told


@given(text(alphabet='aB9 .!?\n"”)', max_size=60))
def test_put_together_again_they_are_the_text_and_none_is_blank(written: str) -> None:
    pieces = sentences(written)

    assert "".join(pieces) == written
    assert all(piece.strip() for piece in pieces) or not written.strip()

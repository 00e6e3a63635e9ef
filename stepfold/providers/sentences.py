"""A text in pieces that can be quoted: sentences, with the space behind them. Pure."""

from __future__ import annotations

import re

_SENTENCE = re.compile(r".+?(?:[.!?][)\"'”’]*(?=\s)\s*|\n\s*|\Z)", re.DOTALL)


def sentences(text: str) -> list[str]:
    """Put together again they are `text`, and none of them is blank but where all of it is."""
    pieces: list[str] = []
    for found in _SENTENCE.finditer(text):
        piece = found.group()
        if pieces and not (piece.strip() and pieces[-1].strip()):
            pieces[-1] += piece
        else:
            pieces.append(piece)
    return pieces

"""Texts of descriptions, cut to what a model is shown, and what showing them costs."""

from __future__ import annotations

import json
import re
from typing import Any

CHARACTERS_PER_TOKEN = 4
"""How tokens are estimated: no tokenizer is asked, and none of them agrees with another."""

_LINK = re.compile(r"!?\[([^\]]{0,300})\]\([^)]{0,1000}\)")
_TAG = re.compile(r"</?[A-Za-z][^<>]{0,300}>")
_MARKS = re.compile(r"[*_`#|>]{2,}|^[\s*#>|-]+", re.MULTILINE)
_SENTENCE = re.compile(r"(?<=[a-z0-9)][.!?])\s+(?=[A-Z])")


def brief(text: Any, characters_max: int) -> str:
    """One line without markup; its first sentences, as many as fit, else it ends in `…`."""
    if not isinstance(text, str):
        return ""
    text = _TAG.sub(" ", _LINK.sub(r"\1", text[: 20 * characters_max]))
    line = " ".join(_MARKS.sub(" ", text).split())
    if len(line) <= characters_max:
        return line
    told = ""
    for sentence in _SENTENCE.split(line):
        if len(told) + 1 + len(sentence) > characters_max:
            break
        told = f"{told} {sentence}".strip()
    return told or line[: characters_max - 1].rsplit(" ", 1)[0].rstrip(" ,;:") + "…"


def compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def tokens(name: str, description: str, parameters: dict[str, Any]) -> int:
    """About how many tokens a model reads when it is shown such a tool: its JSON, four characters
    a token.
    """
    told = {"name": name, "description": description, "parameters": parameters}
    return -(-len(compact(told)) // CHARACTERS_PER_TOKEN)

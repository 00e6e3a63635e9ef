"""What an answer of OpenAI's, or of a server that speaks its APIs, must be for the log to hold it:
a text is a text. Pure.
"""

from __future__ import annotations

import msgspec

from stepfold.events.values import Part
from stepfold.providers.failures import unreadable
from stepfold.providers.model import Reply
from stepfold.providers.openai_output import IMAGE
from stepfold.providers.openai_shared import text_of
from stepfold.providers.wire import Json


def label(raw: Json, key: str) -> str:
    """A name or a word that an answer has beside what it says; empty when it was not told as text:
    servers number their answers, too.
    """
    told = raw.get(key)
    return told if isinstance(told, str) else ""


def items_of(raw: Json) -> list[Json]:
    """What a response says, in order. The bytes of an image are told as text, or not at all."""
    told = raw.get("output")
    if not isinstance(told, list) or not all(isinstance(each, dict) for each in told):
        raise unreadable(text_of(raw), "its output is no list of items")
    images = [each.get("result") for each in told if each.get("type") == IMAGE]
    if not all(isinstance(result, str | None) for result in images):
        raise unreadable(text_of(raw), "the bytes of an image are no text")
    return told


def sound(reply: Reply, raw: Json) -> Reply:
    """`reply`, whose parts the log gives back as they are; Malformed when it would not."""
    try:
        msgspec.convert(msgspec.to_builtins(reply.parts), tuple[Part, ...])
    except msgspec.ValidationError as error:
        raise unreadable(text_of(raw), f"a part has another shape: {error}") from error
    return reply

"""Names that become tokens of a NATS subject, and the subjects that steps travel on.

    steps.<customer>.<conversation>.<noun>.<verb>

A token that NATS would misread is refused here, before anything is sent:

    EventError
    └── NameRefused
"""

from __future__ import annotations

import re

TOKEN_CHARS_MAX = 128
WORDS = 4
_TOKEN = re.compile(r"[A-Za-z0-9_=+@:~-]+")


class EventError(Exception):
    """Something that cannot be an event of ours."""


class NameRefused(EventError, ValueError):
    """A name that cannot be one token of a subject."""


def token(what: str, value: str) -> str:
    """`value` itself when it can be one subject token, else NameRefused, which says why."""
    if not value:
        raise NameRefused(f"{what} is empty: give it at least one character")
    if len(value) > TOKEN_CHARS_MAX:
        raise NameRefused(
            f"{what} {value[:32]!r}... has {len(value)} characters, at most {TOKEN_CHARS_MAX} fit"
        )
    if not _TOKEN.fullmatch(value):
        raise NameRefused(
            f"{what} {value!r} would be misread by NATS:"
            " use letters, digits and _ - = + @ : ~ (no dots, spaces, '*' or '>')"
        )
    return value


def conversation_filter(customer: str, conversation: str) -> str:
    """The one spelling of a conversation's fence."""
    return f"steps.{token('customer', customer)}.{token('conversation', conversation)}.>"


def step_subject(customer: str, conversation: str, kind: str) -> str:
    return f"steps.{token('customer', customer)}.{token('conversation', conversation)}.{kind}"


def split_subject(subject: str) -> tuple[str, str, str]:
    """(customer, conversation, kind) of a step's subject; EventError when it is none."""
    words = subject.split(".", 3)
    if len(words) != WORDS or words[0] != "steps":
        raise EventError(
            f"subject {subject!r} is not a step: steps.<customer>.<conversation>.<noun>.<verb>"
        )
    return words[1], words[2], words[3]

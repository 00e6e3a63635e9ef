"""Trace and span ids that derive from the log, so that a span told twice is one span.

A turn is a trace: the caller's own when its message carried a W3C `traceparent`, else one named by
the conversation and the turn. A step is a span, named by its id.
"""

from __future__ import annotations

import hashlib
import re

_PARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")
_NOTHING = re.compile(r"0+")


def trace_id(trace: str, customer: str, conversation: str, turn: int) -> str:
    """32 hexadecimal digits."""
    found = caller(trace)
    return found[0] if found else _hash(f"{customer}/{conversation}/{turn}", 32)


def span_id(step: str) -> str:
    """16 hexadecimal digits, of the step with this id."""
    return _hash(step, 16)


def caller(trace: str) -> tuple[str, str] | None:
    """(trace id, span id) of a `traceparent`; None when it is none."""
    found = _PARENT.fullmatch(trace.strip())
    if found is None or any(_NOTHING.fullmatch(word) for word in found.groups()):
        return None
    return found[1], found[2]


def traceparent(trace: str, customer: str, conversation: str, turn: int, step: str) -> str:
    """What goes along with a call that the step with this id makes."""
    return f"00-{trace_id(trace, customer, conversation, turn)}-{span_id(step)}-01"


def _hash(text: str, digits: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:digits]

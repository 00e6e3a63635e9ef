"""Header names, once: they are case-sensitive, and a wrong one is silently no fence."""

from __future__ import annotations

from datetime import datetime

MSG_ID = "Nats-Msg-Id"
FENCE = "Nats-Expected-Last-Subject-Sequence"
FENCE_SUBJECT = "Nats-Expected-Last-Subject-Sequence-Subject"
SCHEDULE = "Nats-Schedule"
SCHEDULE_TARGET = "Nats-Schedule-Target"
AT = "Stepfold-At"
"""When a payload that cannot say it was recorded."""
TRACEPARENT = "Stepfold-Traceparent"
"""That of the caller whom a step is for: whoever follows the log joins the trace without reading
the step. Of our own, because under the W3C name a client's instrumentation puts its own.
"""
_LINE = f"\r\n{AT}: ".encode()


def recorded(headers: bytes) -> datetime | None:
    """The time under AT in raw headers; None when there is none, or what a stranger put there."""
    if _LINE not in headers:
        return None
    found = headers.partition(_LINE)[2].partition(b"\r\n")[0]
    return moment(found.decode("ascii", "replace"))


def moment(text: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at if at.tzinfo else None

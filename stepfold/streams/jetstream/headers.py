"""Header names, once: they are case-sensitive, and a wrong one is silently no fence."""

from __future__ import annotations

MSG_ID = "Nats-Msg-Id"
FENCE = "Nats-Expected-Last-Subject-Sequence"
FENCE_SUBJECT = "Nats-Expected-Last-Subject-Sequence-Subject"
SCHEDULE = "Nats-Schedule"
SCHEDULE_TARGET = "Nats-Schedule-Target"
AT = "Stepfold-At"
"""When a payload that cannot say it was recorded."""

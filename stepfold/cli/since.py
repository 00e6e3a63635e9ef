"""From when on: `7d` before now, or a day or time of its own."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import typer

UNITS = {"min": "minutes", "h": "hours", "d": "days", "w": "weeks"}
HELP = "From then on: 90min, 24h, 7d, 4w ago, or 2026-01-31 (UTC unless it says otherwise)."
_AGO = re.compile(r"(\d{1,6})(min|h|d|w)")


def moment(text: str, now: datetime) -> datetime:
    """In UTC. typer.BadParameter."""
    if ago := _AGO.fullmatch(text.strip()):
        return now.astimezone(UTC) - _length(text, float(ago[1]), UNITS[ago[2]])
    try:
        told = datetime.fromisoformat(text)
    except ValueError as error:
        raise _refused(text) from error
    return told.astimezone(UTC) if told.tzinfo else told.replace(tzinfo=UTC)


def literal(at: datetime) -> str:
    """As SQL has it in the views, whose times are UTC and say no zone."""
    return f"TIMESTAMP '{at.astimezone(UTC).replace(tzinfo=None).isoformat()}'"


def _length(text: str, number: float, unit: str) -> timedelta:
    length = timedelta(**{unit: number})
    if length > timedelta(days=36_500):
        raise _refused(text)
    return length


def _refused(text: str) -> typer.BadParameter:
    why = f"{text!r} is no time: write 90min, 24h, 7d or 4w ago, or a day such as 2026-01-31"
    return typer.BadParameter(why, param_hint="--since")

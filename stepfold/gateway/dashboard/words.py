"""Values as people read them: money, times, numbers. Pure; the templates use them as filters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec

NOTHING = "–"
SECOND_MS, MINUTE_S, HOUR_S, DAY_S = 1000, 60, 3600, 86_400
CENT, LEAST = Decimal("0.01"), Decimal("0.0001")
JUST_S = 2
SHORT = 12
"""Digits of a digest that are shown where it need not be whole."""


FAILURES: Mapping[str, str] = {
    "approval.expired": "nobody agreed in time",
    "conversation.stopped": "conversation stopped",
    "generation.abandoned": "generation given up",
    "reason.failed": "model failed",
    "retrieval.failed": "search failed",
    "tool.failed": "tool failed",
    "tool.unknown": "outcome unknown",
    "turn.abandoned": "turn given up",
}


def money(cost: Decimal | str | None) -> str:
    """US dollars, to the cent, or to two digits below it; a price nobody knows is not zero."""
    if cost is None:
        return NOTHING
    cost = Decimal(cost)
    if not cost:
        return "$0"
    sign, cost = "-" if cost < 0 else "", abs(cost)
    if cost >= CENT:
        return f"{sign}${cost:,.2f}"
    if cost < LEAST:
        return f"{sign}<${LEAST}"
    digits = f"{cost:.2g}"
    return f"{sign}${Decimal(digits):f}"


def sum_of(costs: Iterable[Decimal | str | None]) -> Decimal | None:
    """Of the known prices. Without any it is nothing where nothing was paid for, else not known."""
    told = list(costs)
    known = [Decimal(each) for each in told if each is not None]
    return sum(known, Decimal(0)) if known or not told else None


def exact(cost: Decimal | str | None) -> str:
    """All digits."""
    if cost is None:
        return "the price is not known"
    sign, text = "-" if Decimal(cost) < 0 else "", f"{abs(Decimal(cost)):f}"
    return f"{sign}$" + (text.rstrip("0").rstrip(".") if "." in text else text)


def lapse(ms: float | None) -> str:
    """A length of time in at most seven characters."""
    if ms is None:
        return NOTHING
    if ms < SECOND_MS - 0.5:
        return f"{ms:.0f} ms"
    seconds = ms / SECOND_MS
    for limit_s, size_s, unit in ((120, 1, "s"), (2 * HOUR_S, 60, "min"), (2 * DAY_S, HOUR_S, "h")):
        if seconds < limit_s:
            return f"{seconds / size_s:.3g} {unit}"
    return f"{seconds / DAY_S:.0f} d"


def moment(at: datetime | str) -> datetime:
    """What the views tell is in UTC and does not say so."""
    found = datetime.fromisoformat(at) if isinstance(at, str) else at
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def ago(at: datetime | str | None, now: datetime) -> str:
    if at is None:
        return NOTHING
    seconds = (now - moment(at)).total_seconds()
    return "just now" if seconds < JUST_S else f"{about(seconds)} ago"


def until(at: datetime | str, now: datetime) -> str:
    seconds = (moment(at) - now).total_seconds()
    return f"{about(seconds)} left" if seconds > 0 else "too late"


def about(seconds: float) -> str:
    """A length of time in one whole number."""
    for limit_s, size_s, unit in ((90, 1, "s"), (90 * MINUTE_S, MINUTE_S, "min")):
        if seconds < limit_s:
            return f"{seconds / size_s:.0f} {unit}"
    if seconds < 2 * DAY_S:
        return f"{seconds / HOUR_S:.0f} h"
    return f"{seconds / DAY_S:.0f} d"


def clock(at: datetime | str | None) -> str:
    return NOTHING if at is None else f"{moment(at):%Y-%m-%d %H:%M:%S}"


def iso(at: datetime | str) -> str:
    """As scripts read it, with its zone."""
    return moment(at).isoformat()


def number(value: int | float | None) -> str:
    if value is None:
        return NOTHING
    return f"{value:,.0f}" if isinstance(value, int) or value >= 100 else f"{value:.3g}"  # noqa: PLR2004


def share(value: float | None) -> str:
    if value is None:
        return NOTHING
    return f"{value:.0%}" if value in (0, 1) or 0.1 <= value < 0.995 else f"{value:.1%}"  # noqa: PLR2004


def count(value: int, noun: str, plural: str = "") -> str:
    return f"{value:,} {noun if value == 1 else plural or noun + 's'}"


def short(digest: str | None) -> str:
    return (digest or "").removeprefix("sha256:")[:SHORT]


def cut(text: str | None, room: int) -> str:
    """In one line of at most `room` characters."""
    line = " ".join((text or "").split())
    return line if len(line) <= room else line[: room - 1].rstrip() + "…"


def cut_text(text: str, room: int) -> str:
    """Its own lines kept."""
    return text if len(text) <= room else f"{text[:room].rstrip()}…"


def pretty(value: Any) -> str:
    """JSON as a person reads it; what the views tell as a text of JSON too."""
    raw = value if isinstance(value, str) else msgspec.json.encode(value)
    try:
        told = msgspec.json.format(raw, indent=2)
    except msgspec.DecodeError:
        return str(value)
    return told if isinstance(told, str) else told.decode()


def failure(kind: str) -> str:
    """The kind of a step that tells of a failure, in plain words."""
    return FAILURES.get(kind, kind)


FILTERS: Mapping[str, Any] = {
    each.__name__: each
    for each in (
        money, exact, lapse, ago, until, clock, iso, number, share, count, short, cut, cut_text,
        pretty, failure,
    )
}  # fmt: skip

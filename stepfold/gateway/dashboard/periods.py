"""How far back a page looks."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from msgspec import Struct


class Period(Struct, frozen=True):
    """`days` 0 is today, None is all there is. `unit` is how times are told apart in a picture. A
    `rolling` one begins so many days before now, not at midnight.
    """

    name: str
    title: str
    days: int | None
    unit: str
    rolling: bool = False

    def since(self, now: datetime) -> datetime:
        """Full minutes and days, so that who asks again asks the same."""
        if self.days is None:
            return datetime(1970, 1, 1, tzinfo=UTC)
        if self.rolling:
            return now.astimezone(UTC).replace(second=0, microsecond=0) - timedelta(days=self.days)
        today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        return today - timedelta(days=self.days)


PERIODS: Mapping[str, Period] = {
    each.name: each
    for each in (
        Period("today", "today", 0, "hour"),
        Period("day", "24 h", 1, "hour", rolling=True),
        Period("week", "7 days", 6, "hour"),
        Period("month", "30 days", 29, "day"),
        Period("all", "all", None, "day"),
    )
}


def before(over: Period, now: datetime) -> datetime | None:
    """When as long a time began as ended when this period did begin; None before all there is."""
    since = over.since(now)
    if over.days is None:
        return None
    return since - (now.replace(second=0, microsecond=0) - since)


def period(name: str, otherwise: str) -> Period:
    return PERIODS.get(name) or PERIODS[otherwise]

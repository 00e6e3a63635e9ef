"""The paid things of a log, one after the other, as the views have them at one position."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from stepfold.app import Opened
from stepfold.cli.since import literal
from stepfold.cli.viewing import Question, ask_views
from stepfold.events.values import Usage
from stepfold.providers.models import Prices
from stepfold.settings import Settings

PAGE = 10_000


class Line(Struct, frozen=True):
    """One paid thing, a row of the view `spend`; what is null there is empty here."""

    position: int
    item: int
    recorded_at: datetime
    customer: str
    conversation: str
    provider: str
    model: str
    tier: str
    usage: str | None
    cost_usd: Decimal | None
    unpriced: bool
    price_book: str

    @property
    def used(self) -> bool:
        """Was there anything to pay for, or may there have been?"""
        return self.unpriced or self.cost_usd is not None

    def price(self, book: Prices) -> Decimal | None:
        """In another book; its own where the model brought that itself. None when not known."""
        if self.cost_usd is not None and not self.price_book:
            return self.cost_usd
        if not (self.used and self.usage and self.provider):
            return None
        usage = msgspec.json.decode(self.usage, type=Usage)
        told = book.price(
            usage, provider=self.provider, model=self.model, at=self.recorded_at, tier=self.tier
        )
        return told[0] if told else None


class Page(Struct, frozen=True):
    position: int
    lines: Sequence[Line]


async def pages(found: Opened, here: Settings, since: datetime | None) -> AsyncIterator[Page]:
    """Every paid thing since then, in the order of the log, as it was when the first was read."""
    begin = f" AND recorded_at >= {literal(since)}" if since is not None else ""
    at, as_of, more = (0, 0), None, True
    while more:
        sql = _query(at) + begin + f" ORDER BY position, item LIMIT {PAGE}"
        told = await ask_views(found, here, Question(sql, "json", as_of, rows_max=PAGE))
        as_of = told.about.position if as_of is None else as_of
        lines = [_in_utc(line) for line in msgspec.json.decode(told.body, type=list[Line])]
        more = len(lines) == PAGE
        at = (lines[-1].position, lines[-1].item) if lines else at
        yield Page(as_of, lines)


def _query(after: tuple[int, int]) -> str:
    """Of `_log.paid`, which is `spend` without its joins. What never went out was not paid for."""
    position, item = after
    return f"""
        SELECT
            position, item, recorded_at, customer, conversation, coalesce(provider, '') AS provider,
            model, coalesce(tier, '') AS tier, usage, cost_usd, unpriced,
            coalesce(price_book, '') AS price_book
        FROM _log.paid
        WHERE outcome <> 'unsent'
            AND position >= {position} AND (position > {position} OR item > {item})
    """


def _in_utc(line: Line) -> Line:
    return replace(line, recorded_at=line.recorded_at.replace(tzinfo=UTC))

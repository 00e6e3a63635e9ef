"""`stepfold reprice`: history at other prices. The log is read, never written.

The result lies beside the views and not in them: they are a fold over the log, so that a rebuild
equals what has grown, and a book of prices is no step.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec import Struct

from stepfold.app import opened
from stepfold.cli.ledger import Line, pages
from stepfold.cli.options import Data, Json
from stepfold.cli.screen import count, cut, paragraph, price, say, say_json, table, width
from stepfold.cli.since import HELP, moment
from stepfold.cli.where import existing
from stepfold.providers.prices import Book, load_prices
from stepfold.providers.rates import plain, total
from stepfold.settings import Settings

if TYPE_CHECKING:
    from stepfold.projections.views.repriced import Kept, Repricing

NARROW = 100
"""Columns; with fewer, a row takes several lines."""
BOOKS = ("recorded", "current", "given")


class Priced(Struct, frozen=True):
    """A paid thing, and what it costs in two other books; None = nothing to pay, or unpriced."""

    line: Line
    current: Decimal | None
    given: Decimal | None


class Amount(Struct, frozen=True):
    """The sum of the known prices; `unpriced` paid things are not in it."""

    usd: Decimal | None = None
    unpriced: int = 0

    def plus(self, usd: Decimal | None, unpriced: int = 0) -> Amount:
        known = [each for each in (self.usd, usd) if each is not None]
        return Amount(plain(total(known)) if known else None, self.unpriced + unpriced)


class Row(Struct, frozen=True):
    """What a model cost: as it was recorded, in the book of today, in the given one."""

    provider: str = ""
    model: str = ""
    calls: int = 0
    recorded: Amount = Amount()
    current: Amount = Amount()
    given: Amount = Amount()

    @property
    def amounts(self) -> tuple[Amount, Amount, Amount]:
        return self.recorded, self.current, self.given

    def plus(self, calls: int, amounts: Iterable[Amount]) -> Row:
        pairs = zip(self.amounts, amounts, strict=True)
        sums = (mine.plus(more.usd, more.unpriced) for mine, more in pairs)
        return Row(self.provider, self.model, self.calls + calls, *sums)


class Repriced(Struct, frozen=True):
    """`books` are the current and the given one; `file` is empty after a dry run."""

    books: tuple[str, str]
    since: datetime | None
    position: int
    rows: tuple[Row, ...]
    total: Row
    file: str


def reprice(
    *,
    book: Annotated[
        Path, typer.Option(metavar="FILE", help="Prices, as prices.toml has them (docs/ledger.md).")
    ],
    since: Annotated[str | None, typer.Option(metavar="TIME", help=HELP)] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say it.")] = False,
    data: Data = None,
    json: Json = False,
) -> None:
    """Price history again, with other books of prices.

    As recorded, with the book of today, and with that of FILE. Nothing is written to the log. Each
    paid thing with its three prices is kept as Parquet in the folder `repriced`, beside the views.
    """
    here = existing(data)
    begin = moment(since, datetime.now(UTC)) if since is not None else None
    current, given = load_prices(here.prices), load_prices(book)
    done = asyncio.run(_reprice(here, current, given, begin, keep=not dry_run))
    if json:
        say_json(done)
    else:
        _say(done)


async def _reprice(
    here: Settings, current: Book, given: Book, since: datetime | None, *, keep: bool
) -> Repriced:
    rows: dict[tuple[str, str], Row] = {}
    position, file = 0, ""
    with ExitStack() as stack:
        kept = stack.enter_context(_keeping(here, given)) if keep else None
        async with opened(here) as found:
            async for page in pages(found, here, since):
                priced = await asyncio.to_thread(_price, page.lines, current, given)
                _add(rows, priced)
                if kept is not None:
                    kept.add([_kept(each) for each in priced])
                    file = str(kept.file)
                position = page.position
    books = (current.name, given.name)
    dearest = sorted(
        rows.values(), key=lambda row: (-(row.given.usd or 0), row.provider, row.model)
    )
    return Repriced(books, since, position, tuple(dearest), _whole(dearest), file)


def _keeping(here: Settings, given: Book) -> AbstractContextManager[Kept]:
    from stepfold.projections.views.repriced import keeping

    return keeping(here.folder, given.name)


def _kept(each: Priced) -> Repricing:
    from stepfold.projections.views.repriced import Repricing

    line = each.line
    return Repricing(
        line.position,
        line.item,
        line.recorded_at,
        line.customer,
        line.conversation,
        line.provider,
        line.model,
        line.cost_usd,
        each.current,
        each.given,
    )


def _price(lines: Iterable[Line], current: Book, given: Book) -> list[Priced]:
    return [Priced(line, line.price(current), line.price(given)) for line in lines]


def _add(rows: dict[tuple[str, str], Row], priced: Iterable[Priced]) -> None:
    for each in priced:
        line = each.line
        name = line.provider, line.model
        told = (line.cost_usd, each.current, each.given)
        amounts = [Amount(usd, int(usd is None and line.used)) for usd in told]
        rows[name] = rows.get(name, Row(*name)).plus(1, amounts)


def _whole(rows: Iterable[Row]) -> Row:
    whole = Row()
    for row in rows:
        whole = whole.plus(row.calls, row.amounts)
    return whole


# -- on the screen ------------------------------------------------------------------------------


def _say(done: Repriced) -> None:
    if not done.total.calls:
        say("nothing was paid for")
        return
    rows = (*done.rows, done.total)
    if width() < NARROW:
        _say_narrow(rows)
    else:
        cells = (
            (_name(row), f"{row.calls:,}", *map(_usd, row.amounts), _lack(row)) for row in rows
        )
        say(table(("model", "calls", *BOOKS, "unpriced"), cells, numbers=range(1, 6)))
    current, given = done.books
    say(paragraph(f"current: {current}", rest="  "), dim=True)
    say(paragraph(f"given: {given}", rest="  "), dim=True)
    if done.file:
        say(paragraph(f"kept in {done.file}", rest="  "))


def _say_narrow(rows: Sequence[Row]) -> None:
    for row in rows:
        say(cut(f"{_name(row)}, {count(row.calls, 'call')}", width() - 1), bold=not row.model)
        for book, amount in zip(BOOKS, row.amounts, strict=True):
            lack = f", {amount.unpriced:,} unpriced" if amount.unpriced else ""
            say(paragraph(f"{book} {_usd(amount)}{lack}", first="  ", rest="  "), dim=True)


def _name(row: Row) -> str:
    return "/".join(word for word in (row.provider, row.model) if word) or "all"


def _usd(amount: Amount) -> str:
    return price(amount.usd if amount.unpriced else amount.usd or Decimal(0))


def _lack(row: Row) -> str:
    """In each of the three books; empty where each knows all prices."""
    lacks = [each.unpriced for each in row.amounts]
    return ", ".join(f"{lack:,}" for lack in lacks) if any(lacks) else ""

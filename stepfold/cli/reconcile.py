"""`stepfold reconcile`: a provider's invoice against the ledger, line by line."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from msgspec import Struct

from stepfold.app import opened
from stepfold.cli.costs import UNPRICED
from stepfold.cli.exits import REFUSED, CommandRefused
from stepfold.cli.invoice import Item, read_invoice
from stepfold.cli.options import Data, Json
from stepfold.cli.screen import count, cut, paragraph, price, say, say_json, table, width
from stepfold.cli.viewing import Question, ask_views
from stepfold.cli.where import existing
from stepfold.providers.overrides import model_named
from stepfold.providers.rates import plain, total
from stepfold.settings import Settings

NARROW = 100
"""Columns; with fewer, a line takes two."""
CELLS_MAX = 100_000
"""Models times days of one invoice."""


class Cell(Struct, frozen=True):
    """What one model cost on one day, as it was recorded."""

    provider: str
    model: str
    day: date
    calls: int
    unpriced: int
    cost_usd: Decimal | None


class Compared(Struct, frozen=True):
    """A line of the invoice, or (`invoiced` None) what was used in its days and is on none.
    `difference` is what the invoice says beyond the ledger, which lacks `unpriced` calls; both are
    None when nobody knows the price of any of its calls. `differs`: by more than the tolerance. A
    line that cannot be compared neither differs nor agrees.
    """

    provider: str
    model: str
    period: str
    invoiced: Decimal | None
    recorded: Decimal | None
    difference: Decimal | None
    calls: int
    unpriced: int
    differs: bool
    agrees: bool


class Reconciled(Struct, frozen=True):
    position: int
    tolerance: str
    lines: tuple[Compared, ...]
    agrees: bool


class Tolerance(Struct, frozen=True):
    """US dollars, or a share of what is invoiced."""

    number: Decimal
    share: bool

    def holds(self, difference: Decimal, invoiced: Decimal) -> bool:
        limit = self.number * abs(invoiced) / 100 if self.share else self.number
        return difference.copy_abs() <= limit


def reconcile(
    *,
    invoice: Annotated[
        Path,
        typer.Option(metavar="FILE", help="CSV or JSON: provider, model, period (or day), amount."),
    ],
    tolerance: Annotated[
        str, typer.Option(metavar="USD", help="What no line may differ by more: 0.01, or 1%.")
    ] = "0.01",
    data: Data = None,
    json: Json = False,
) -> None:
    """Compare an invoice with what was recorded, in its days (UTC).

    A model that was used in the days of the invoice and is not on it is a difference too, and so is
    a line whose price nobody knows. Exit code 1 when a line differs by more than the tolerance.
    """
    allowed = _tolerance(tolerance)
    items = read_invoice(invoice)
    done = asyncio.run(_reconcile(existing(data), items, allowed, tolerance))
    if json:
        say_json(done)
    else:
        _say(done)
    if not done.agrees:
        raise typer.Exit(REFUSED)


def _tolerance(text: str) -> Tolerance:
    try:
        number = Decimal(text.removesuffix("%"))
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or number < 0:
        why = f"{text!r} is none: write US dollars, such as 0.01, or a share, such as 1%"
        raise typer.BadParameter(why, param_hint="--tolerance")
    return Tolerance(number, text.endswith("%"))


async def _reconcile(
    here: Settings, items: Sequence[Item], allowed: Tolerance, tolerance: str
) -> Reconciled:
    async with opened(here) as found:
        question = Question(_query(items), "json", rows_max=CELLS_MAX)
        told = await ask_views(found, here, question)
    if told.about.truncated:
        raise CommandRefused(f"more than {CELLS_MAX:,} models and days: compare fewer days at once")
    cells = msgspec.json.decode(told.body, type=list[Cell])
    lines = tuple(compare(items, cells, allowed))
    agrees = all(line.agrees for line in lines)
    return Reconciled(told.about.position, tolerance, lines, agrees)


def _query(items: Sequence[Item]) -> str:
    """Of `_log.paid`, which is `spend` without its joins. What never went out was not paid for."""
    first = min(item.first for item in items)
    end = max(item.last for item in items) + timedelta(days=1)
    return f"""
        SELECT
            coalesce(provider, '') AS provider, model, recorded_at::DATE AS day,
            count(*) AS calls, count(*) FILTER (unpriced) AS unpriced, sum(cost_usd) AS cost_usd
        FROM _log.paid
        WHERE outcome <> 'unsent'
            AND recorded_at >= TIMESTAMP '{first}' AND recorded_at < TIMESTAMP '{end}'
        GROUP BY ALL
        ORDER BY ALL
    """


def compare(items: Sequence[Item], cells: Sequence[Cell], allowed: Tolerance) -> Iterator[Compared]:
    """Each cell counts for one line: that which says most of its model."""
    mine: dict[str, list[Cell]] = defaultdict(list)
    strays: dict[tuple[str, str], list[Cell]] = defaultdict(list)
    for cell in cells:
        provider, model = cell.provider.lower(), model_named(cell.model)
        fitting = [item for item in items if item.fits(provider, model, cell.day)]
        if fitting:
            mine[max(fitting, key=lambda item: item.narrow).place].append(cell)
        elif any(item.provider == provider and _within(item, cell.day) for item in items):
            strays[provider, model].append(cell)
    for item in items:
        yield _compared(item.provider, item.model, item.period, mine[item.place], allowed, item)
    for (provider, model), found in strays.items():
        days = sorted(cell.day for cell in found)
        period = f"{days[0]}..{days[-1]}" if days[0] != days[-1] else f"{days[0]}"
        line = _compared(provider, model, period, found, allowed)
        if line.recorded or line.unpriced:
            yield line


def _within(item: Item, day: date) -> bool:
    return item.first <= day <= item.last


def _compared(
    provider: str,
    model: str,
    period: str,
    cells: Sequence[Cell],
    allowed: Tolerance,
    item: Item | None = None,
) -> Compared:
    unpriced = sum(cell.unpriced for cell in cells)
    recorded = _recorded(cells, unpriced)
    invoiced = item.amount if item else None
    billed, difference, differs = invoiced or Decimal(0), None, False
    if recorded is not None:
        difference = plain(total((billed, recorded.copy_negate())))
        differs = not allowed.holds(difference, billed)
    unknown = recorded is None or (item is None and unpriced > 0)
    return Compared(
        provider=provider,
        model=model,
        period=period,
        invoiced=invoiced,
        recorded=recorded,
        difference=difference,
        calls=sum(cell.calls for cell in cells),
        unpriced=unpriced,
        differs=differs,
        agrees=not differs and not unknown,
    )


def _recorded(cells: Sequence[Cell], unpriced: int) -> Decimal | None:
    """The sum of the known prices; None when none is known, and something was used."""
    known = [cell.cost_usd for cell in cells if cell.cost_usd is not None]
    return None if unpriced and not known else plain(total(known))


# -- on the screen ------------------------------------------------------------------------------


def _say(done: Reconciled) -> None:
    if width() < NARROW:
        for line in done.lines:
            _say_narrow(line)
    else:
        head = ("", "model", "period", "invoiced", "recorded", "difference", "unpriced")
        say(table(head, map(_cells, done.lines), numbers=range(3, 7)))
    say(paragraph(_verdict(done)))
    if any(line.unpriced for line in done.lines if not line.agrees):
        say(paragraph(f"calls without a price are in no sum: {UNPRICED}"))


def _verdict(done: Reconciled) -> str:
    if done.agrees:
        return f"all agree within {done.tolerance}"
    lines = count(len(done.lines), "line")
    wrong = sum(line.differs for line in done.lines)
    unknown = sum(not line.agrees for line in done.lines) - wrong
    verb = "differs" if wrong == 1 else "differ"
    told = [f"{wrong} of {lines} {verb} by more than {done.tolerance}"] if wrong else []
    if unknown:
        told.append(f"{unknown} of {lines} cannot be compared: calls without a price")
    return "; ".join(told)


def _say_narrow(line: Compared) -> None:
    say(cut(f"{_mark(line)} {_name(line)} {line.period}", width() - 1), bold=not line.agrees)
    lack = f", {count(line.unpriced, 'call')} unpriced" if line.unpriced else ""
    amounts = f"invoiced {_invoiced(line)}, recorded {price(line.recorded)}"
    say(paragraph(f"{amounts}, difference {signed(line)}{lack}", first="  ", rest="  "), dim=True)


def _cells(line: Compared) -> tuple[str, ...]:
    amounts = (_invoiced(line), price(line.recorded), signed(line))
    return (_mark(line), _name(line), line.period, *amounts, f"{line.unpriced or ''}")


def _mark(line: Compared) -> str:
    if line.agrees:
        return "✓"
    return "✗" if line.differs else "?"


def _name(line: Compared) -> str:
    return f"{line.provider}/{line.model or '*'}"


def _invoiced(line: Compared) -> str:
    return "not on it" if line.invoiced is None else price(line.invoiced)


def signed(line: Compared) -> str:
    if line.difference is None:
        return price(None)
    sign = "+" if line.difference > 0 else "−" if line.difference < 0 else ""  # noqa: RUF001
    return sign + price(line.difference.copy_abs())

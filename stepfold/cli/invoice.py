"""An invoice: what a provider wants for its models, in days. CSV with a head, or a list in JSON.

provider,model,period,amount
openai,gpt-5-mini,2026-10,12.34
anthropic,,2026-10-01..2026-10-15,5
"""

from __future__ import annotations

import calendar
import csv
import io
import json
import re
from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal, InvalidOperation
from fnmatch import fnmatchcase
from pathlib import Path

from msgspec import Struct

from stepfold.cli.exits import CommandRefused
from stepfold.providers.overrides import CURRENCY, model_named

COLUMNS = ("provider", "model", "period", "amount", "currency")
_MONTH = re.compile(r"(\d{4})-(\d{2})")


class InvoiceRefused(CommandRefused):
    """A file that is no invoice; each mistake has its place."""


class Item(Struct, frozen=True):
    """`model` may hold `*`; empty = whatever no other item of this provider names. `amount` is in
    US dollars, `first` and `last` are days, UTC.
    """

    place: str
    provider: str
    model: str
    first: date
    last: date
    amount: Decimal

    def fits(self, provider: str, model: str, day: date) -> bool:
        mine = provider == self.provider and self.first <= day <= self.last
        return mine and (not self.model or fnmatchcase(model, self.model))

    @property
    def narrow(self) -> tuple[bool, int]:
        """The greater, the more it says of a model."""
        return bool(self.model) and "*" not in self.model, len(self.model)

    @property
    def period(self) -> str:
        return f"{self.first}" if self.first == self.last else f"{self.first}..{self.last}"


def read_invoice(path: Path) -> tuple[Item, ...]:
    """InvoiceRefused."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvoiceRefused(f"{path}: it is not UTF-8: save it as UTF-8") from error
    items: list[Item] = []
    for place, row in _rows(path, text):
        item = _item(place, row)
        _once(item, items)
        items.append(item)
    if not items:
        raise InvoiceRefused(f"{path}: it has no lines: one for each of {', '.join(COLUMNS[:4])}")
    return tuple(items)


def _rows(path: Path, text: str) -> Iterator[tuple[str, Mapping[str, str]]]:
    if text.lstrip().startswith(("[", "{")):
        yield from _objects(path, text)
        return
    lines = csv.DictReader(io.StringIO(text), skipinitialspace=True)
    for row in lines:
        place = f"{path}:{lines.line_num}"
        if None in row:
            raise InvoiceRefused(f"{place}: it has more values than the head has names")
        yield place, {name: value or "" for name, value in row.items()}


def _objects(path: Path, text: str) -> Iterator[tuple[str, Mapping[str, str]]]:
    try:
        told = json.loads(text, parse_float=str, parse_int=str)
    except json.JSONDecodeError as error:
        raise InvoiceRefused(f"{path}:{error.lineno}: it is not JSON: {error.msg}") from error
    if not isinstance(told, list) or not all(isinstance(each, dict) for each in told):
        raise InvoiceRefused(f"{path}: it is no list of objects: [{{...}}, {{...}}]")
    for number, each in enumerate(told, start=1):
        yield (
            f"{path}, item {number}",
            {name: "" if value is None else str(value) for name, value in each.items()},
        )


def _item(place: str, row: Mapping[str, str]) -> Item:
    told = {name.strip().lower(): value.strip() for name, value in row.items()}
    if "day" in told:
        told["period"] = told.pop("day") or told.get("period", "")
    if unknown := sorted(told.keys() - set(COLUMNS)):
        raise InvoiceRefused(f"{place}: unknown {unknown[0]!r} (known: {', '.join(COLUMNS)}, day)")
    if not told.get("provider"):
        raise InvoiceRefused(f"{place}: it names no provider, such as openai")
    currency = told.get("currency") or CURRENCY
    if currency.upper() != CURRENCY:
        raise InvoiceRefused(f"{place}: it is in {currency}: give the amount in {CURRENCY}")
    first, last = _period(place, told.get("period", ""))
    amount = _amount(place, told.get("amount", ""))
    model = model_named(told.get("model", ""))
    return Item(place, told["provider"].lower(), model, first, last, amount)


def _period(place: str, text: str) -> tuple[date, date]:
    try:
        if month := _MONTH.fullmatch(text):
            year, number = int(month[1]), int(month[2])
            days = calendar.monthrange(year, number)[1]
            return date(year, number, 1), date(year, number, days)
        begin, _, end = text.partition("..")
        first, last = date.fromisoformat(begin), date.fromisoformat(end or begin)
    except ValueError as error:
        raise InvoiceRefused(_no_period(place, text)) from error
    if first > last:
        raise InvoiceRefused(_no_period(place, text))
    return first, last


def _no_period(place: str, text: str) -> str:
    return f"{place}: {text!r} is no period: write 2026-01-31, 2026-01, or 2026-01-01..2026-01-15"


def _amount(place: str, text: str) -> Decimal:
    try:
        amount = Decimal(text.removeprefix("$"))
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite():
        raise InvoiceRefused(f"{place}: {text!r} is no amount: write US dollars, such as 12.34")
    return amount


def _once(item: Item, others: list[Item]) -> None:
    for other in others:
        same = (other.provider, other.model) == (item.provider, item.model)
        if same and item.first <= other.last and other.first <= item.last:
            what = f"{item.provider}/{item.model or 'all models'}"
            raise InvoiceRefused(
                f"{item.place}: {what} has some of these days already ({other.place}):"
                " add them up, or keep their days apart"
            )

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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal, InvalidOperation
from fnmatch import fnmatchcase
from pathlib import Path

from msgspec import Struct

from stepfold.cli.exits import CommandRefused
from stepfold.providers.overrides import CURRENCY, model_named

COLUMNS = ("provider", "model", "period", "amount", "currency")
Row = Mapping[str, str]
_MONTH = re.compile(r"(\d{4})-(\d{2})")
_OTHER = re.compile(r"[;\t|]")
"""What some write in the place of a comma."""
_GROUPED = re.compile(r"-?\$?\d{1,3}(?:[,_ ]\d{3})+(?:\.\d+)?")
_MONEY = re.compile(r"([A-Za-z]{3}|[€£¥])\s*-?[\d.,]+|-?[\d.,]+\s*([A-Za-z]{3}|[€£¥])")


class InvoiceRefused(CommandRefused):
    """A file that is no invoice. `problems` are lines, each with its place and a way out."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


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
    reading = _Reading(path)
    items = tuple(reading.items(text))
    if reading.problems:
        raise InvoiceRefused(*reading.problems)
    if not items:
        raise InvoiceRefused(f"{path}: it has no lines: one for each of {', '.join(COLUMNS[:4])}")
    return items


class _Reading:
    """The items of one file, and everything that is wrong with them."""

    def __init__(self, path: Path) -> None:
        self.problems: list[str] = []
        self._path = path
        self._seen: list[Item] = []

    def items(self, text: str) -> Iterator[Item]:
        json_like = text.lstrip().startswith(("[", "{"))
        for place, row in self._objects(text) if json_like else self._rows(text):
            item = self._item(place, row)
            if item is not None and self._once(item):
                self._seen.append(item)
                yield item

    def _rows(self, text: str) -> Iterator[tuple[str, Row]]:
        lines = csv.DictReader(io.StringIO(text), skipinitialspace=True)
        try:
            if text and not self._head(lines.fieldnames or ()):
                return
            for row in lines:
                place = f"{self._path}:{lines.line_num}"
                if None in row or row.get(""):
                    why = "it has more values than the head has names"
                    self._wrong(place, f"{why}: write amounts without commas, such as 1234.50")
                else:
                    yield place, _lower({name: value or "" for name, value in row.items()})
        except csv.Error as error:
            self._wrong(f"{self._path}:{lines.line_num + 1}", f"it is not CSV: {error}")

    def _head(self, names: Sequence[str]) -> bool:
        """Can the lines below be read? What is wrong with the head is told once, not on each."""
        told, place = [name.strip().lower() for name in names], f"{self._path}:1"
        if len(told) == 1 and (other := _OTHER.search(told[0])):
            mark = "tabs" if other[0] == "\t" else repr(other[0])
            self._wrong(place, f"it is separated by {mark}: separate by commas")
            return False
        before = len(self.problems)
        self._known(place, filter(None, told))
        for name in dict.fromkeys(name for name in told if told.count(name) > 1):
            self._wrong(place, f"the head names {name!r} twice: leave one out")
        lacks = [name for name in ("provider", "amount") if name not in told]
        if not {"period", "day"} & set(told):
            lacks.append("period")
        if lacks:
            why = f"the head lacks {', '.join(lacks)}"
            self._wrong(place, f"{why}: begin the file with {','.join(COLUMNS[:4])}")
        return len(self.problems) == before

    def _objects(self, text: str) -> Iterator[tuple[str, Row]]:
        try:
            told = json.loads(text, parse_float=str, parse_int=str)
        except json.JSONDecodeError as error:
            self._wrong(f"{self._path}:{error.lineno}", f"it is not JSON: {error.msg}")
            return
        if not isinstance(told, list) or not all(isinstance(each, dict) for each in told):
            self._wrong(f"{self._path}", "it is no list of objects: [{...}, {...}]")
            return
        for number, each in enumerate(told, start=1):
            row = _lower({key: "" if value is None else str(value) for key, value in each.items()})
            if self._known(f"{self._path}, item {number}", row):
                yield f"{self._path}, item {number}", row

    # -- one item -----------------------------------------------------------------------------

    def _item(self, place: str, row: Row) -> Item | None:
        before = len(self.problems)
        provider = row.get("provider", "").lower()
        if not provider:
            self._wrong(place, "it names no provider, such as openai")
        currency = row.get("currency") or CURRENCY
        if currency.upper() != CURRENCY:
            self._wrong(place, f"it is in {currency}: give the amount in {CURRENCY}")
        days = self._period(place, row.get("day") or row.get("period", ""))
        amount = self._amount(place, row.get("amount", ""))
        if len(self.problems) > before or days is None or amount is None:
            return None
        model = model_named(row.get("model", "")).removeprefix(f"{provider}/")
        return Item(place, provider, model, *days, amount)

    def _period(self, place: str, text: str) -> tuple[date, date] | None:
        days = _days(text)
        if days is None:
            why = "write 2026-01-31, 2026-01, or 2026-01-01..2026-01-15"
            self._wrong(place, f"{text!r} is no period: {why}")
        return days

    def _amount(self, place: str, text: str) -> Decimal | None:
        try:
            amount = Decimal(text.removeprefix("$"))
        except InvalidOperation:
            amount = Decimal("NaN")
        if amount.is_finite() and "_" not in text:
            return amount
        self._wrong(place, f"{text!r} is no amount: {_way_out(text)}")
        return None

    def _once(self, item: Item) -> bool:
        for other in self._seen:
            same = (other.provider, other.model) == (item.provider, item.model)
            if same and item.first <= other.last and other.first <= item.last:
                what = f"{item.provider}/{item.model or 'all models'}"
                why = f"{what} has some of these days already ({other.place})"
                self._wrong(item.place, f"{why}: add them up, or keep their days apart")
                return False
        return True

    def _known(self, place: str, names: Iterable[str]) -> bool:
        unknown = sorted(set(names) - {*COLUMNS, "day"})
        for name in unknown:
            self._wrong(place, f"unknown {name!r} (known: {', '.join(COLUMNS)}, day)")
        return not unknown

    def _wrong(self, place: str, why: str) -> None:
        self.problems.append(f"{place}: {why}")


def _lower(row: Row) -> Row:
    return {name.strip().lower(): value.strip() for name, value in row.items()}


def _days(text: str) -> tuple[date, date] | None:
    """The first and the last; None when it is no period."""
    try:
        if month := _MONTH.fullmatch(text):
            year, number = int(month[1]), int(month[2])
            days = calendar.monthrange(year, number)[1]
            return date(year, number, 1), date(year, number, days)
        begin, _, end = text.partition("..")
        first, last = date.fromisoformat(begin), date.fromisoformat(end or begin)
    except ValueError:
        return None
    return (first, last) if first <= last else None


def _way_out(text: str) -> str:
    if money := _MONEY.fullmatch(text):
        unit = (money[1] or money[2]).upper()
        return "write the number alone" + (f", in {CURRENCY}" if unit != CURRENCY else "")
    if _GROUPED.fullmatch(text):
        return f"write it without marks for the thousands: {re.sub('[$,_ ]', '', text)}"
    return "write US dollars, such as 12.34"

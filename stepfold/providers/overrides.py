"""`prices.toml`: dated rates that win over the book's. docs/ledger.md describes the file.

PricesRefused    the file means nothing, or cannot be read; it names every mistake with its line
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from stepfold.providers.rates import BILLED_TOKENS, PARTS, REQUEST, Card, Rate
from stepfold.providers.toml_lines import Lines, Place

CURRENCY = "USD"
DECIMALS_MAX = 12
"""Of a rate: so every amount fits the 18 decimals that the views have."""
RATE_MAX = 10**9

STANDARD = frozenset({"default", "standard", "on_demand"})
"""The service tier that has no name of its own here, as the providers call it."""

_TOP = ("currency", "price")
_NAMED = ("provider", "model", "from", "tier", "currency", "each", "above")
_UNIT = re.compile(r"[a-z][a-z0-9_]*")
_DATED = re.compile(r"[@-](?:20\d{2}-?\d{2}-?\d{2}|\d{2}-20\d{2})$")


def model_named(told: str) -> str:
    """A model's name as rates are looked up by: without the path that Google puts before it."""
    return told.rpartition("models/")[2].lower()


def tier_named(told: str) -> str:
    """A service tier as rates are looked up by; empty for the standard one."""
    word = told.lower().removeprefix("on_demand_")
    return "" if word in STANDARD else word


class PricesRefused(Exception):
    """A file of prices that means nothing. `problems` are lines, each with its place and a way
    out.
    """

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Override(Struct, frozen=True):
    """Rates that hold from a day on; None = ever. `model` may hold `*`."""

    provider: str
    model: str
    since: date | None
    tier: str
    card: Card

    def fits(self, provider: str, model: str, day: date, tier: str) -> bool:
        mine = (self.provider, self.tier) == (provider, tier)
        return mine and (self.since is None or self.since <= day) and self.names(model)

    def names(self, model: str) -> bool:
        """Is it this model, or a snapshot of it that a date is the name of?"""
        if "*" in self.model:
            return fnmatchcase(model, self.model)
        return self.model in (model, _DATED.sub("", model))

    def narrow(self, model: str) -> tuple[bool, bool, int, date]:
        """The greater, the better it fits: the name itself, the one without a date, the longer
        pattern; and of those the later day.
        """
        pattern = "*" in self.model
        return model == self.model, not pattern, len(self.model), self.since or date.min


class Overrides(Struct, frozen=True):
    """`digest` is of what they say, not of how it is written; empty when there are none."""

    entries: tuple[Override, ...] = ()
    digest: str = ""

    def find(self, provider: str, model: str, day: date, tier: str) -> Card | None:
        """The rates of the one entry that fits best. `tier` is empty for the standard one."""
        fitting = [each for each in self.entries if each.fits(provider, model, day, tier)]
        best = max(fitting, key=lambda each: each.narrow(model), default=None)
        return best.card if best else None


def read_overrides(path: Path) -> Overrides:
    """PricesRefused."""
    try:
        text = path.read_text(encoding="utf-8")
        told = tomllib.loads(text, parse_float=Decimal)
    except OSError as error:
        raise PricesRefused((f"{path}: {error.strerror}",)) from error
    except UnicodeDecodeError as error:
        raise PricesRefused((f"{path}: it is not UTF-8: save it as UTF-8",)) from error
    except tomllib.TOMLDecodeError as error:
        raise PricesRefused((_syntax(path, str(error)),)) from error
    reading = _Reading(path, Lines(text))
    entries = tuple(reading.entries(told))
    if reading.problems:
        raise PricesRefused(reading.in_order())
    return Overrides(entries, _digest(entries))


def _digest(entries: tuple[Override, ...]) -> str:
    canonical = msgspec.json.encode(sorted(map(msgspec.to_builtins, entries), key=str))
    return "sha256:" + hashlib.sha256(canonical).hexdigest()[:16]


def _syntax(path: Path, why: str) -> str:
    line = re.search(r"at line (\d+)", why)
    return f"{path}:{line[1] if line else 1}: it is not TOML: {why}"


class _Reading:
    """The entries of one file, and everything that is wrong with them."""

    def __init__(self, path: Path, lines: Lines) -> None:
        self.problems: list[tuple[int, str]] = []
        self._path = path
        self._lines = lines
        self._seen: dict[tuple[object, ...], Place] = {}

    def in_order(self) -> tuple[str, ...]:
        return tuple(f"{self._path}:{line}: {why}" for line, why in sorted(self.problems))

    def entries(self, told: Mapping[str, Any]) -> Iterator[Override]:
        self._unknown((), told, _TOP)
        self._currency((), told)
        prices = told.get("price", [])
        if not isinstance(prices, list):
            self._wrong(("price",), "`price` is a list: write [[price]]")
            return
        for number, price in enumerate(prices):
            found = self._entry(("price", number), price)
            if found is not None:
                yield found

    def _entry(self, at: Place, price: Any) -> Override | None:
        before = len(self.problems)
        if not isinstance(price, Mapping):
            self._wrong(at, "a price is a table: write [[price]] and its keys below it")
            return None
        self._unknown(at, price, (*_NAMED, *PARTS))
        self._currency(at, price)
        entry = Override(
            provider=self._word(at, price, "provider", needed=True).lower(),
            model=model_named(self._word(at, price, "model", needed=True)),
            since=self._since(at, price),
            tier=tier_named(self._word(at, price, "tier")),
            card=Card(self._tokens(at, price), self._each(at, price)),
        )
        if not price.keys() & {*PARTS, "each"}:
            known = ", ".join(PARTS)
            self._wrong(at, f"it names no rate: give one of {known}, or a unit under [price.each]")
        if len(self.problems) > before:
            return None
        self._once(at, entry)
        return entry

    def _once(self, at: Place, entry: Override) -> None:
        first = self._seen.setdefault((entry.provider, entry.model, entry.tier, entry.since), at)
        if first != at:
            why = f"line {self._lines.of(first)} has a price of this model from this day already"
            self._wrong(at, f"{why}: leave one out, or give another `from`")

    # -- values -------------------------------------------------------------------------------

    def _tokens(self, at: Place, price: Mapping[str, Any]) -> dict[str, Rate]:
        base = self._rates(at, price, [kind for kind in PARTS if kind in price])
        above = list(self._above(at, price))
        return {
            kind: Rate(rate, tuple((n, rates[kind]) for n, rates in above if kind in rates))
            for kind, rate in base.items()
        }

    def _above(
        self, at: Place, price: Mapping[str, Any]
    ) -> Iterator[tuple[int, dict[str, Decimal]]]:
        tiers = price.get("above", [])
        if not isinstance(tiers, list) or not all(isinstance(each, Mapping) for each in tiers):
            self._wrong((*at, "above"), "`above` is a list of tables: write [[price.above]]")
            return
        last = 0
        for number, tier in enumerate(tiers):
            place = (*at, "above", number)
            self._unknown(place, tier, ("tokens", *PARTS))
            for kind in tier.keys() & PARTS.keys() - price.keys():
                self._wrong((*place, kind), f"{kind!r} has no rate below: give one in [[price]]")
            last = self._start(place, tier, last)
            yield last, self._rates(place, tier, [kind for kind in PARTS if kind in tier])

    def _start(self, at: Place, tier: Mapping[str, Any], last: int) -> int:
        """From how many tokens of input on it holds: of more than in the tier before it."""
        tokens = tier.get("tokens")
        if isinstance(tokens, int) and not isinstance(tokens, bool) and tokens > last:
            return tokens
        told = "is missing" if tokens is None else f"= {_shown(tokens)} is none"
        self._wrong((*at, "tokens"), f"tokens {told}: write a number above {last}")
        return last

    def _each(self, at: Place, price: Mapping[str, Any]) -> dict[str, Decimal]:
        units = price.get("each", {})
        if not isinstance(units, Mapping):
            self._wrong((*at, "each"), "`each` is a table: write [price.each], one unit a line")
            return {}
        for unit in units:
            if unit in BILLED_TOKENS:
                kind = BILLED_TOKENS[unit]
                why = f"{unit!r} is a token: give its rate as `{kind}`, per million"
                self._wrong((*at, "each", unit), why)
            elif not _UNIT.fullmatch(unit):
                why = f"{unit!r} is no name of a unit, as {REQUEST}, search_units or web_search are"
                self._wrong((*at, "each", unit), why)
        return self._rates((*at, "each"), units, list(units))

    def _rates(self, at: Place, told: Mapping[str, Any], names: list[str]) -> dict[str, Decimal]:
        found = {name: self._rate((*at, name), told[name]) for name in names}
        return {name: rate for name, rate in found.items() if rate is not None}

    def _rate(self, at: Place, value: Any) -> Decimal | None:
        if isinstance(value, int | Decimal) and not isinstance(value, bool):
            rate = Decimal(value)
            fine = rate.is_finite() and -int(rate.as_tuple().exponent) <= DECIMALS_MAX
            if fine and 0 <= rate <= RATE_MAX:
                return rate
        why = f"US dollars, from 0, with at most {DECIMALS_MAX} decimals, such as 2.5"
        self._wrong(at, f"{at[-1]} = {_shown(value)} is no rate: write {why}")
        return None

    def _since(self, at: Place, price: Mapping[str, Any]) -> date | None:
        value = price.get("from")
        if value is None or (isinstance(value, date) and not isinstance(value, datetime)):
            return value
        why = f"from = {_shown(value)} is no day: write 2026-01-31, without quotes"
        self._wrong((*at, "from"), why)
        return None

    def _word(self, at: Place, price: Mapping[str, Any], key: str, *, needed: bool = False) -> str:
        value = price.get(key, "")
        if isinstance(value, str) and (value or not needed):
            return value
        example = {"provider": "openai", "model": "gpt-5-mini", "tier": "batch"}[key]
        told = f"= {_shown(value)} is none" if key in price else "is missing"
        self._wrong((*at, key), f'{key} {told}: write {key} = "{example}"')
        return ""

    def _currency(self, at: Place, told: Mapping[str, Any]) -> None:
        value = told.get("currency", CURRENCY)
        if value != CURRENCY:
            why = (
                f"currency = {_shown(value)}: amounts are in {CURRENCY} only; give the rates in it"
            )
            self._wrong((*at, "currency"), why)

    def _unknown(self, at: Place, told: Mapping[str, Any], known: tuple[str, ...]) -> None:
        for key in told:
            if key in known:
                continue
            near = get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            self._wrong((*at, key), f"unknown key {key!r} ({hint}known: {', '.join(known)})")

    def _wrong(self, at: Place, why: str) -> None:
        self.problems.append((self._lines.of(at), why))


def _shown(value: Any) -> str:
    match value:
        case str():
            return f'"{value}"'
        case bool():
            return str(value).lower()
        case _:
            return str(value)

"""`budgets.toml`: what may be spent. docs/ledger.md describes the file.

BudgetsRefused    it cannot be read, or means nothing: every mistake with its line
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path
from typing import Any, cast, get_args

from stepfold.events.names import NameRefused, token
from stepfold.policy.budget import ANY, Budget, Budgets, Period, Scope
from stepfold.providers.toml_lines import Lines, Place
from stepfold.settings.file_text import TextUnread, name_of, no_toml, text_of
from stepfold.settings.settings import SettingsError

BUDGET = "budget"
SCOPES: tuple[Scope, ...] = get_args(Scope)
PERIODS: tuple[Period, ...] = get_args(Period)
STEPS = ("warn_at", "cheaper_at", "read_only_at")
"""In the order in which they begin, as shares of the limit."""
KEYS = (*SCOPES, "limit_usd", "period", *STEPS)
DECIMALS_MAX = 12
LIMIT_MAX = 10**12
_UNTOLD = Budget(SCOPES[0], Decimal(1))
"""Where the values are from that a file leaves out."""


class BudgetsRefused(SettingsError):
    """A file of budgets that means nothing. Each of `problems` has its place and the way out."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def read_budgets(path: Path) -> Budgets:
    """The budgets in a file, `-` is stdin; BudgetsRefused."""
    try:
        return parse_budgets(text_of(path), name_of(path))
    except TextUnread as error:
        raise BudgetsRefused((str(error),)) from error


def parse_budgets(text: str, name: str) -> Budgets:
    """The budgets that are written in `text`; `name` stands before each mistake in it."""
    try:
        told = tomllib.loads(text, parse_float=Decimal)
    except ValueError as error:  # no TOML, or a number of 5,000 digits
        raise BudgetsRefused((no_toml(name, error),)) from error
    reading = _Reading(Lines(text))
    budgets = tuple(reading.budgets(told))
    if reading.problems:
        lines = sorted(reading.problems)
        raise BudgetsRefused(tuple(f"{name}:{line}: {why}" for line, why in lines))
    return Budgets(budgets)


class _Reading:
    """The budgets of one file, and everything that is wrong with them."""

    def __init__(self, lines: Lines) -> None:
        self.problems: list[tuple[int, str]] = []
        self._lines = lines
        self._seen: dict[tuple[Scope, str, Period], Place] = {}

    def budgets(self, told: Mapping[str, Any]) -> Iterator[Budget]:
        self._known((), told, (BUDGET,))
        entries = told.get(BUDGET, [])
        if not isinstance(entries, list):
            self._wrong((BUDGET,), f"`{BUDGET}` is a list: write [[{BUDGET}]]")
            return
        for number, entry in enumerate(entries):
            found = self._budget((BUDGET, number), entry)
            if found is not None:
                yield found

    def _budget(self, at: Place, told: Any) -> Budget | None:
        before = len(self.problems)
        if not isinstance(told, Mapping):
            self._wrong(at, f"a budget is a table: write [[{BUDGET}]] and its keys below it")
            return None
        self._known(at, told, KEYS)
        scope, name = self._whose(at, told)
        limit, period = self._limit(at, told), self._period(at, told)
        begins = self._steps(at, told)
        if len(self.problems) > before:
            return None
        self._once(at, (scope, name, period))
        return Budget(scope, limit, name, period, *begins)

    def _whose(self, at: Place, told: Mapping[str, Any]) -> tuple[Scope, str]:
        named = [scope for scope in SCOPES if scope in told]
        if len(named) != 1:
            has = f"has {' and '.join(named)}" if named else "names nobody"
            why = f'a budget {has}: give one of {", ".join(SCOPES)}, "{ANY}" for each of them'
            self._wrong(at, why)
            return SCOPES[0], ANY
        scope, name = named[0], told[named[0]]
        parts = name.split("/") if isinstance(name, str) else []
        wanted = 2 if scope == "conversation" and name != ANY else 1
        if len(parts) != wanted or not all(parts):
            form = "customer/conversation" if scope == "conversation" else f"the {scope}'s name"
            why = f'{scope} = {_shown(name)} is none: write {form}, or "{ANY}" for each one'
            self._wrong((*at, scope), why)
        elif scope != "agent" and name != ANY:
            self._can_be((*at, scope), parts)
        return scope, str(name)

    def _can_be(self, at: Place, parts: Sequence[str]) -> None:
        """Can a customer, and a conversation, be called so?"""
        for what, part in zip(("customer", "conversation"), parts, strict=False):
            try:
                token(what, part)
            except NameRefused as error:
                self._wrong(at, str(error))

    def _limit(self, at: Place, told: Mapping[str, Any]) -> Decimal:
        value = told.get("limit_usd")
        limit = _number(value)
        if limit is not None and 0 < limit <= LIMIT_MAX:
            return limit
        found = "is missing" if value is None else f"= {_shown(value)} is none"
        self._wrong((*at, "limit_usd"), f"limit_usd {found}: write US dollars above 0, such as 50")
        return Decimal(1)

    def _period(self, at: Place, told: Mapping[str, Any]) -> Period:
        period = told.get("period", _UNTOLD.period)
        if period in PERIODS:
            return cast(Period, period)
        known = ", ".join(PERIODS)
        self._wrong((*at, "period"), f"period = {_shown(period)} is unknown (known: {known})")
        return PERIODS[0]

    def _steps(self, at: Place, told: Mapping[str, Any]) -> list[Decimal]:
        """Where the steps begin. Those that are not written stay in order with those that are."""
        begins, last = [], Decimal(0)
        for key in STEPS:
            value = told.get(key)
            begin = _number(value) if key in told else max(getattr(_UNTOLD, key), last)
            if begin is None or not 0 < begin <= 1:
                why = f"{key} = {_shown(value)} is no share: write a number up to 1 (1 = never)"
                self._wrong((*at, key), why)
                begin = last
            if begin < last:
                why = (
                    f"{key} = {begin} comes before the step above it ({last}): {' ≤ '.join(STEPS)}"
                )
                self._wrong((*at, key), why)
            last = max(begin, last)
            begins.append(begin)
        return begins

    def _once(self, at: Place, account: tuple[Scope, str, Period]) -> None:
        first = self._seen.setdefault(account, at)
        if first != at:
            scope, name, period = account
            line = self._lines.of(first)
            why = f'{scope} "{name}" has a budget of this period ({period}) on line {line}'
            self._wrong(at, f"{why}: leave one out")

    def _known(self, at: Place, told: Mapping[str, Any], known: tuple[str, ...]) -> None:
        for key in told:
            if key not in known:
                near = get_close_matches(key, known, n=1)
                hint = f"did you mean `{near[0]}`? " if near else ""
                why = f"unknown key `{key}` ({hint}known: {', '.join(known)})"
                self._wrong((*at, key), why)

    def _wrong(self, at: Place, why: str) -> None:
        self.problems.append((self._lines.of(at), why))


def _number(value: object) -> Decimal | None:
    """None when it is none, or one that no amount has."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    number = Decimal(value)
    fine = number.is_finite() and -int(number.as_tuple().exponent) <= DECIMALS_MAX
    return number if fine else None


def _shown(value: object) -> str:
    match value:
        case str():
            return f'"{value}"'
        case bool():
            return str(value).lower()
        case _:
            return str(value)

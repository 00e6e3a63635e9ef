"""`stepfold budget`: check a file of budgets, put it in force, see what is left."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import typer
from msgspec import Struct

from stepfold.app import Opened, opened
from stepfold.cli.opening import ACCOUNTS_MAX, Opening, open_accounts
from stepfold.cli.options import Data, Json
from stepfold.cli.screen import count, cut, paragraph, price, say, say_json, table, warn, width
from stepfold.cli.where import existing
from stepfold.events.values import BudgetStep
from stepfold.policy.budget import (
    ANY,
    Budget,
    Budgets,
    Period,
    Scope,
    accounts,
    decode_budgets,
    encode_budgets,
    step,
)
from stepfold.settings.budgets import read_budgets
from stepfold.settings.file_text import name_of
from stepfold.streams.log import Balance

NARROW = 100
"""Columns; with fewer, an account takes two lines."""
SOON = "workers that run take it over within a second or two"

commands = typer.Typer(
    help="What may be spent. Check a file of budgets, put it in force, see what is left.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

File = Annotated[
    Path, typer.Argument(metavar="FILE", help="Budgets, as docs/ledger.md has them (- is stdin).")
]


class Checked(Struct, frozen=True):
    """`digest` is empty until the budgets are in force. `opening` are their accounts that
    nobody has kept so far, with what the log says was spent in this period.
    """

    file: str
    budgets: tuple[Budget, ...]
    digest: str = ""
    opening: tuple[Opening, ...] = ()


class Standing(Struct, frozen=True):
    """One account: `name` is whose it is, `*` when each has its own and nobody has used any yet.
    `step` is how far it is used up; empty = not far.
    """

    scope: Scope
    name: str
    period: Period
    limit_usd: Decimal
    spent_usd: Decimal
    held_usd: Decimal
    left_usd: Decimal
    step: BudgetStep


@commands.command()
def check(file: File, *, json: Json = False) -> None:
    """Say what FILE means, or what is wrong with it and where. Nothing changes."""
    _say_checked(Checked(name_of(file), read_budgets(file).budgets), json=json)


@commands.command()
def apply(file: File, *, data: Data = None, json: Json = False) -> None:
    """Put the budgets of FILE in force, in the place of those that were; an empty FILE has none.

    What was spent stays spent: an account is known by its name and its period, and one of a new
    budget begins with what the log says was spent in this period, without calls of unknown price.
    """
    budgets, here = read_budgets(file), existing(data)

    async def appoint() -> tuple[Checked, bool]:
        async with opened(here) as found:
            begun = await open_accounts(found, here, budgets.budgets, datetime.now(UTC))
            digest = await found.budgets.appoint(encode_budgets(budgets))
        return Checked(name_of(file), budgets.budgets, digest, begun.accounts), begun.more

    done, more = asyncio.run(appoint())
    _say_checked(done, json=json)
    if more:
        warn(f"of each budget only {ACCOUNTS_MAX:,} accounts begin so, the others at zero")


@commands.command()
def show(*, data: Data = None, json: Json = False) -> None:
    """The budgets in force: what is spent, held for calls that run, and left in this period."""
    here = existing(data)

    async def look() -> list[Standing]:
        async with opened(here) as found:
            return await _standings(found)

    standings = asyncio.run(look())
    if json:
        say_json(standings)
    elif not standings:
        say(
            "there are no budgets: write a file (docs/ledger.md), then `stepfold budget apply FILE`"
        )
    else:
        _say(standings)


async def _standings(found: Opened) -> list[Standing]:
    raw = await found.budgets.appointed()
    budgets = decode_budgets(raw) if raw is not None else Budgets()
    return list(standings(budgets.budgets, await found.balances.all(), datetime.now(UTC)))


def standings(
    budgets: Iterable[Budget], balances: Mapping[str, Balance], now: datetime
) -> Iterator[Standing]:
    """Of each budget its accounts of this period, those that are most used up first."""
    for budget in budgets:
        names = _accounts(budget, balances, now)
        found = [_standing(budget, name, balances.get(name, Balance())) for name in names]
        yield from sorted(found, key=lambda each: (each.left_usd, each.name))


def _accounts(budget: Budget, balances: Mapping[str, Balance], now: datetime) -> Sequence[str]:
    customer, _, conversation = budget.name.partition("/")
    (account,) = accounts(Budgets((budget,)), customer, conversation, customer, now)
    if budget.name != ANY:
        return [account.name]
    scope, shared, *_, period = account.name.split(".")
    used = (name for name in balances if name.startswith(f"{scope}.{shared}."))
    return [name for name in used if name.endswith(f".{period}")] or [""]


def _standing(budget: Budget, account: str, balance: Balance) -> Standing:
    _, _, *words, _ = account.split(".") if account else ("", "", ANY, "")
    used = balance.used_usd
    return Standing(
        scope=budget.scope,
        name="/".join(words) if budget.name == ANY else budget.name,
        period=budget.period,
        limit_usd=budget.limit_usd,
        spent_usd=balance.spent_usd,
        held_usd=sum((hold.usd for hold in balance.held.values()), Decimal(0)),
        left_usd=max(budget.limit_usd - used, Decimal(0)),
        step=step(budget, used),
    )


# -- on the screen ------------------------------------------------------------------------------


def _say_checked(done: Checked, *, json: bool) -> None:
    if json:
        say_json(done)
        return
    for budget in done.budgets:
        whose = f"{'each ' if budget.name == ANY else ''}{budget.scope}"
        name = "" if budget.name == ANY else f" {budget.name}"
        steps = f"warns at {_share(budget.warn_at)}, cheaper models at {_share(budget.cheaper_at)}"
        told = f"{whose}{name}: {price(budget.limit_usd)} {_per(budget.period)}; {steps}"
        say(paragraph(f"{told}, only reads at {_share(budget.read_only_at)}", rest="  "))
    state = f"in force: {SOON}" if done.digest else "nothing is wrong with them"
    say(paragraph(f"{done.file}: {count(len(done.budgets), 'budget')}, {state}"))
    if not done.budgets:
        limits = "nothing is limited any more" if done.digest else "in force, it limits nothing"
        warn(f"there is no budget in it: {limits}")
    for told in _opened(done.opening):
        say(paragraph(told))


def _opened(opening: Sequence[Opening]) -> Iterator[str]:
    spent = sum(bool(each.spent_usd) for each in opening)
    lacking = sum(bool(each.unpriced) for each in opening)
    if spent:
        verb = "begins" if spent == 1 else "begin"
        what = f"{count(spent, 'new account')} {verb} with what was spent in this period"
        yield f"{what}: stepfold budget show"
    if lacking:
        verb = "lacks" if lacking == 1 else "lack"
        yield f"{count(lacking, 'new account')} {verb} calls of this period that have no price"


def _share(share: Decimal) -> str:
    return f"{share:.0%}" if share < 1 else "never"


def _per(period: Period) -> str:
    return "in all" if period == "ever" else f"a {period}"


def _say(found: Sequence[Standing]) -> None:
    if width() < NARROW:
        for each in found:
            _say_narrow(each)
        return
    head = ("budget of", "period", "limit", "spent", "held", "left", "step")
    say(table(head, map(_cells, found), numbers=range(2, 6)))


def _say_narrow(each: Standing) -> None:
    reached = f": {each.step}" if each.step else ""
    say(cut(f"{each.scope} {each.name}, {each.period}{reached}", width() - 1), bold=bool(each.step))
    amounts = f"limit {price(each.limit_usd)}, spent {price(each.spent_usd)}"
    told = f"{amounts}, held {price(each.held_usd)}, left {price(each.left_usd)}"
    say(paragraph(told, first="  ", rest="  "), dim=True)


def _cells(each: Standing) -> tuple[str, ...]:
    amounts = (each.limit_usd, each.spent_usd, each.held_usd, each.left_usd)
    return (f"{each.scope} {each.name}", each.period, *map(price, amounts), each.step)

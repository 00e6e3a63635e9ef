"""`stepfold cost`: what was spent, by whatever a paid call tells, as the view `spend` has it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated

import msgspec
import typer
from msgspec import Struct
from msgspec.structs import replace

from stepfold.app import Opened, opened
from stepfold.cli.options import Data, Json
from stepfold.cli.plain import one_line
from stepfold.cli.screen import count, cut, paragraph, price, say, say_json, table, width
from stepfold.cli.since import HELP, literal, moment
from stepfold.cli.viewing import ROWS_MAX, Question, ask_views
from stepfold.cli.where import existing
from stepfold.settings import Settings

KEYS: Mapping[str, str] = {
    "model": "if(coalesce(provider, '') IN ('', model), model, concat(provider, '/', model))",
    "provider": "provider",
    "customer": "customer",
    "conversation": "concat(customer, '/', conversation)",
    "task": "task",
    "route": "route",
    "agent": "agent",
    "day": "recorded_at::DATE",
}
"""What can be summed by, and how `spend` has it."""
NARROW = 100
"""Columns; with fewer, a row takes two lines."""
THOUSAND = 1000
UNPRICED = "give the rates in prices.toml; some failures may have cost something (docs/ledger.md)"


class Sum(Struct, frozen=True):
    """Of `by`, in the order of the keys; None where a call tells none, empty for the total.
    `unsent` attempts never went out and are no calls. `cached_share` is of the input of those calls
    that tell how much of it came from a cache.
    """

    by: tuple[str | None, ...]
    calls: int
    failed: int
    unsent: int
    input_tokens: int | None
    output_tokens: int | None
    cached_tokens: int | None
    cached_share: float | None
    unpriced: int
    cost_usd: Decimal | None

    @property
    def shown(self) -> str:
        """US dollars; `$0` where all that was asked cost nothing, `$?` where nobody knows."""
        return price(self.cost_usd if self.unpriced else self.cost_usd or Decimal(0))


class Costs(Struct, frozen=True):
    """`position` is the log's last step that is counted in."""

    keys: tuple[str, ...]
    since: datetime | None
    position: int
    sums: tuple[Sum, ...]
    total: Sum


def cost(
    *,
    by: Annotated[
        str,
        typer.Option(metavar="KEY,…", help=f"What to sum by: {', '.join(KEYS)}."),
    ] = "model",
    since: Annotated[str | None, typer.Option(metavar="TIME", help=HELP)] = None,
    customer: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only what this customer pays.")
    ] = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Say what was spent, and on what.

    Calls, tokens, how much of the input came from a cache, US dollars. What was used at an unknown
    price, or may have been charged for, is counted as unpriced; no sum holds it. What never went
    out is counted as unsent.
    """
    keys = _keys(by)
    begin = moment(since, datetime.now(UTC)) if since is not None else None
    costs = asyncio.run(_costs(existing(data), keys, begin, customer))
    if json:
        say_json(costs)
    else:
        _say(costs)


def _keys(by: str) -> tuple[str, ...]:
    keys, known = tuple(key.strip() for key in by.split(",")), ", ".join(KEYS)
    for key in keys:
        why = ""
        if not key:
            why = (
                f"{by!r} names nothing to sum by: name one or more of {known}, with commas between"
            )
        elif key not in KEYS:
            why = f"{key!r} is unknown (known: {known})"
        elif keys.count(key) > 1:
            why = f"{key!r} is named {keys.count(key)} times: name it once"
        if why:
            raise typer.BadParameter(why, param_hint="--by")
    return keys


async def _costs(
    here: Settings, keys: tuple[str, ...], since: datetime | None, customer: str | None
) -> Costs:
    async with opened(here) as found:
        sql = query(keys, since, customer)
        told = await ask_views(found, here, Question(sql, "json", rows_max=ROWS_MAX))
    total, *sums = msgspec.json.decode(told.body, type=list[Sum])
    if told.about.truncated:
        raise typer.BadParameter(
            f"more than {ROWS_MAX:,} sums: name fewer keys, or a later --since", param_hint="--by"
        )
    return Costs(keys, since, told.about.position, tuple(sums), replace(total, by=()))


def query(keys: Sequence[str], since: datetime | None, customer: str | None) -> str:
    """The sums, the dearest first; before them that of all."""
    columns = [f"{KEYS[key]} AS key_{key}" for key in keys]
    names = ", ".join(f"key_{key}" for key in keys)
    wanted = [f"recorded_at >= {literal(since)}"] if since is not None else []
    if customer is not None:
        wanted.append("customer = '{}'".format(customer.replace("'", "''")))
    return f"""
        SELECT
            [{", ".join(f"key_{key}::VARCHAR" for key in keys)}] AS "by",
            count(*) FILTER (outcome <> 'unsent') AS calls,
            count(*) FILTER (outcome = 'failed') AS failed,
            count(*) FILTER (outcome = 'unsent') AS unsent,
            sum(input_tokens)::BIGINT AS input_tokens,
            sum(output_tokens)::BIGINT AS output_tokens,
            sum(cached_tokens)::BIGINT AS cached_tokens,
            sum(cached_tokens)
                / nullif(sum(input_tokens) FILTER (cached_tokens IS NOT NULL), 0) AS cached_share,
            count(*) FILTER (unpriced) AS unpriced, sum(cost_usd) AS cost_usd
        FROM (
            SELECT {"".join(f"{column}, " for column in columns)} outcome, unpriced, cost_usd,
                input_tokens, output_tokens, cached_tokens
            FROM spend {"WHERE " if wanted else ""}{" AND ".join(wanted)}
        )
        GROUP BY GROUPING SETS (({names}), ())
        ORDER BY grouping({names}) DESC, sum(cost_usd) DESC NULLS LAST, {names}
    """


# -- on the screen ------------------------------------------------------------------------------


def _say(costs: Costs) -> None:
    since = f" since {costs.since:%Y-%m-%d %H:%M} UTC" if costs.since else ""
    if not costs.total.calls + costs.total.unsent:
        say(f"nothing was paid for{since}")
        return
    rows = (*costs.sums, costs.total)
    if width() < NARROW:
        _say_narrow(costs, rows)
    else:
        head = ("calls", "failed", "unsent", "tokens in", "out", "cached", "unpriced", "cost")
        numbers = range(len(costs.keys), len(costs.keys) + len(head))
        lines = [(*_names(costs, row), *_figures(row)) for row in rows]
        say(table((*costs.keys, *head), lines, numbers=numbers))
    if unpriced := costs.total.unpriced:
        told = "call has no price, and no sum holds it" if unpriced == 1 else ""
        told = told or "calls have no price, and no sum holds them"
        say(paragraph(f"{unpriced:,} {told}: {UNPRICED}"))


def _say_narrow(costs: Costs, rows: Sequence[Sum]) -> None:
    for row in rows:
        paid = row.shown
        room = width() - 1 - len(paid) - 1
        name = cut(", ".join(name for name in _names(costs, row) if name), room)
        say(f"{name} {paid}", bold=row is costs.total)
        say(paragraph(", ".join(_details(row)), first="  ", rest="  "), dim=True)


def _names(costs: Costs, row: Sum) -> tuple[str, ...]:
    if row is costs.total:
        return ("all", *[""] * (len(costs.keys) - 1))
    return tuple("–" if name is None else one_line(name) for name in row.by)


def _figures(row: Sum) -> tuple[str, ...]:
    tokens = map(short, (row.input_tokens, row.output_tokens))
    failed, unsent, unpriced = (
        f"{number:,}" if number else "" for number in (row.failed, row.unsent, row.unpriced)
    )
    return (f"{row.calls:,}", failed, unsent, *tokens, _share(row), unpriced, row.shown)


def _details(row: Sum) -> Iterator[str]:
    yield count(row.calls, "call")
    if row.failed:
        yield f"{row.failed:,} failed"
    if row.unsent:
        yield f"{row.unsent:,} unsent"
    yield f"{short(row.input_tokens)} in, {short(row.output_tokens)} out"
    if row.cached_share is not None:
        yield f"{_share(row)} cached"
    if row.unpriced:
        yield f"{row.unpriced:,} unpriced"


def _share(row: Sum) -> str:
    return "?" if row.cached_share is None else f"{row.cached_share:.0%}"


def short(tokens: int | None) -> str:
    """In at most six characters; `?` where nobody told."""
    if tokens is None:
        return "?"
    size, unit = float(tokens), 0
    while size >= THOUSAND - 0.5 and unit < len("kMBT"):
        size, unit = size / THOUSAND, unit + 1
    return f"{tokens:,}" if not unit else f"{size:.3g}{'kMBT'[unit - 1]}"


# -- at the end of the demo ---------------------------------------------------------------------

VIEW = "cost_by_conversation"


class _Row(Struct, frozen=True):
    conversation: str
    calls: int
    input_tokens: int | None
    output_tokens: int | None
    cost_usd: Decimal | None


async def say_costs(found: Opened, here: Settings, customer: str, names: Sequence[str]) -> None:
    """One row a conversation. `names` are ours, so that they may stand in SQL."""
    which = ", ".join(f"'{name}'" for name in names)
    sql = (
        f"SELECT conversation, calls, input_tokens, output_tokens, cost_usd FROM {VIEW}"
        f" WHERE customer = '{customer}' AND conversation IN ({which}) ORDER BY conversation"
    )
    told = await ask_views(found, here, Question(sql, "json"))
    rows = msgspec.json.decode(told.body, type=list[_Row])
    say(f"{VIEW}, in {here.views.name}", bold=True)
    columns = ("conversation", "calls", "tokens in", "out", "cost")
    say(table(columns, map(_cells, rows), numbers=range(1, 5)))


def _cells(row: _Row) -> tuple[str, ...]:
    tokens = (
        "?" if each is None else f"{each:,}" for each in (row.input_tokens, row.output_tokens)
    )
    return (row.conversation, f"{row.calls:,}", *tokens, price(row.cost_usd))

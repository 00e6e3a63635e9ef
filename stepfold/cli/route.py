"""`stepfold route`: the routes, in a file and on the log, and what they would choose."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, cast, get_args

import typer
from msgspec.structs import replace

from stepfold import settings
from stepfold.app import Opened, opened
from stepfold.cli.agent_log import SHORT
from stepfold.cli.exits import REFUSED, CommandRefused
from stepfold.cli.options import Data, Json
from stepfold.cli.screen import count, paragraph, say, say_json, warn
from stepfold.cli.tables import apply as keep
from stepfold.cli.tables import current, kept, keyless, say_routes, titled
from stepfold.cli.where import existing
from stepfold.events.values import BudgetStep
from stepfold.handlers.choosing import CONVERSE
from stepfold.routing import Facts, Need, Pick, Routes, Routing, digest
from stepfold.routing import route as choose
from stepfold.settings import Settings, read_routes
from stepfold.settings.file_text import name_of
from stepfold.streams.config import ROUTES, SHELVES
from stepfold.streams.jetstream.connection import TIMEOUT_S
from stepfold.streams.jetstream.gets import Gets

RoutesFile = Annotated[Path, typer.Argument(metavar="FILE", help="Routes, as TOML; - for stdin.")]

_BEGINNING = re.compile(r"(sha256:)?[0-9a-f]{4,63}|[0-9a-f]{64}")
"""Of a digest, or all of it without its kind."""

STEPS = tuple(step for step in get_args(BudgetStep) if step)

commands = typer.Typer(
    help="Check, apply, show and try the routes. They say which model does which task.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@commands.command()
def check(file: RoutesFile, json: Json = False) -> None:
    """Say whether a file of routes can work: every mistake in it, with its line and the way out."""
    table = read_routes(file)
    if json:
        models = [*table.models]
        told = {"table": digest(table), "routes": len(table.routes), "models": models}
        say_json({**told, "keyless": [*keyless(table)]})
        return
    routes, number = count(len(table.routes), "route"), count(len(table.models), "model")
    say(paragraph(f"{name_of(file)}: {routes}, {number}, no mistake", rest="  "))
    _warn_keyless(table)


@commands.command()
def apply(file: RoutesFile, data: Data = None, json: Json = False) -> None:
    """Make the routes of a file the current ones. Whoever serves the log notices; none restarts."""
    table = read_routes(file)
    name = asyncio.run(_apply(settings.read(folder=data), table))
    if json:
        say_json({"table": name})
        return
    say(paragraph(f"these routes are the current ones: {name}", rest="  "))
    _warn_keyless(table)


@commands.command()
def show(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="DIGEST",
            help="Earlier ones, as `stepfold why` names them; the first digits are enough.",
        ),
    ] = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """The current routes, or earlier ones."""
    table = asyncio.run(_current(existing(data), name))
    if json:
        say_json({"table": digest(table), **_plain(table)})
        return
    say(paragraph(digest(table)), dim=True)
    say_routes(table)


@commands.command("try")
def try_(
    *,
    task: Annotated[str, typer.Option(metavar="TASK", help="What is to be done.")] = CONVERSE,
    customer: Annotated[str, typer.Option(metavar="C", help="Who pays.")] = "",
    agent: Annotated[str, typer.Option(metavar="NAME", help="Which agent asks.")] = "",
    channel: Annotated[str, typer.Option(metavar="NAME", help="How the contact writes.")] = "",
    language: Annotated[str, typer.Option(metavar="TAG", help="Such as de or pt-BR.")] = "",
    needs: Annotated[
        str, typer.Option(metavar="NEED,…", help=f"Any of {', '.join(get_args(Need))}.")
    ] = "",
    tokens: Annotated[int, typer.Option(min=0, metavar="N", help="Length of the prompt.")] = 0,
    hour: Annotated[
        int | None, typer.Option(min=0, max=23, metavar="H", help="UTC (default: now).")
    ] = None,
    budget_left: Annotated[
        str | None, typer.Option(metavar="USD", help="What is left of a budget.")
    ] = None,
    budget: Annotated[
        str, typer.Option(metavar="STEP", help=f"How far it is used up: {', '.join(STEPS)}.")
    ] = "",
    file: Annotated[
        Path | None,
        typer.Option("--routes", metavar="FILE", help="Routes, as TOML (default: the current)."),
    ] = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Say which models would be asked, in order, and why the others would not.

    Exit code 1 when none would.
    """
    facts = Facts(
        task=task,
        customer=customer,
        agent=agent,
        channel=channel,
        language=language,
        needs=_needs(needs),
        tokens=tokens,
        hour=datetime.now(UTC).hour if hour is None else hour,
        budget=_step(budget),
        budget_left_usd=_usd(budget_left),
    )
    table = asyncio.run(_current(existing(data))) if file is None else read_routes(file)
    routing = _routing(table, facts)
    if json:
        say_json(routing)
    else:
        _say(routing)
    if not routing.picks:
        raise typer.Exit(REFUSED)


async def _apply(here: Settings, table: Routes) -> str:
    async with opened(here) as found:
        return await keep(found, table)


async def _current(here: Settings, name: str | None = None) -> Routes:
    async with opened(here) as found:
        if name is None:
            return await current(found)
        return await kept(found, await _whole(found, name))


async def _whole(found: Opened, name: str) -> str:
    """The digest that begins so; the name itself when it is the beginning of none."""
    if not _BEGINNING.fullmatch(name):
        return name
    begins = f"{ROUTES}.sha256-{name.removeprefix('sha256:')}"
    hits = []
    async for message in Gets(found.client, TIMEOUT_S).all(SHELVES, f"{ROUTES}.*", 0):
        subject = (message.headers or {})["Nats-Subject"]
        if subject.startswith(begins):
            hits.append(subject.removeprefix(f"{ROUTES}.sha256-"))
    if len(hits) > 1:
        told = ", ".join(hit[:SHORT] for hit in hits)
        raise CommandRefused(f"routes {name!r} could be any of {told}: write more digits")
    return f"sha256:{hits[0]}" if hits else name


def _warn_keyless(table: Routes) -> None:
    for hint in keyless(table):
        warn(hint)


def _plain(table: Routes) -> dict[str, object]:
    return {name: getattr(table, name) for name in Routes.__struct_fields__}


def _routing(table: Routes, facts: Facts) -> Routing:
    """As agents and generations get it: a budget that is used up leaves nobody."""
    routing = choose(table, facts)
    if facts.budget != "refuse":
        return routing
    used_up = (f"{pick.model}: the budget is used up" for pick in routing.picks)
    return replace(routing, picks=(), shadow=(), passed=(*routing.passed, *used_up))


def _step(told: str) -> BudgetStep:
    if told and told not in STEPS:
        why = f"unknown step {told!r} (known: {', '.join(STEPS)})"
        raise typer.BadParameter(why, param_hint="--budget")
    return cast(BudgetStep, told)


def _needs(told: str) -> frozenset[Need]:
    words = {word.strip() for word in told.split(",") if word.strip()}
    known = get_args(Need)
    if unknown := sorted(words - set(known)):
        why = f"unknown need {unknown[0]!r} (known: {', '.join(known)})"
        raise typer.BadParameter(why, param_hint="--needs")
    return cast(frozenset[Need], frozenset(words))


def _usd(told: str | None) -> Decimal | None:
    try:
        amount = None if told is None else Decimal(told)
    except InvalidOperation:
        amount = Decimal("nan")
    if amount is not None and not amount.is_finite():
        raise typer.BadParameter(f"{told!r} is no amount, such as 1.50", param_hint="--budget-left")
    return amount


def _say(routing: Routing) -> None:
    say(paragraph(titled(routing.route), rest="  "), bold=True)
    for number, pick in enumerate(routing.picks, start=1):
        _say_pick(f"{number}. ", pick)
    for pick in routing.shadow:
        _say_pick("beside it, to compare: ", pick)
    for why in routing.passed:
        say(paragraph(why, first="  not ", rest="      "), dim=True)
    if not routing.picks:
        say("  no model fits")


def _say_pick(head: str, pick: Pick) -> None:
    say(paragraph(f"{pick.model} (place {pick.place})", first=f"  {head}", rest="     "))

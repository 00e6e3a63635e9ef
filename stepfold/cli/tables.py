"""Tables of routes, as commands read, keep and show them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import typer

from stepfold.app import Opened
from stepfold.cli.exits import REFUSED, CommandRefused
from stepfold.cli.screen import paragraph, say, warn
from stepfold.events.values import Options
from stepfold.routing import Candidate, Conditions, Route, Routes, decode_routes, encode_routes
from stepfold.settings import RoutesRefused, read_routes
from stepfold.settings.hosted import missing

NONE = "no routes yet: write a file (docs/routing.md), then `stepfold route apply FILE`"


def table_of(path: Path) -> Routes:
    """The table in a file. Every mistake in it is told, a line each; then the command ends."""
    try:
        return read_routes(path)
    except RoutesRefused as refused:
        for problem in refused.problems:
            warn(problem)
        raise typer.Exit(REFUSED) from refused


async def current(found: Opened) -> Routes:
    raw = await found.routes.appointed()
    if raw is None:
        raise CommandRefused(NONE)
    return decode_routes(raw)


async def apply(found: Opened, table: Routes) -> str:
    """Make it the current one; returns its digest."""
    return await found.routes.appoint(encode_routes(table))


def keyless(table: Routes) -> Iterator[str]:
    """The models that this process could not ask, and what to do. Where workers run may differ."""
    for model in table.models:
        hint = missing(model)
        if hint:
            yield f"{model} cannot be asked from here: {hint}"


def say_routes(table: Routes) -> None:
    for route in table.routes:
        say(route.name, bold=True)
        say_candidates(route.candidates)
        if route.shadow:
            say("  beside it, to compare:")
            say_candidates(route.shadow)
        if (route.attempts_max, route.repairs_max) != _LIMITS:
            limits = f"attempts_max {route.attempts_max}, repairs_max {route.repairs_max}"
            say(paragraph(limits, first="  ", rest="  "), dim=True)


_LIMITS = (Route("", ()).attempts_max, Route("", ()).repairs_max)


def say_candidates(candidates: Sequence[Candidate]) -> None:
    for number, each in enumerate(candidates, start=1):
        words = [each.model or f"the models of {each.task}", *told(each.when), *_told(each.options)]
        say(paragraph(", ".join(words), first=f"  {number}. ", rest="     "))


def told(when: Conditions) -> Iterator[str]:
    """Conditions in words."""
    for what, names in (
        ("customer", when.customers),
        ("channel", when.channels),
        ("language", when.languages),
    ):
        if names:
            yield f"{what} {' or '.join(names)}"
    if when.needs:
        yield f"needs {' and '.join(when.needs)}"
    if when.not_needs:
        yield f"does not need {' or '.join(when.not_needs)}"
    if when.tokens_max is not None:
        yield f"at most about {when.tokens_max} tokens"
    if when.budget_left_min_usd is not None:
        yield f"at least {when.budget_left_min_usd} USD of the budget left"
    if when.hours is not None:
        yield f"{when.hours[0]} to {when.hours[1]} h UTC"


def _told(options: Options | None) -> Iterator[str]:
    default = Options()
    for name in Options.__struct_fields__:
        if options is not None and getattr(options, name) != getattr(default, name):
            yield f"{name} {getattr(options, name)}"

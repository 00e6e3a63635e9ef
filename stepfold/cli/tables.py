"""Tables of routes, as commands read, keep and show them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence

import msgspec

from stepfold.app import Opened
from stepfold.cli.exits import CommandRefused
from stepfold.cli.screen import paragraph, say
from stepfold.events.values import Options
from stepfold.handlers.choosing import CONVERSE
from stepfold.policy.agent import Agent
from stepfold.routing import Candidate, Conditions, Route, Routes, decode_routes, encode_routes
from stepfold.settings.hosted import missing

NONE = "no routes yet: write a file (docs/routing.md), then `stepfold route apply FILE`"
NOT_OURS = "the routes on this log are of another version of stepfold: upgrade, or apply a file"
WHERE_NAMED = "`stepfold why CONVERSATION` names those that a model was chosen by"
NO_ROUTE = "no route"
"""How the name of a route begins where there is none for a task."""


async def current(found: Opened) -> Routes:
    raw = await found.routes.appointed()
    if raw is None:
        raise CommandRefused(NONE)
    return _decoded(raw)


async def kept(found: Opened, name: str) -> Routes:
    """The table with this digest: current, or an earlier one."""
    raw = await found.routes.get(name) if _DIGEST.fullmatch(name) else None
    if raw is None:
        raise CommandRefused(f"routes {name!r} are not on this log: {WHERE_NAMED}")
    return _decoded(raw)


def _decoded(raw: bytes) -> Routes:
    try:
        return decode_routes(raw)
    except msgspec.DecodeError as error:
        raise CommandRefused(f"{NOT_OURS} ({error})") from error


async def unrouted(found: Opened, agent: Agent) -> str:
    """Why no model could be asked for this agent, and the way out; empty where one could be."""
    if agent.models:
        return ""
    raw = await found.routes.appointed()
    routes = _decoded(raw).routes if raw else ()
    if any(each.task == CONVERSE and each.agent in ("", agent.name) for each in routes):
        return ""
    return (
        f"agent {agent.name!r} cannot answer: it lists no models, and there is no route for task"
        f" {CONVERSE!r}: write one (docs/routing.md), then `stepfold route apply FILE`"
    )


async def apply(found: Opened, table: Routes) -> str:
    """Make it the current one; returns its digest."""
    return await found.routes.appoint(encode_routes(table))


def keyless(table: Routes) -> Iterator[str]:
    """The models that this process could not ask, and what to do. Where workers run may differ."""
    for model in table.models:
        hint = missing(model)
        if hint:
            yield f"{model} cannot be asked from here: {hint}"
    for name, server in table.providers.items():
        if server.key_env and server.key_env not in os.environ:
            yield f"{name} is asked without a key from here: set {server.key_env}"


def titled(route: str) -> str:
    """A route's name as a headline."""
    return route if route.startswith(NO_ROUTE) else f"route {route}"


def say_routes(table: Routes) -> None:
    for route in table.routes:
        say(paragraph(route.name, rest="  "), bold=True)
        say_candidates(route.candidates)
        if route.shadow:
            say("  beside it, to compare:")
            say_candidates(route.shadow)
        if (route.attempts_max, route.repairs_max) != _LIMITS:
            limits = f"attempts_max {route.attempts_max}, repairs_max {route.repairs_max}"
            say(paragraph(limits, first="  ", rest="  "), dim=True)


_DIGEST = re.compile("sha256:[0-9a-f]{64}")
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

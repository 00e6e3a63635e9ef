"""`stepfold serve`: the workers, and the views, until a signal comes."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated

import typer

from stepfold import __version__, settings
from stepfold.app import EVERYTHING, ROLES, TOLD, VIEWS, Opened, Parts, opened, working
from stepfold.cli.exits import STOPPED, hide_password
from stepfold.cli.options import AgentFile, Data, HooksModule, Json, Script
from stepfold.cli.screen import paragraph, say, say_json, warn
from stepfold.cli.stop import Stop
from stepfold.cli.viewing import viewing
from stepfold.cli.workers import choose_agent, parts_of, told_knowledge
from stepfold.policy.agent import Agent
from stepfold.settings import Settings


def serve(
    *,
    data: Data = None,
    only: Annotated[
        str | None,
        typer.Option(metavar="ROLES", help=f"Some of {', '.join(EVERYTHING)} (default: all)."),
    ] = None,
    agent: AgentFile = None,
    script: Script = None,
    hooks: HooksModule = None,
    json: Json = False,
) -> None:
    """Work on the log until stopped. Any number of processes may serve the same one.

    The first Ctrl-C finishes or gives back what is in hand, the second stops at once.
    """
    roles = _roles(only)
    here = settings.read(folder=data)
    parts = parts_of(here, script, hooks)
    asyncio.run(_serve(here, parts, roles, agent, script, json=json))


def _roles(only: str | None) -> tuple[str, ...]:
    if only is None:
        return EVERYTHING
    wanted = [word.strip() for word in only.split(",") if word.strip()]
    unknown = [word for word in wanted if word not in EVERYTHING]
    if unknown or not wanted:
        what = f"unknown role {unknown[0]!r}" if unknown else "no role"
        raise typer.BadParameter(f"{what} (known: {', '.join(EVERYTHING)})", param_hint="--only")
    return tuple(role for role in EVERYTHING if role in wanted)


async def _serve(
    here: Settings,
    parts: Parts,
    roles: tuple[str, ...],
    agent: Path | None,
    script: Path | None,
    *,
    json: bool,
) -> None:
    stop = Stop(lambda: warn("finishing what is in hand; once more stops at once"))
    try:
        async with opened(here) as found, AsyncExitStack() as stack:
            chosen = await choose_agent(found, parts, agent, script)
            ends = [asyncio.create_task(stop.asked())]
            if VIEWS in roles:
                owned = await _own_views(found, here, stack, alone=roles == (VIEWS,))
                roles = roles if owned else tuple(role for role in roles if role != VIEWS)
                ends += owned
            if working_roles := [role for role in roles if role in ROLES]:
                await stack.enter_async_context(working(found, parts, roles=working_roles))
            _say(found, here, roles, chosen, json=json)
            done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for each in done:
                each.result()
    except asyncio.CancelledError:
        if not stop.signals:
            raise
        raise typer.Exit(STOPPED) from None


async def _own_views(
    found: Opened, here: Settings, stack: AsyncExitStack, *, alone: bool
) -> list[asyncio.Task[None]]:
    """One process owns them. Another one that has more to do goes on without."""
    from stepfold.projections.views import ViewsBusy

    try:
        return [await stack.enter_async_context(viewing(found, here))]
    except ViewsBusy as error:
        if alone:
            raise
        warn(f"without the views: {error}")
        return []


def _say(
    found: Opened, here: Settings, roles: tuple[str, ...], agent: Agent, *, json: bool
) -> None:
    where = hide_password(found.url)
    if json:
        say_json({"serves": roles, "url": where, "folder": str(here.folder), "agent": agent.name})
        return
    embedded = "" if here.nats_url else f", in {here.folder}"
    models = ", ".join(TOLD.get(model, model) for model in agent.models)
    lines = {
        "serves": ", ".join(roles),
        "log": where + embedded,
        "agent": f"{agent.name} ({models})",
        "knowledge": told_knowledge(here, agent),
        "stop": "Ctrl-C",
    }
    say(f"stepfold {__version__}", bold=True)
    for name, told in lines.items():
        say(paragraph(told, first=f"{name:<10} ", rest=" " * 11))

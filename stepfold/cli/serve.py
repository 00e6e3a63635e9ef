"""`stepfold serve`: the workers, the views, and the gateway, until a signal comes."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated

import typer
from msgspec import Struct

from stepfold import __version__, settings
from stepfold.app import EVERYTHING, TOLD, VIEWS, Opened, Parts, opened, working
from stepfold.cli.channels import file_of, present
from stepfold.cli.equipping import equipped, isolation
from stepfold.cli.exits import STOPPED, CommandRefused, hide_password, text
from stepfold.cli.keeping import keeping
from stepfold.cli.led import led as led_by
from stepfold.cli.options import AgentFile, Data, HooksModule, Json, Script, ToolFiles
from stepfold.cli.screen import paragraph, say, say_json, warn
from stepfold.cli.stop import Stop
from stepfold.cli.tables import apply, unrouted
from stepfold.cli.watching import Watched, watched, watching
from stepfold.cli.workers import choose_agent, parts_of, told_knowledge
from stepfold.observability.page import place
from stepfold.policy.agent import Agent
from stepfold.routing import Routes
from stepfold.settings import Settings


class Wanted(Struct, frozen=True):
    """What the command line asks for."""

    roles: tuple[str, ...]
    agent: Path | None
    script: Path | None
    tools: tuple[Path, ...]
    table: Routes | None
    told: Watched
    http: tuple[str, int] | None
    demo: str = ""
    led: bool = False


GATEWAY = "gateway"
"""The role that answers over HTTP."""
KNOWN = (*EVERYTHING, GATEWAY)
HTTP = "8000"
DECIDES = "agent"
"""The role that is handed the messages, and asks a model first."""


def serve(
    *,
    data: Data = None,
    only: Annotated[
        str | None,
        typer.Option(
            metavar="ROLES",
            help=f"Some of {', '.join(KNOWN)} (default: all; {GATEWAY} with --http; where it is"
            f" named, it answers at port {HTTP} unless --http says another place).",
        ),
    ] = None,
    agent: AgentFile = None,
    script: Script = None,
    hooks: HooksModule = None,
    tools: ToolFiles = None,
    routes: Annotated[
        Path | None,
        typer.Option(
            "--routes",
            metavar="FILE",
            help="Make these the current routes first, as `stepfold route apply` does.",
        ),
    ] = None,
    traces: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="Send spans there as they end, by OTLP: http://localhost:4318."
        ),
    ] = None,
    metrics: Annotated[
        str | None,
        typer.Option(
            metavar="PLACE",
            help="Numbers for Prometheus, at [HOST:]PORT; or sent by OTLP, to a URL.",
        ),
    ] = None,
    http: Annotated[
        str | None,
        typer.Option(
            metavar="PLACE",
            help="Answer over HTTP at [HOST:]PORT, on loopback unless another host is named.",
        ),
    ] = None,
    demo: Annotated[
        str,
        typer.Option(hidden=True, metavar="KEY", help="A page on which anybody may talk."),
    ] = "",
    led: Annotated[
        bool, typer.Option("--led", hidden=True, help="Stdin is a socket of whoever leads.")
    ] = False,
    json: Json = False,
) -> None:
    """Work on the log until stopped. Any number of processes may serve the same one.

    The first Ctrl-C finishes or gives back what is in hand, the second stops at once.
    """
    roles = _roles(only, http)
    here = settings.read(folder=data)
    parts = parts_of(here, script, hooks)
    table = settings.read_routes(routes) if routes else None
    told = watched(traces, metrics)
    where = _place(http) if GATEWAY in roles else None
    wanted = Wanted(roles, agent, script, tuple(tools or ()), table, told, where, demo, led)
    asyncio.run(_serve(here, parts, wanted, json=json))


def _roles(only: str | None, http: str | None) -> tuple[str, ...]:
    """Whoever names a place for the gateway wants it."""
    if only is None:
        return EVERYTHING if http is None else KNOWN
    wanted = [word.strip() for word in only.split(",") if word.strip()]
    unknown = [word for word in wanted if word not in KNOWN]
    if unknown or not wanted:
        what = f"unknown role {unknown[0]!r}" if unknown else "no role"
        raise typer.BadParameter(f"{what} (known: {', '.join(KNOWN)})", param_hint="--only")
    wanted += [GATEWAY] if http is not None else []
    return tuple(role for role in KNOWN if role in wanted)


def _place(http: str | None) -> tuple[str, int]:
    try:
        return place(http or HTTP)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--http") from error


async def _serve(
    here: Settings,
    parts: Parts,
    wanted: Wanted,
    *,
    json: bool,
) -> None:
    roles = wanted.roles
    stop = Stop(lambda: warn("finishing what is in hand; once more stops at once"))
    try:
        async with opened(here) as found, AsyncExitStack() as stack:
            if wanted.table is not None:
                await apply(found, wanted.table)
            parts = await stack.enter_async_context(
                equipped(found, here, parts, wanted.tools, roles=roles)
            )
            chosen = await choose_agent(found, parts, wanted.agent, wanted.script)
            await isolation(chosen, parts)
            if DECIDES in roles and (why := await unrouted(found, chosen)):
                warn(why)
            where = await stack.enter_async_context(watching(found, wanted.told))
            ends = [asyncio.create_task(stop.asked())]
            if VIEWS in roles:
                alone = roles == (VIEWS,)
                views = await stack.enter_async_context(keeping(found, here, alone=alone))
                ends += [views] if alone and views is not None else []
                roles = roles if views is not None else _without(VIEWS, roles)
            if working_roles := _without(GATEWAY, _without(VIEWS, roles)):
                await stack.enter_async_context(working(found, parts, roles=working_roles))
            if wanted.http is not None:
                address = await stack.enter_async_context(
                    answering(found, here, parts, wanted.http, wanted)
                )
                where = {"http": address, **_channels(here), **where}
            elif wanted.roles == EVERYTHING:
                _warn_of_channels(here)
            if parts.tools:
                where = {"tools": ", ".join(sorted(parts.tools)), **where}
            if wanted.led:
                leader = await stack.enter_async_context(led_by())
                await leader.ready()
                ends.append(asyncio.create_task(leader.gone()))
            _say(found, here, roles, chosen, where, json=json)
            done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for each in done:
                each.result()
    except asyncio.CancelledError:
        if not stop.signals:
            raise
        raise typer.Exit(STOPPED) from None


@asynccontextmanager
async def answering(
    found: Opened, here: Settings, parts: Parts, where: tuple[str, int], wanted: Wanted
) -> AsyncIterator[str]:
    """The gateway, until the block ends; yields its address. With `demo`, the id of a key, it has
    a page on which anybody may talk.
    """
    from stepfold.cli.channelling import channelling, mounted
    from stepfold.gateway.counting import counted
    from stepfold.gateway.serving import Made, gateway_on, serving
    from stepfold.gateway.table import DOORS
    from stepfold.gateway.widget import demo_doors

    if not is_loopback(where[0]):
        warn(f"{where[0]} is no loopback address: whoever reaches it may try keys; use TLS there")
    async with counted(found) as numbers, AsyncExitStack() as stack:
        routes = await stack.enter_async_context(channelling(found, here))
        made = Made(
            doors=(*DOORS, *demo_doors(wanted.demo)) if wanted.demo else DOORS,
            mounts=lambda front, guard: mounted(front, guard, routes),
            numbers=numbers,
        )
        gateway = gateway_on(found, here, parts.knowledge, made=made)
        try:
            address = await stack.enter_async_context(serving(gateway, *where))
        except OSError as error:
            place_ = f"--http {where[0]}:{where[1]}"
            raise CommandRefused(f"{place_}: {_unheard(error, led=wanted.led)}") from error
        yield address


def _unheard(error: OSError, *, led: bool) -> str:
    """Why it cannot listen there, and the way out: whoever is led needs a port that stays."""
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return "this machine has no such address: name one that it has, or the port alone"
    return f"{text(error)}: name another port" + ("" if led else ", or 0 for one that is free")


def _channels(here: Settings) -> Mapping[str, str]:
    on = present(here.folder)
    return {"channels": ", ".join(on)} if on else {}


def _warn_of_channels(here: Settings) -> None:
    for channel in present(here.folder):
        file = file_of(channel, here.folder)
        warn(f"{file} is there, but nobody delivers: stepfold serve --http {HTTP}")


def is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _without(role: str, roles: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(each for each in roles if each != role)


def _say(
    found: Opened,
    here: Settings,
    roles: tuple[str, ...],
    agent: Agent,
    where: Mapping[str, str],
    *,
    json: bool,
) -> None:
    url = hide_password(found.url)
    if json:
        about = {"serves": roles, "url": url, "folder": str(here.folder), "agent": agent.name}
        say_json({**about, **where})
        return
    embedded = "" if here.nats_url else f", in {here.folder}"
    models = ", ".join(TOLD.get(model, model) for model in agent.models) or "by the routes"
    lines = {
        "serves": ", ".join(roles),
        "log": url + embedded,
        "agent": f"{agent.name} ({models})",
        "knowledge": told_knowledge(here, agent),
        **where,
        "stop": "Ctrl-C",
    }
    say(f"stepfold {__version__}", bold=True)
    for name, told in lines.items():
        say(paragraph(told, first=f"{name:<10} ", rest=" " * 11))

"""`stepfold mcp`: tools of others by the Model Context Protocol, and our agents for others."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from msgspec import Struct
from msgspec.structs import replace

from stepfold import settings
from stepfold.app import HELP_DESK, Opened, Parts, misfit, opened, working
from stepfold.cli import exits
from stepfold.cli.equipping import equipped, isolation
from stepfold.cli.exits import REFUSED, STOPPED, CommandRefused
from stepfold.cli.options import AgentFile, Data, HooksModule, Json, Script, ToolFiles
from stepfold.cli.screen import count, paragraph, say, say_json, table, warn
from stepfold.cli.stop import Stop
from stepfold.cli.workers import parts_of
from stepfold.handlers.table import LANES
from stepfold.observability.page import place as place_of
from stepfold.policy.agent import Agent
from stepfold.policy.effect import Effect
from stepfold.policy.grants import resolve
from stepfold.providers.scripted import PROVIDER as SCRIPTED
from stepfold.settings import Settings
from stepfold.tools.mcp_file import Described, McpFileRefused, read_mcp
from stepfold.tools.printed import aside, kept_apart
from stepfold.tools.tool import ToolError

if TYPE_CHECKING:
    from mcp.server import Server

    from stepfold.cli.mcp_listen import Place
    from stepfold.tools.mcp import McpServer

STDIO = "stdio"
EXTRA = "the package `mcp` is not installed: pip install 'stepfold[mcp]'"

commands = typer.Typer(
    help="Use tools of MCP servers, and be one.", no_args_is_help=True, rich_markup_mode=None
)


class Listed(Struct, frozen=True):
    """A tool as a server offers it. `hints` are the server's own word; `tokens` about what it
    costs in each prompt. `left_out` says why it is not used.
    """

    server: str
    tool: str
    name: str = ""
    effect: Effect | None = None
    hints: tuple[str, ...] = ()
    tokens: int = 0
    description: str = ""
    digest: str = ""
    left_out: str = ""


@commands.command()
def tools(
    file: Annotated[Path, typer.Argument(metavar="FILE.toml", help="Where servers are described.")],
    *,
    server: Annotated[
        str | None, typer.Option(metavar="NAME", help="One of them (default: all).")
    ] = None,
    json: Json = False,
) -> None:
    """What the servers in a file offer, what that costs, and what of it is used.

    It starts them. Exit code 1 when one of them cannot be reached.
    """
    servers = _described(file, server)
    failed = False
    for each in servers:
        try:
            listed = asyncio.run(_list(each))
        except ToolError as error:
            warn(str(error))
            failed = True
            continue
        if json:
            for one in listed:
                say_json(one)
        else:
            _say_tools(each, listed)
    if failed:
        raise typer.Exit(REFUSED)


def _described(file: Path, name: str | None) -> tuple[Described, ...]:
    _need_mcp()
    try:
        servers = read_mcp(file)
    except McpFileRefused as error:
        for problem in error.problems:
            warn(problem)
        raise typer.Exit(REFUSED) from error
    chosen = tuple(each for each in servers if name in (None, each.name))
    if not chosen:
        known = ", ".join(each.name for each in servers) or "none"
        raise CommandRefused(f"{file}: no server {name!r} (known: {known})")
    return chosen


def _need_mcp() -> None:
    try:
        import mcp  # noqa: F401
    except ImportError as error:
        raise CommandRefused(EXTRA) from error
    for noisy in ("mcp", "client"):  # the loggers of the library, which repeat what servers say
        logging.getLogger(noisy).setLevel(logging.CRITICAL)


async def _list(server: Described) -> list[Listed]:
    from stepfold.tools.mcp import McpServer

    async with McpServer(server) as begun:
        return _listed(begun)


def _listed(begun: McpServer) -> list[Listed]:
    name = begun.described.name
    used = [
        Listed(
            name,
            each.name,
            each.spec.name,
            each.spec.effect,
            each.hints,
            each.tokens,
            each.spec.description,
            each.digest,
        )
        for each in begun.offered
    ]
    return [*used, *(Listed(name, each.name, left_out=each.why) for each in begun.left_out)]


def _say_tools(server: Described, listed: Sequence[Listed]) -> None:
    used = [each for each in listed if not each.left_out]
    tokens = sum(each.tokens for each in used)
    way = server.url or " ".join((server.command, *server.args))
    say(f"{server.name}: {way}", bold=True)
    say(f"{count(len(used), 'tool')}, about {count(tokens, 'token')} in each prompt")
    rows = [
        (each.name, each.effect or "", str(each.tokens), ", ".join(each.hints)) for each in used
    ]
    if rows:
        say(table(("tool", "effect (file)", "tokens", "hints (server)"), rows, numbers=(2,)))
    for each in listed:
        if each.left_out:
            say(paragraph(f"{each.tool}: {each.left_out}", first="not used: ", rest="  "))


@commands.command()
def serve(
    *,
    customer: Annotated[
        str, typer.Option(metavar="C", help="The company that it answers for, and no other.")
    ],
    http: Annotated[
        str,
        typer.Option(
            "--http",
            metavar="PLACE",
            help="[HOST:]PORT, on loopback unless a host is given; or stdio.",
        ),
    ] = STDIO,
    name: Annotated[
        list[str] | None,
        typer.Option(metavar="HOST", help="A name that clients know it by; any number."),
    ] = None,
    writes: Annotated[
        bool, typer.Option("--writes", help="Also with the agent's tools that change something.")
    ] = False,
    wait: Annotated[
        float, typer.Option(min=1, metavar="SECONDS", help="Wait for an answer so long.")
    ] = 120,
    agent: AgentFile = None,
    script: Script = None,
    hooks: HooksModule = None,
    tools: ToolFiles = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Be an MCP server: others ask the agent, search what it knows, and read conversations.

    It answers for one customer, with tools that only read. Where nobody serves the log, it brings
    its own workers. Clients show the token in STEPFOLD_MCP_TOKEN, if there is one.
    """
    _need_mcp()
    place = _place(http, tuple(name or ()))
    here = settings.read(folder=data)
    files = tuple(tools or ())
    brought = bool(script or hooks or files)
    wanted = Wanted(customer, place, writes, wait, agent, script, brought, json, files)
    with kept_apart():
        with aside():
            parts = parts_of(here, script, hooks)
        asyncio.run(_serve(here, parts, wanted))


class Wanted(Struct, frozen=True):
    """What the options say; without a place it speaks over stdin and stdout."""

    customer: str
    place: Place | None
    writes: bool
    wait_s: float
    agent: Path | None
    script: Path | None
    brought: bool
    json: bool
    tools: tuple[Path, ...] = ()


def _place(http: str, names: tuple[str, ...]) -> Place | None:
    from stepfold.cli.mcp_listen import TOKEN, Place, check

    if http == STDIO:
        return None
    try:
        host, port = place_of(http)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--http") from error
    found = Place(host, port, os.environ.get(TOKEN, ""), names)
    check(found)
    return found


async def _serve(here: Settings, parts: Parts, wanted: Wanted) -> None:
    stop = Stop(lambda: None)
    try:
        async with opened(here) as found, AsyncExitStack() as stack:
            parts = await stack.enter_async_context(equipped(found, here, parts, wanted.tools))
            serving = await _begun(found, parts, wanted, stack)
            asked = asyncio.create_task(stop.asked())
            await asyncio.wait((serving, asked), return_when=asyncio.FIRST_COMPLETED)
            asked.cancel()
            if serving.done():
                serving.result()
            elif wanted.place is None:
                serving.cancel()
                await asyncio.gather(serving, return_exceptions=True)
    except asyncio.CancelledError:
        if not stop.signals:
            raise
        raise typer.Exit(STOPPED) from None


async def _begun(
    found: Opened, parts: Parts, wanted: Wanted, stack: AsyncExitStack
) -> asyncio.Task[None]:
    """The task that speaks to clients, with workers behind it."""
    from stepfold.cli.mcp_listen import speak
    from stepfold.gateway.mcp_desk import Desk
    from stepfold.gateway.mcp_server import mcp_server

    served = LANES.keys() <= await found.served()
    if served and wanted.brought:
        raise CommandRefused(
            "workers serve this log, and they answer with what they were started with: stop them,"
            " or leave out --script, --hooks and --tools"
        )
    agent = await _agent(found, parts, wanted, served=served)
    if not served:
        await isolation(agent, parts)
        await stack.enter_async_context(working(found, parts))
    desk = Desk(
        found,
        await found.inbox(agent),
        parts.knowledge,
        agent,
        customer=wanted.customer,
        wait_s=wanted.wait_s,
        writes=wanted.writes,
    )
    server = mcp_server(desk, _expected)
    if wanted.place is None:
        return asyncio.create_task(speak(server))
    return await _listen(stack, server, agent, wanted)


def _expected(error: Exception) -> str | None:
    return None if exits.code(error) is None else exits.text(error)


async def _agent(found: Opened, parts: Parts, wanted: Wanted, *, served: bool) -> Agent:
    """The agent that answers; without `--writes` with those of its tools that only read."""
    from stepfold.gateway.mcp_desk import reading

    if wanted.agent is not None:
        agent = settings.read_agent(wanted.agent)
    elif wanted.script is not None:
        agent = replace(HELP_DESK, models=(SCRIPTED,))
    else:
        agent = await found.appointed()
    if not served and (why := misfit(agent, parts)):
        raise CommandRefused(why)
    specs = {name: tool.spec for name, tool in parts.tools.items()}
    return resolve(agent, specs) if wanted.writes else reading(agent, specs)


async def _listen(
    stack: AsyncExitStack, server: Server[Any], agent: Agent, wanted: Wanted
) -> asyncio.Task[None]:
    from stepfold.cli.mcp_listen import listening

    assert wanted.place is not None
    url, serving = await stack.enter_async_context(listening(server, wanted.place))
    if wanted.json:
        told = {"url": url, "customer": wanted.customer, "agent": agent.name, "tools": agent.tools}
        say_json(told)
    else:
        whom = f"{agent.name} for {wanted.customer}"
        what = f"tools: {', '.join(agent.tools) or 'none'}"
        say(f"{url}: {whom}, {what}; Ctrl-C stops it")
    return serving

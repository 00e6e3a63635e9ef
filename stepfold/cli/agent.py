"""`stepfold agent`: check files of agents, and see the versions that a log keeps."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from msgspec import Struct
from msgspec.structs import replace

from stepfold import settings
from stepfold.app import Parts, misfit, opened
from stepfold.cli.agent_diff import differences, lines
from stepfold.cli.agent_fit import misfits, near
from stepfold.cli.agent_log import Version, choose, conversations, from_file, versions
from stepfold.cli.agent_words import parts
from stepfold.cli.exits import REFUSED, CommandRefused
from stepfold.cli.options import Data, HooksModule, Json
from stepfold.cli.screen import count, paragraph, say, say_json, table, warn
from stepfold.cli.tables import unrouted
from stepfold.cli.toolbox import folders_tools, servers
from stepfold.cli.where import existing
from stepfold.cli.workers import parts_of
from stepfold.knowledge.library import Library
from stepfold.policy.agent import Agent
from stepfold.policy.toolspec import ToolSpec
from stepfold.settings import AgentRefused, read_agent
from stepfold.tools.tool import Tool

NO_VERSIONS = "no agent is kept on this log yet: `stepfold serve --agent FILE` appoints one"
WHOSE = "A name, a digest or its beginning, or a file."

commands = typer.Typer(
    help="Check files of agents, compare versions. A log keeps every version: list and show them.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Named = Annotated[str, typer.Argument(metavar="NAME|DIGEST|FILE", help=WHOSE)]


class Checked(Struct, frozen=True):
    """`problems` keep the file from being an agent, `warnings` the agent from being of use."""

    file: str
    agent: str = ""
    tools: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class Known(Struct, frozen=True):
    """The tools that workers with these hooks would have, beside those of the MCP `servers`, which
    are not started to tell them. `problems` say what could not be loaded.
    """

    tools: Mapping[str, Tool]
    servers: tuple[str, ...]
    problems: tuple[str, ...]

    @property
    def specs(self) -> Mapping[str, ToolSpec]:
        return {name: tool.spec for name, tool in self.tools.items()}

    def may_be_served(self, name: str) -> bool:
        return any(name.startswith(f"{server}_") for server in self.servers)


@commands.command()
def check(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="TOML or YAML.")],
    *,
    hooks: HooksModule = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Say what is wrong with files of agents: every mistake, with its line and the way out.

    Warns of an agent that nobody could ask or that wants tools nobody has. Nothing changes. Exit
    code 1 when a file has a mistake.
    """
    here = settings.read(folder=data)
    known = _known(here, hooks)
    checked = [_check(file, known, here) for file in files]
    for problem in known.problems:
        warn(f"left out: {problem}")
    for each in checked:
        if json:
            say_json(each)
        else:
            _say_checked(each)
    if any(each.problems for each in checked):
        raise typer.Exit(REFUSED)


@commands.command("list")
def list_(data: Data = None, json: Json = False) -> None:
    """The versions of agents that the log keeps, and which one new conversations get."""
    found = asyncio.run(_listed(existing(data)))
    if json:
        for each in found:
            say_json(_plain(each))
    elif found:
        columns = ("agent", "version", "kept since", "appointed", "conversations")
        say(table(columns, [_row(each) for each in found], numbers=[4]))
    else:
        say(paragraph(NO_VERSIONS))


@commands.command()
def show(name: Named, *, hooks: HooksModule = None, data: Data = None, json: Json = False) -> None:
    """What an agent may do, in plain words."""
    (found,) = _found((name,), data)
    agent = _readable(found)
    if json:
        say_json({**_plain(found), "fields": agent})
        return
    known = _known(settings.read(folder=data), hooks)
    for problem in known.problems:
        warn(f"left out: {problem}")
    say(f"{agent.name}  {found.file or found.short}", bold=True)
    for part in parts(agent, known.specs, pinned=not found.file, servers=known.servers):
        say(part.head, bold=True)
        for line in part.lines:
            say(paragraph(line, first="  ", rest="    "))


@commands.command()
def diff(
    a: Annotated[str, typer.Argument(metavar="A", help=WHOSE)],
    b: Annotated[str, typer.Argument(metavar="B", help=WHOSE)],
    *,
    data: Data = None,
    json: Json = False,
) -> None:
    """In what two versions differ, key by key. Exit code 1 when they do."""
    one, other = _found((a, b), data)
    appointed = not (one.file or other.file)
    found = differences(_readable(one), _readable(other), appointed=appointed)
    for each in found:
        if json:
            say_json(each)
        else:
            say("\n".join(paragraph(line, rest="  ") for line in lines(each)))
    if found:
        raise typer.Exit(REFUSED)
    if not json:
        say("no difference")


@commands.command()
def schema(json: Json = False) -> None:
    """Print the JSON Schema of an agent's file: --json leaves out the white space."""
    from stepfold.settings.agent_form import json_schema

    written = msgspec.json.encode(json_schema())
    say((written if json else msgspec.json.format(written, indent=2)).decode())


# -- checking -----------------------------------------------------------------------------------


def _check(file: Path, known: Known, here: settings.Settings) -> Checked:
    try:
        agent = read_agent(file)
    except AgentRefused as error:
        return Checked(str(file), problems=error.problems)
    warnings = tuple(_warnings(agent, known, here))
    return Checked(str(file), agent.name, agent.tools, warnings=warnings)


def _warnings(agent: Agent, known: Known, here: settings.Settings) -> Iterator[str]:
    if not agent.models and (why := asyncio.run(_unrouted(here, agent))):
        yield why
    if agent.answers and agent.answers.cite and not agent.collections:
        yield "it must cite and has no `collections`: no answer would ever be given"
    for name in agent.tools:
        if name in known.specs:
            yield from misfits(agent, known.specs[name])
        elif not known.may_be_served(name):
            yield f"nobody has the tool {name!r} ({near(name, known.specs)})"
    if agent.tools and known.specs.keys() >= set(agent.tools):
        parts = Parts(Library(here.knowledge), tools=known.tools)
        round_rules = misfit(replace(agent, models=(), sandbox=""), parts)
        if round_rules:
            yield round_rules


async def _unrouted(here: settings.Settings, agent: Agent) -> str:
    if not here.nats_url and not here.folder.is_dir():
        return (
            f"agent {agent.name!r} lists no models, and there is no log in {here.folder} whose"
            " routes name one: list a model, or apply routes (docs/routing.md)"
        )
    async with opened(here) as found:
        return await unrouted(found, agent)


def _known(here: settings.Settings, hooks: str | None) -> Known:
    found = folders_tools(here, environment={})
    own = parts_of(here, None, hooks).tools
    return Known({**found.tools, **own}, servers(here), found.problems)


def _say_checked(checked: Checked) -> None:
    for problem in checked.problems:
        warn(problem)
    if not checked.problems:
        tools = count(len(checked.tools), "tool")
        told = f"{checked.file}: {checked.agent}, {tools}, no mistake"
        if checked.warnings:
            told += f", {count(len(checked.warnings), 'warning')}"
        say(paragraph(told, rest="  "))
    for warning in checked.warnings:
        warn(f"{checked.file}: {warning}")


# -- on the log ---------------------------------------------------------------------------------


async def _listed(here: settings.Settings) -> list[Version]:
    async with opened(here) as found:
        numbers = await conversations(found)
        kept = await versions(found)
    return [replace(each, conversations=numbers.get(each.digest, 0)) for each in kept]


def _found(names: Sequence[str], data: Path | None) -> list[Version]:
    """What each of the names means. The log is opened only for those that are no files."""
    files = {name: from_file(name) for name in names}
    kept: list[Version] = []
    if None in files.values():
        kept = asyncio.run(_listed(existing(data)))
    return [files[name] or choose(name, kept) for name in names]


def _readable(version: Version) -> Agent:
    if version.agent is None:
        raise CommandRefused(f"version {version.short} is of another stepfold: upgrade")
    return version.agent


def _row(version: Version) -> tuple[str, ...]:
    return (
        version.agent.name if version.agent else "?",
        version.short,
        f"{version.kept:%Y-%m-%d %H:%M:%S}" if version.kept else "",
        f"{version.appointed:%Y-%m-%d %H:%M:%S}" if version.appointed else "",
        f"{version.conversations:,}",
    )


def _plain(version: Version) -> dict[str, object]:
    told: dict[str, object] = {"agent": version.agent.name if version.agent else None}
    for name in ("digest", "kept", "appointed", "conversations", "file"):
        told[name] = getattr(version, name)
    return told

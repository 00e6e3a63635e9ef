"""`stepfold tool`: the tools there are, what a model is shown of them, and one call by hand."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from stepfold import settings
from stepfold.cli.by_hand import BY_HAND, run_by_hand
from stepfold.cli.exits import REFUSED, CommandRefused
from stepfold.cli.options import Data, Json
from stepfold.cli.screen import count, paragraph, say, say_json, table, warn
from stepfold.cli.toolbox import TOOLS, Toolbox, gathered, servers
from stepfold.events.envelope import kind
from stepfold.events.event import (
    Event,
    ToolReturned,
)
from stepfold.events.values import Arguments
from stepfold.settings import Settings
from stepfold.tools.openapi.brief import CHARACTERS_PER_TOKEN, tokens
from stepfold.tools.printed import kept_apart
from stepfold.tools.tool import Tool, ToolSpec

DANGER = {
    "write": "it changes what your own systems hold",
    "external": "it reaches people or systems beyond your own",
}

commands = typer.Typer(
    help="List, show and try tools. They are in files and of connections; one is run by hand.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Tools = Annotated[
    list[Path] | None,
    typer.Option(
        "--tools",
        metavar="PATH",
        help=(
            "A .py or .toml file, or a folder of them; may be repeated (DIR/tools and"
            " DIR/connections of --data)."
        ),
    ),
]
Mcp = Annotated[
    bool,
    typer.Option("--mcp", help="Start the servers of DIR/mcp.toml, and take their tools too."),
]
Name = Annotated[str, typer.Argument(metavar="NAME", help="The tool's name.")]


@commands.command("list")
def list_(tools: Tools = None, mcp: Mcp = False, data: Data = None, json: Json = False) -> None:
    """The tools in files and of connections: what each may do, and about how many tokens a model is
    shown. Exit code 1 when some could not be loaded.
    """
    here = settings.read(folder=data)
    with kept_apart():
        found = asyncio.run(_looked_at(here, tools or (), mcp=mcp))
        for problem in found.problems:
            warn(problem)
        if json:
            for tool in found.tools.values():
                say_json(_plain(tool.spec))
        elif found.tools:
            _say_list([tool.spec for tool in found.tools.values()])
        _say_missing(here, tools or (), found, mcp=mcp, json=json)


@commands.command()
def show(
    name: Name, *, tools: Tools = None, mcp: Mcp = False, data: Data = None, json: Json = False
) -> None:
    """What a model is shown of a tool, and what is known of it beside that."""
    with kept_apart():
        found = asyncio.run(_looked_at(settings.read(folder=data), tools or (), mcp=mcp))
        spec = _named(name, found).spec
        if json:
            say_json({**_plain(spec), "parameters": spec.parameters, "result": spec.result})
        else:
            _say_shown(spec)


@commands.command()
def run(
    name: Name,
    *,
    tools: Tools = None,
    arguments: Annotated[
        str, typer.Option(metavar="JSON|-", help="The arguments, an object; - reads stdin.")
    ] = "{}",
    customer: Annotated[
        str, typer.Option(metavar="NAME", help="For which customer it runs.")
    ] = BY_HAND,
    contact: Annotated[str, typer.Option(metavar="NAME", help="For which contact it runs.")] = "",
    yes: Annotated[
        bool,
        typer.Option("--yes", help="Run it although it changes something: the effect is real."),
    ] = False,
    mcp: Mcp = False,
    data: Data = None,
    json: Json = False,
) -> None:
    """Run a tool once, as a worker would: arguments and result are held against its schemas.

    Nothing is written to a log. What a worker would record is printed, and what the tool itself
    prints goes to stderr; exit code 1 unless the tool returned.
    """
    given, here = _given(arguments), settings.read(folder=data)

    async def by_hand() -> tuple[Event, Mapping[str, Any]]:
        async with gathered(here, tools or (), mcp=mcp) as found:
            tool = _named(name, found)
            effect = tool.spec.effect
            if effect in DANGER and not yes:
                way_out = "if you mean it, say --yes"
                raise CommandRefused(f"{name} was not run: {DANGER[effect]}: {way_out}")
            return await run_by_hand(tool, given, customer, contact)

    with kept_apart():
        outcome, whole = asyncio.run(by_hand())
        if json:
            say_json({"outcome": kind(outcome), **_fields(outcome), **whole})
        elif isinstance(outcome, ToolReturned):
            _say_result(whole.get("result", outcome.result))
        else:
            warn(f"{name}: {_ended(outcome)}")
    if not isinstance(outcome, ToolReturned):
        raise typer.Exit(REFUSED)


# -- loading ------------------------------------------------------------------------------------


async def _looked_at(here: Settings, paths: Sequence[Path], *, mcp: bool) -> Toolbox:
    async with gathered(here, paths, mcp=mcp) as found:
        return found


def _say_missing(
    here: Settings, paths: Sequence[Path], found: Toolbox, *, mcp: bool, json: bool
) -> None:
    """What is not in the list, and the end that this makes."""
    names = () if mcp or paths or json else servers(here)
    if names:
        told = f"not started: the MCP servers {', '.join(names)}; --mcp lists their tools too"
        say(paragraph(told), dim=True)
    elif not found.tools and not found.problems:
        way_out = "name files or folders with --tools PATH"
        warn(f"{here.folder / TOOLS}: no tool is in it, and there is no connection: {way_out}")
        raise typer.Exit(REFUSED)
    if found.problems:
        raise typer.Exit(REFUSED)


def _named(name: str, found: Toolbox) -> Tool:
    known = found.tools
    if name not in known:
        for problem in found.problems:
            warn(problem)
        near = get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise CommandRefused(f"no tool is called {name!r} ({hint}known: {', '.join(known)})")
    return known[name]


def _given(told: str) -> Arguments:
    text = sys.stdin.read() if told == "-" else told
    try:
        given = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError) as error:
        way_out = """write an object, as --arguments '{"order": "A-17"}'"""
        raise CommandRefused(f"--arguments is no JSON: {error}: {way_out}") from error
    if not isinstance(given, dict):
        raise CommandRefused("--arguments is JSON, but no object: write {} for none")
    return given


# -- in words -----------------------------------------------------------------------------------


def _ended(outcome: Event) -> str:
    """Each outcome but a result has a reason."""
    reason = getattr(outcome, "reason", "")
    heads = {
        "tool.refused": "not run",
        "tool.failed": "failed",
        "tool.unknown": "whether it took effect is not known",
    }
    return f"{heads.get(kind(outcome), kind(outcome))}: {reason}"


def _say_list(specs: Sequence[ToolSpec]) -> None:
    columns = ("tool", "effect", "recovery", "trusted", "tokens")
    say(table(columns, [_row(each) for each in specs], numbers=[4]))
    total = sum(map(_tokens, specs))
    shown = f"about {total:,} tokens shown ({CHARACTERS_PER_TOKEN} characters a token)"
    say(paragraph(f"{count(len(specs), 'tool')}, {shown}"))


def _say_shown(spec: ToolSpec) -> None:
    limit = f"{spec.timeout_s:g} s" if spec.timeout_s else "the agent's own time limit"
    whose = "the company's" if spec.trusted else "a stranger's"
    known = f"{spec.effect}, {spec.recovery}, {limit}; what it returns is {whose} word"
    say(f"{spec.name}  {_tokens(spec):,} tokens", bold=True)
    say(paragraph(spec.description, first="  ", rest="  "))
    say(paragraph(known, first="  ", rest="  "), dim=True)
    for head, schema in (("arguments", spec.parameters), ("result", spec.result)):
        say(head, bold=True)
        say(_indented(schema) if schema else "  anything")


def _say_result(result: Any) -> None:
    say(result if isinstance(result, str) else _indented(result))


def _indented(value: Any) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def _fields(outcome: Event) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.to_builtins(outcome)
    shown = ("result", "reason", "elapsed_ms")
    return {name: told[name] for name in shown if name in told}


def _row(spec: ToolSpec) -> tuple[str, ...]:
    trusted = "yes" if spec.trusted else "no"
    return spec.name, spec.effect, spec.recovery, trusted, f"{_tokens(spec):,}"


def _plain(spec: ToolSpec) -> dict[str, Any]:
    return {
        "name": spec.name,
        "description": spec.description,
        "effect": spec.effect,
        "recovery": spec.recovery,
        "trusted": spec.trusted,
        "timeout_s": spec.timeout_s,
        "tokens": _tokens(spec),
    }


def _tokens(spec: ToolSpec) -> int:
    return tokens(spec.name, spec.description, spec.parameters)

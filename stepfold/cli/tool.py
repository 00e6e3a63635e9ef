"""`stepfold tool`: the tools in files, what a model is shown of them, and one call by hand."""

from __future__ import annotations

import asyncio
import sys
import traceback
import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from stepfold import settings
from stepfold.cli.exits import REFUSED, CommandRefused
from stepfold.cli.options import Data, Json
from stepfold.cli.screen import count, paragraph, say, say_json, table, warn
from stepfold.events.envelope import Entry, first, kind, record
from stepfold.events.event import (
    ConversationStarted,
    Event,
    MessageReceived,
    Reasoned,
    ReasonRequested,
    ToolRequested,
    ToolReturned,
)
from stepfold.events.values import Arguments, ToolCall
from stepfold.handlers.tool import RunTool
from stepfold.policy.agent import Agent, Limits, digest
from stepfold.policy.grants import resolve
from stepfold.projections.conversation import Conversation, replay
from stepfold.streams.memory import MemoryFiles
from stepfold.tools.files import ENDINGS, ToolsRefused, load_tools
from stepfold.tools.function import ReconcilingTool
from stepfold.tools.openapi.brief import CHARACTERS_PER_TOKEN, tokens
from stepfold.tools.tool import Reconciling, Tool, ToolSpec
from stepfold.tools.unsure import Unsure

FOLDER = "tools"
BY_HAND = "by-hand"
DANGER = {
    "write": "it changes what your own systems hold",
    "external": "it reaches people or systems beyond your own",
}

commands = typer.Typer(
    help="List and show the tools in files, and run one by hand.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Tools = Annotated[
    list[Path] | None,
    typer.Option(
        "--tools",
        metavar="PATH",
        help="A .py or .toml file, or a folder of them; may be repeated (DIR/tools of --data).",
    ),
]
Name = Annotated[str, typer.Argument(metavar="NAME", help="The tool's name.")]


@commands.command("list")
def list_(tools: Tools = None, data: Data = None, json: Json = False) -> None:
    """The tools in files: what each may do, and about how many tokens a model is shown."""
    found = _loaded(tools, data)
    if json:
        for each in found:
            say_json(_plain(each.spec))
        return
    columns = ("tool", "effect", "recovery", "trusted", "tokens")
    say(table(columns, [_row(each.spec) for each in found], numbers=[4]))
    total = sum(_tokens(each.spec) for each in found)
    shown = f"about {total:,} tokens shown ({CHARACTERS_PER_TOKEN} characters a token)"
    say(paragraph(f"{count(len(found), 'tool')}, {shown}"))


@commands.command()
def show(name: Name, *, tools: Tools = None, data: Data = None, json: Json = False) -> None:
    """What a model is shown of a tool, and what is known of it beside that."""
    spec = _named(name, _loaded(tools, data)).spec
    if json:
        say_json({**_plain(spec), "parameters": spec.parameters, "result": spec.result})
        return
    limit = f"{spec.timeout_s:g} s" if spec.timeout_s else "the agent's own time limit"
    whose = "the company's" if spec.trusted else "a stranger's"
    known = f"{spec.effect}, {spec.recovery}, {limit}; what it returns is {whose} word"
    say(f"{spec.name}  {_tokens(spec):,} tokens", bold=True)
    say(paragraph(spec.description, first="  ", rest="  "))
    say(paragraph(known, first="  ", rest="  "), dim=True)
    for head, schema in (("arguments", spec.parameters), ("result", spec.result)):
        say(head, bold=True)
        say(_indented(schema) if schema else "  anything")


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
    data: Data = None,
    json: Json = False,
) -> None:
    """Run a tool once, as a worker would: arguments and result are held against its schemas.

    Nothing is written to a log. What a worker would record is printed; exit code 1 unless the tool
    returned.
    """
    tool = _named(name, _loaded(tools, data))
    given = _given(arguments)
    spec = tool.spec
    if spec.effect in DANGER and not yes:
        way_out = "if you mean it, say --yes"
        raise CommandRefused(f"{name} was not run: {DANGER[spec.effect]}: {way_out}")
    outcome, whole = asyncio.run(_run(tool, given, customer, contact))
    if json:
        say_json({"outcome": kind(outcome), **_fields(outcome), **whole})
    elif isinstance(outcome, ToolReturned):
        _say_result(whole.get("result", outcome.result))
    else:
        warn(f"{name}: {_ended(outcome)}")
    if not isinstance(outcome, ToolReturned):
        raise typer.Exit(REFUSED)


# -- loading ------------------------------------------------------------------------------------


def _loaded(paths: Sequence[Path] | None, data: Path | None) -> Sequence[Tool]:
    """All tools in these files, by name; an end with every mistake when there is one."""
    paths = paths or (settings.read(folder=data).folder / FOLDER,)
    found: dict[str, Tool] = {}
    problems: list[str] = []
    for path in paths:
        if not path.is_dir() and (not path.exists() or path.suffix not in ENDINGS):
            why = "it is no .py or .toml file" if path.exists() else "there is no such file"
            problems.append(f"{path}: {why}: name files or folders of tools with --tools PATH")
            continue
        try:
            loaded = load_tools(path)
        except ToolsRefused as error:
            problems += error.problems
            continue
        problems += [f"{path}: {why}" for each in loaded for why in _wrong(each, found)]
        found |= {each.spec.name: each for each in loaded}
    if not found and not problems:
        problems.append(f"{paths[0]}: no tool is in it: name another with --tools PATH")
    if problems:
        for problem in problems:
            warn(problem)
        raise typer.Exit(REFUSED)
    return tuple(found[name] for name in sorted(found))


def _wrong(tool: Tool, found: Mapping[str, Tool]) -> Iterator[str]:
    spec = tool.spec
    if spec.name in found:
        yield f"another file has a tool {spec.name!r}: rename one"
    unanswered = isinstance(tool, ReconcilingTool) and not spec.lookup
    if spec.recovery == "reconcile" and (unanswered or not isinstance(tool, Reconciling)):
        yield f"tool {spec.name!r} has no lookup: write one below @NAME.reconcile"


def _named(name: str, tools: Sequence[Tool]) -> Tool:
    known = {each.spec.name: each for each in tools}
    if name not in known:
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


# -- running ------------------------------------------------------------------------------------


async def _run(
    tool: Tool, given: Arguments, customer: str, contact: str
) -> tuple[Event, dict[str, Any]]:
    """What a worker would record; of a long result the whole as well."""
    spec = tool.spec
    limits = Limits(call_s=spec.timeout_s or Limits().call_s)
    asked = Agent(BY_HAND, models=(BY_HAND,), tools=(spec.name,), limits=limits)
    agent = resolve(asked, {spec.name: spec})
    files = MemoryFiles()
    worker = RunTool({spec.name: tool}, files)
    entry, state = _requested(agent, given, customer, contact)
    outcome = worker.forbid(entry, state, agent) or await _outcome(worker, entry, state, agent)
    if not isinstance(outcome, ToolReturned) or outcome.file is None:
        return outcome, {}
    kept = await files.get(outcome.file.blob)
    is_text = outcome.file.media == "text/plain"
    return outcome, {"result": kept.decode() if is_text else msgspec.json.decode(kept)}


def _requested(
    agent: Agent, given: Arguments, customer: str, contact: str
) -> tuple[Entry, Conversation]:
    """A conversation in which a model wants this one call; its key is new each time."""
    (name,) = agent.tools
    request = ToolRequested("r1.1", 1, name, given)
    calls = (ToolCall("r1.1", name, given),)
    state = replay(
        (
            ConversationStarted(agent.name, digest(agent), contact=contact),
            MessageReceived("", contact=contact, message="m1"),
            ReasonRequested("r1", 1, BY_HAND, agent.tools, heard=1),
            Reasoned("r1", 1, BY_HAND, calls, finish="tool_calls"),
            request,
        )
    )
    conversation = f"{BY_HAND}-{uuid.uuid4().hex[:12]}"
    draft = first(customer, conversation, request, by=BY_HAND, key="r1.1")
    return record(draft, position=5, at=datetime.now(UTC), after=4), state


async def _outcome(worker: RunTool, entry: Entry, state: Conversation, agent: Agent) -> Event:
    request = entry.event
    assert isinstance(request, ToolRequested)
    try:
        async with asyncio.timeout(agent.limits.call_s):
            return await worker.run(entry, state, agent)
    except TimeoutError as error:
        reason, why = "timeout", str(error) or f"no outcome within {agent.limits.call_s:g} s"
    except Unsure as error:
        reason, why = "timeout", str(error)
    except Exception as error:  # noqa: BLE001  (whatever a stranger's function brings about)
        reason, why = "bug", f"{type(error).__name__}: {error} ({_where(error)})"
    return worker.failed(request, reason, why, retryable=False)


def _where(error: BaseException) -> str:
    """The file and line that raised it."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{frame.filename}:{frame.lineno}"


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

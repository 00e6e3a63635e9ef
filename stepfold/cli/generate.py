"""`stepfold generate`: JSON that fits a schema, of one input or of many."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from msgspec import Struct, to_builtins
from msgspec.structs import replace

from stepfold import settings
from stepfold.app import Opened, Parts, opened, working
from stepfold.cli import find
from stepfold.cli.briefs import Order, read_briefs, read_input, read_schema
from stepfold.cli.exits import REFUSED, STOPPED, CommandRefused
from stepfold.cli.files import kept
from stepfold.cli.options import Data, HooksModule, Json, Script, Traceparent
from stepfold.cli.screen import count, lapse, price, say_json, warn
from stepfold.cli.stop import Stop, until_stopped
from stepfold.cli.workers import parts_of
from stepfold.handlers.batch import AT_ONCE, Unmade, generate_many
from stepfold.handlers.generation import (
    TIMEOUT_S,
    GenerationError,
    GenerationLate,
    Made,
    conversation_of,
)
from stepfold.settings import Settings
from stepfold.settings.written_forms import unnamed
from stepfold.tasks import READY, Brief, Judge, checked, grounds, told

CUSTOMER = "generate"
LANE = "generate"
LOOK_S = 0.5
"""How long it is looked whether an end is in the log."""


class Source(Struct, frozen=True):
    """What one brief is made of: an input or a conversation of the log, and a file beside it."""

    input: Any = ""
    conversation: str | None = None
    file: Path | None = None


class Run(Struct, frozen=True):
    """On which log and by which workers; who pays, and how the outputs are told. `own` says that
    the command brought something for its workers.
    """

    here: Settings
    parts: Parts
    own: bool
    customer: str
    batch: str
    at_once: int
    timeout_s: float
    trace: str
    json: bool


def generate(
    *,
    task: Annotated[
        str, typer.Option(metavar="TASK", help=f"{', '.join(READY)}, or one of your own.")
    ],
    input: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="JSON or text, in a file or - for stdin."),
    ] = None,
    many: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Many inputs instead, one JSON a line.")
    ] = None,
    conversation: Annotated[
        str | None,
        typer.Option(metavar="CONVERSATION", help="One of the log, to summarise or to judge."),
    ] = None,
    schema: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="JSON Schema of the output (ready tasks have one)."),
    ] = None,
    instructions: Annotated[
        str, typer.Option(metavar="TEXT", help="What to do (ready tasks know it).")
    ] = "",
    file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="An image or a document, beside --input.")
    ] = None,
    model: Annotated[str, typer.Option(metavar="MODEL", help="Ask this one, by no route.")] = "",
    customer: Annotated[str, typer.Option(metavar="C", help="Who pays for it.")] = CUSTOMER,
    batch: Annotated[
        str, typer.Option(metavar="NAME", help="Another name makes the same inputs again.")
    ] = "",
    at_once: Annotated[
        int, typer.Option(min=1, metavar="N", help="So many of --many at once.")
    ] = AT_ONCE,
    timeout: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="Wait so long for each.")
    ] = TIMEOUT_S,
    script: Script = None,
    hooks: HooksModule = None,
    traceparent: Traceparent = "",
    data: Data = None,
    json: Json = False,
) -> None:
    """Have JSON made that fits a schema. Where nobody serves the log, it brings its own worker.

    With --many a line is printed for each input as it is done; what was made before is found, so
    run it again to go on. Exit code 1 when an output is missing.
    """
    if sum(each is not None for each in (input, many, conversation)) > 1:
        raise typer.BadParameter("give one of --input, --many and --conversation")
    if many is not None and file is not None:
        raise typer.BadParameter("--file goes with --input")
    if not (input or many or conversation or file):
        raise typer.BadParameter("give one of --input, --many, --conversation, --file")
    if not model and (why := unnamed(task)):
        raise typer.BadParameter(f"{why}; with --model it needs no route and any name will do")
    order = Order(task, read_schema(schema) if schema else None, instructions, model)
    here = settings.read(folder=data)
    run = Run(
        here=here,
        parts=parts_of(here, script, hooks),
        own=bool(script or hooks),
        customer=customer,
        batch=batch,
        at_once=at_once,
        timeout_s=timeout,
        trace=traceparent,
        json=json,
    )
    if many is not None:
        asyncio.run(_make_many(run, list(read_briefs(many, order))))
    else:
        given = read_input(input) if input else ""
        asyncio.run(_make(run, order, Source(given, conversation, file)))


async def _make(run: Run, order: Order, source: Source) -> None:
    late: GenerationLate | None = None
    try:
        async with _served(run) as (found, own):
            brief = await _brief(found, order, source)
            try:
                made = await _made(found, run, brief, run.timeout_s)
            except GenerationLate as error:
                late = error
                if own:
                    warn(f"no end within {run.timeout_s:g} s; finishing what is in hand")
        if late is not None:
            made = await _made_meanwhile(run, brief, late)
    except GenerationError as error:
        raise CommandRefused(_why(run, error)) from error
    output = checked(brief, made.output)
    if run.json:
        say_json(replace(made, output=output))
        return
    say_json(output)
    how = "made before" if made.before else count(made.attempts, "attempt")
    warn(f"{made.model}, {how}, {lapse(made.elapsed_ms)}, {price(made.cost_usd)}")


async def _made(found: Opened, run: Run, brief: Brief, timeout_s: float) -> Made:
    return await found.generations().make(
        brief,
        customer=run.customer,
        conversation=conversation_of(brief, run.batch),
        trace=run.trace,
        timeout_s=timeout_s,
    )


async def _made_meanwhile(run: Run, brief: Brief, late: GenerationLate) -> Made:
    """What was late may have come while the worker of this command ended."""
    async with opened(run.here) as found:
        try:
            return await _made(found, run, brief, LOOK_S)
        except GenerationLate:
            raise late from None


async def _brief(found: Opened, order: Order, source: Source) -> Brief:
    given = source.input
    if source.conversation is not None:
        steps = [entry.event for entry in await find.read(found, source.conversation)]
        given = to_builtins(grounds(steps) if order.task == Judge.name else told(steps))
    return order.brief(given, await kept(found, source.file) if source.file else None)


def _why(run: Run, error: GenerationError) -> str:
    if not error.conversation:
        return str(error)
    name = f"{run.customer}/{error.conversation}"
    return f"{error}; `stepfold why {name}` shows each attempt"


@asynccontextmanager
async def _served(run: Run) -> AsyncIterator[tuple[Opened, bool]]:
    """The log, and whether this command brought the worker."""
    async with opened(run.here) as found:
        if LANE not in await found.served():
            async with working(found, run.parts, roles=(LANE,)):
                yield found, True
        elif run.own:
            raise CommandRefused(
                "workers serve this log, and they answer with what they were started with: stop"
                " them, or leave out --script and --hooks"
            )
        else:
            yield found, False


# -- many ---------------------------------------------------------------------------------------


async def _make_many(run: Run, briefs: Sequence[tuple[int, Brief]]) -> None:
    stop = Stop(lambda: warn("finishing what is in hand; once more stops at once"))
    made = before = 0
    async with _served(run) as (found, _):
        results = generate_many(
            found.generations(),
            (brief for _, brief in briefs),
            customer=run.customer,
            batch=run.batch,
            at_once=run.at_once,
            timeout_s=run.timeout_s,
            trace=run.trace,
        )
        with _told(len(briefs), bar=not run.json) as tell:
            async for place, each in until_stopped(results, stop):
                made += isinstance(each, Made)
                before += isinstance(each, Made) and each.before
                tell(_line(*briefs[place], each))
    if stop.signals:
        warn(f"stopped: {made} of {count(len(briefs), 'input')} made; run it again to go on")
        raise typer.Exit(STOPPED)
    if not run.json:
        warn(f"{made} of {count(len(briefs), 'input')} made, {before} of them before")
    if made < len(briefs):
        raise typer.Exit(REFUSED)


def _line(line: int, brief: Brief, each: Made | Unmade) -> dict[str, Any]:
    """An output, or why there is none, with the line of its input."""
    if isinstance(each, Made):
        each = replace(each, output=checked(brief, each.output))
    return {"line": line, **{name: getattr(each, name) for name in each.__struct_fields__}}


@contextmanager
def _told(total: int, *, bar: bool) -> Iterator[Callable[[dict[str, Any]], None]]:
    """What says each line on stdout, with a bar on the terminal at stderr. The lines go where they
    are to go, whole: rich would fold them and take them to the terminal of its bar.
    """
    if not bar or not sys.stderr.isatty():
        yield say_json
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console, same = Console(stderr=True), sys.stdout.isatty()
    with Progress(*columns, console=console, transient=True, redirect_stdout=False) as progress:
        task = progress.add_task("", total=total)

        def tell(line: dict[str, Any]) -> None:
            if same:
                progress.stop()
            say_json(line)
            if same:
                progress.start()
            progress.advance(task)

        yield tell

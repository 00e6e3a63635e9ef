"""`stepfold generate`: JSON that fits a schema, of one input or of many."""

from __future__ import annotations

import asyncio
import mimetypes
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from msgspec import Struct

from stepfold import settings
from stepfold.app import Opened, Parts, opened, working
from stepfold.cli import find
from stepfold.cli.briefs import Order, read_briefs, read_input, read_schema
from stepfold.cli.exits import REFUSED, CommandRefused
from stepfold.cli.options import Data, HooksModule, Json, Script
from stepfold.cli.screen import count, lapse, price, say_json, warn
from stepfold.cli.workers import parts_of
from stepfold.events.values import FileRef
from stepfold.handlers.batch import AT_ONCE, Unmade, generate_many
from stepfold.handlers.generation import TIMEOUT_S, Made
from stepfold.settings import Settings
from stepfold.tasks import READY, Brief, told

CUSTOMER = "generate"
LANE = "generate"


class Many(Struct, frozen=True):
    """How many inputs are worked through."""

    customer: str
    batch: str
    at_once: int
    timeout_s: float


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
        str | None, typer.Option(metavar="CONVERSATION", help="One of the log, to summarise.")
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
    order = Order(task, read_schema(schema) if schema else None, instructions, model)
    here = settings.read(folder=data)
    parts, own = parts_of(here, script, hooks), bool(script or hooks)
    how = Many(customer, batch, at_once, timeout)
    if many is not None:
        briefs = list(read_briefs(many, order))
        asyncio.run(_make_many(here, parts, briefs, how, own=own, json=json))
        return
    given = "" if input is None else read_input(input)
    if input is None and conversation is None and file is None:
        raise typer.BadParameter("give one of --input, --many, --conversation, --file")
    asyncio.run(_make(here, parts, order, given, conversation, file, how, own=own, json=json))


async def _make(
    here: Settings,
    parts: Parts,
    order: Order,
    given: Any,
    conversation: str | None,
    file: Path | None,
    how: Many,
    *,
    own: bool,
    json: bool,
) -> None:
    async with _served(here, parts, own=own) as found:
        if conversation is not None:
            entries = await find.read(found, conversation)
            given = msgspec.to_builtins(told(entry.event for entry in entries))
        ref = await _kept(found, file) if file is not None else None
        brief = order.brief(given, ref)
        made = await found.generations().make(brief, customer=how.customer, timeout_s=how.timeout_s)
    if json:
        say_json(made)
        return
    say_json(made.output)
    attempts = count(made.attempts, "attempt")
    warn(f"{made.model}, {attempts}, {lapse(made.elapsed_ms)}, {price(made.cost_usd)}")


async def _kept(found: Opened, file: Path) -> FileRef:
    """The bytes go into the object store: an event only names them."""
    media, _ = mimetypes.guess_type(file.name)
    if media is None:
        raise CommandRefused(f"{file}: its name says no kind: end it in .png, .jpg, .pdf")
    return FileRef(media, await found.files.put(file.read_bytes()), name=file.name)


@asynccontextmanager
async def _served(here: Settings, parts: Parts, *, own: bool) -> AsyncIterator[Opened]:
    async with opened(here) as found:
        if LANE not in await found.served():
            async with working(found, parts, roles=(LANE,)):
                yield found
        elif own:
            raise CommandRefused(
                "workers serve this log, and they answer with what they were started with: stop"
                " them, or leave out --script and --hooks"
            )
        else:
            yield found


# -- many ---------------------------------------------------------------------------------------


async def _make_many(
    here: Settings,
    parts: Parts,
    briefs: Sequence[tuple[int, Brief]],
    how: Many,
    *,
    own: bool,
    json: bool,
) -> None:
    made = before = 0
    async with _served(here, parts, own=own) as found:
        with _progress(len(briefs), wanted=not json) as advance:
            results = generate_many(
                found.generations(),
                (brief for _, brief in briefs),
                customer=how.customer,
                batch=how.batch,
                at_once=how.at_once,
                timeout_s=how.timeout_s,
            )
            async with aclosing(results):
                async for place, each in results:
                    made += isinstance(each, Made)
                    before += isinstance(each, Made) and each.before
                    say_json(_line(briefs[place][0], each))
                    advance()
    if not json:
        warn(f"{made} of {count(len(briefs), 'input')} made, {before} of them before")
    if made < len(briefs):
        raise typer.Exit(REFUSED)


def _line(line: int, each: Made | Unmade) -> dict[str, Any]:
    """An output, or why there is none, with the line of its input."""
    return {"line": line, **{name: getattr(each, name) for name in each.__struct_fields__}}


@contextmanager
def _progress(total: int, *, wanted: bool) -> Iterator[Callable[[], None]]:
    """A bar on a terminal; the lines of the outputs go to stdout beside it."""
    if not wanted or not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn as Bar
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = (Bar(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total)
        yield lambda: bar.advance(task)

"""`stepfold export` and `stepfold import`: logs as files, and files as logs."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Literal

import typer

from stepfold import settings
from stepfold.app import Opened, opened
from stepfold.cli.exits import CommandRefused
from stepfold.cli.find import find
from stepfold.cli.options import Data, Json
from stepfold.cli.screen import count, paragraph, say, say_json
from stepfold.cli.where import existing
from stepfold.evaluation.as_test import as_test
from stepfold.evaluation.openai_chat import Recording, conversations, write
from stepfold.settings import Settings
from stepfold.streams.archive import export as lines_of
from stepfold.streams.archive import load
from stepfold.streams.restore import restore

Format = Literal["stepfold", "openai-chat"]
STDOUT = Path("-")
UNUSED_TOLD_MAX = 10


def export(
    conversation: Annotated[
        str | None,
        typer.Argument(metavar="[CONVERSATION]", help="One alone (default: the whole log)."),
    ] = None,
    *,
    output: Annotated[
        Path, typer.Option(metavar="FILE", help="Where to (default: stdout).")
    ] = STDOUT,
    test: Annotated[
        bool, typer.Option("--as-test", help="A pytest file, and logs/*.jsonl beside it.")
    ] = False,
    data: Data = None,
    json: Json = False,
) -> None:
    """Write steps as JSON lines.

    They are what `import`, `replay` and `rebuild` read.
    """
    here = existing(data)
    if test:
        _export_test(here, conversation, output, json=json)
        return
    number = asyncio.run(_export(here, conversation, output))
    if output != STDOUT:
        _tell(
            {"file": str(output), "lines": number}, f"{output}: {count(number, 'line')}", json=json
        )


async def _export(here: Settings, name: str | None, output: Path) -> int:
    async with opened(here) as found:
        key = await find(found, name) if name else None
        lines = lines_of(found.log, found.agents, found.routes, key=key)
        if output == STDOUT:
            return await _write_out(lines)
        return await _write_file(lines, output)


async def _write_out(lines: AsyncIterator[bytes]) -> int:
    number = 0
    async for line in lines:
        sys.stdout.buffer.write(line)
        number += 1
    sys.stdout.flush()
    return number


async def _write_file(lines: AsyncIterator[bytes], output: Path) -> int:
    """Beside its place first: a file of that name is whole or not there."""
    output.parent.mkdir(parents=True, exist_ok=True)
    beside = output.with_name(output.name + ".new")
    number = 0
    with beside.open("wb") as file:
        async for line in lines:
            file.write(line)
            number += 1
    beside.replace(output)
    return number


def _export_test(here: Settings, name: str | None, output: Path, *, json: bool) -> None:
    if name is None:
        raise typer.BadParameter("a test is about one: name it", param_hint="CONVERSATION")
    word = re.sub(r"[^a-z0-9]+", "_", name.partition("/")[2].lower() or name.lower()).strip("_")
    test = Path(f"test_{word}.py") if output == STDOUT else output
    if test.exists():
        raise CommandRefused(f"{test} is there already: remove it, or name another with --output")
    log = test.parent / "logs" / f"{word}.jsonl"
    asyncio.run(_export(here, name, log))
    test.write_text(as_test(load(log), log=f"logs/{log.name}"))
    _tell({"test": str(test), "log": str(log)}, f"{test}, which replays {log}", json=json)


def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What to read.")],
    *,
    format: Annotated[
        Format,
        typer.Option(
            metavar="stepfold|openai-chat", help="What `export` wrote, or recorded chats."
        ),
    ] = "stepfold",
    customer: Annotated[
        str, typer.Option(metavar="C", help="Whose conversations recordings become.")
    ] = "imported",
    template: Annotated[
        str,
        typer.Option(
            metavar="TEXT", help="A recording's name, of its keys and {line}: {task_id}-{trial}."
        ),
    ] = "",
    data: Data = None,
    json: Json = False,
) -> None:
    """Append the conversations of a file to the log. A second time nothing is added."""
    here = settings.read(folder=data)
    if format == "stepfold":
        asyncio.run(_restore(here, file, json=json))
    else:
        asyncio.run(_import_chat(here, file, customer, template, json=json))


async def _restore(here: Settings, file: Path, *, json: bool) -> None:
    archive = load(file)
    async with opened(here) as found:
        if await found.served():
            raise CommandRefused(
                "workers serve this log and would do again what is only half restored:"
                " stop them, then import"
            )
        done = await restore(archive, found.log, found.agents, found.routes)
    told = f"{count(done.conversations, 'conversation')}, {count(done.steps, 'new step')}"
    if done.strays:
        told += f"; {done.strays} left out that belong to no conversation"
    _tell(done, told, json=json)


async def _import_chat(
    here: Settings, file: Path, customer: str, template: str, *, json: bool
) -> None:
    recordings = list(conversations(file, customer=customer, template=template))
    async with opened(here) as found:
        steps = await _write_all(found, recordings)
    unused = sorted({name for recording in recordings for name in recording.unused})
    told = f"{count(len(recordings), 'conversation')}, {count(steps, 'new step')}"
    if unused:
        rest = f" and {len(unused) - UNUSED_TOLD_MAX} more" * (len(unused) > UNUSED_TOLD_MAX)
        told += "; no step holds " + ", ".join(unused[:UNUSED_TOLD_MAX]) + rest
    form = {"conversations": len(recordings), "steps": steps, "unused": unused}
    _tell(form, told, json=json)


async def _write_all(found: Opened, recordings: list[Recording]) -> int:
    written = [await write(each, found.log, found.agents) for each in recordings]
    return sum(written)


def _tell(form: object, told: str, *, json: bool) -> None:
    if json:
        say_json(form)
    else:
        say(paragraph(told))

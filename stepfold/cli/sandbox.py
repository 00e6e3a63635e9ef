"""`stepfold sandbox`: run code by hand where an agent's code runs, and see where it can run."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer

from stepfold.cli.exits import REFUSED, CommandRefused
from stepfold.cli.options import Json
from stepfold.cli.plain import plain
from stepfold.cli.screen import count, lapse, say, say_json, warn
from stepfold.sandbox.backends import BACKENDS, sandbox
from stepfold.sandbox.sandbox import Code, Limits, Ran, Sandbox, SandboxError, is_safe

CODE_BYTES_MAX = 1_000_000
KB, MB = 1_000, 1_000_000
MOST = Limits()

commands = typer.Typer(
    help="Run code in a sandbox by hand.", no_args_is_help=True, rich_markup_mode=None
)


def _backend(name: str) -> str:
    if name not in BACKENDS:
        raise typer.BadParameter(f"{name!r} is none (known: {', '.join(BACKENDS)})")
    return name


@commands.command()
def run(
    *,
    backend: Annotated[
        str,
        typer.Option(metavar="NAME", callback=_backend, help=f"{', '.join(BACKENDS)}."),
    ] = "monty",
    file: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="A file for its working folder; may be repeated."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the files that it made go.")
    ] = None,
    cpu_s: Annotated[float, typer.Option(min=0.01, help="CPU time, seconds.")] = MOST.cpu_s,
    wall_s: Annotated[float, typer.Option(min=0.01, help="Time, seconds.")] = MOST.wall_s,
    memory_mb: Annotated[int, typer.Option(min=1)] = MOST.memory_bytes // MB,
    output_kb: Annotated[
        int, typer.Option(min=1, help="What is printed; as much again for the result.")
    ] = MOST.output_bytes // KB,
    files: Annotated[int, typer.Option(min=0, help="Files at the end.")] = MOST.files_max,
    files_kb: Annotated[int, typer.Option(min=0)] = MOST.files_bytes // KB,
    processes: Annotated[int, typer.Option(min=1, help="Threads too.")] = MOST.processes_max,
    calls: Annotated[int, typer.Option(min=1, help="In monty: uses of files.")] = MOST.calls_max,
    json: Json = False,
) -> None:
    """Run the Python program on stdin. What it prints and its result go to stdout.

    The value of a last line that is an expression is the result. Exit code 0 for the outcome
    `ok`, 1 for any other.
    """
    limits = Limits(
        cpu_s=cpu_s,
        wall_s=wall_s,
        memory_bytes=memory_mb * MB,
        output_bytes=output_kb * KB,
        files_max=files,
        files_bytes=files_kb * KB,
        processes_max=processes,
        calls_max=calls,
    )
    code = Code(_text(), {path.name: path.read_bytes() for path in file or ()}, limits)
    try:
        ran = asyncio.run(_ran(sandbox(backend), code))
    except SandboxError as error:
        raise CommandRefused(str(error)) from error
    if out is not None:
        _keep(ran, out)
    if json:
        say_json(ran)
    else:
        _say(ran)
    if ran.outcome != "ok":
        raise typer.Exit(REFUSED)


@commands.command()
def check(*, json: Json = False) -> None:
    """Which sandboxes can isolate on this machine, and what the others miss."""
    found = {name: asyncio.run(_missing(name)) for name in BACKENDS}
    if json:
        say_json(found)
        return
    for name, missing in found.items():
        say(f"{name}: {plain(missing) or 'ready'}")


async def _ran(where: Sandbox, code: Code) -> Ran:
    try:
        return await where.run(code)
    finally:
        await where.close()


async def _missing(name: str) -> str:
    where = sandbox(name)
    try:
        return await where.missing()
    finally:
        await where.close()


def _text() -> str:
    given = sys.stdin.buffer.read(CODE_BYTES_MAX + 1)
    if len(given) > CODE_BYTES_MAX:
        raise CommandRefused(f"the code on stdin is longer than {CODE_BYTES_MAX} bytes")
    try:
        return given.decode()
    except UnicodeDecodeError as error:
        raise CommandRefused(f"the code on stdin is not UTF-8 ({error}): convert it") from error


def _keep(ran: Ran, folder: Path) -> None:
    for name, content in ran.files.items():
        assert is_safe(name), name
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _say(ran: Ran) -> None:
    if ran.output:
        say(plain(ran.output).rstrip("\n"))
    if ran.result is not None:
        say_json(ran.result)
    made = "".join(f", {plain(name)}" for name in ran.files)
    reason = f" ({ran.reason})" if ran.reason else ""
    files = f", {count(len(ran.files), 'file')}{made}" if ran.files else ""
    warn(f"{ran.outcome}{reason}, {lapse(ran.usage.wall_s * 1000)}{files}")

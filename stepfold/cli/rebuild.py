"""`stepfold rebuild`: the views once more, from the log or from an archive."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec import Struct

from stepfold.app import opened
from stepfold.cli.exits import REFUSED
from stepfold.cli.options import Data, Json
from stepfold.cli.screen import count, paragraph, say, say_json
from stepfold.cli.viewing import catch_up, open_views
from stepfold.cli.where import existing
from stepfold.events.steps import Stored
from stepfold.settings import Settings
from stepfold.streams.archive import load

if TYPE_CHECKING:
    from stepfold.projections.views import Views

BATCH = 20_000


class Built(Struct, frozen=True):
    """`differs` is the hash of the views that were there, when they were compared and differ."""

    views: str
    steps: int
    elapsed_s: float
    hash: str
    differs: str = ""


def rebuild(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="FILE", help="What `export` wrote (default: the log)."),
    ] = None,
    *,
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Only compare: a rebuild with the views as they grew, by hash."
        ),
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(metavar="VIEWS", help="The views of FILE (default: FILE with .duckdb)."),
    ] = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Make the views again, as a whole.

    The old ones are there until the new ones are. Exit code 1 when --check finds a difference.
    """
    if file is not None:
        built = _check_file(file) if check else _from_file(file, output)
    else:
        here = existing(data)
        built = asyncio.run(_check_log(here) if check else _from_log(here))
    if json:
        say_json(built)
    else:
        _say(built, checked=check)
    if built.differs:
        raise typer.Exit(REFUSED)


def _say(built: Built, *, checked: bool) -> None:
    rate = built.steps / built.elapsed_s if built.elapsed_s else 0
    took = f"{count(built.steps, 'step')} in {built.elapsed_s:.2f} s, {rate:,.0f} a second"
    say(paragraph(f"{built.views}: {took}"))
    say(f"hash {built.hash}" + (", equal" if checked and not built.differs else ""))
    if built.differs:
        say(f"the views as they grew have another: {built.differs}")
        say("rebuild them: stepfold rebuild")


# -- from the log -------------------------------------------------------------------------------


async def _from_log(here: Settings) -> Built:
    from stepfold.projections.views import ViewsStale, rebuilding

    async with opened(here) as found:
        try:
            (
                await open_views(here.views)
            ).close()  # ViewsBusy: somebody owns what is to be replaced
        except ViewsStale:
            here.views.with_name(here.views.name + ".wal").unlink(missing_ok=True)
        begin = time.perf_counter()
        with rebuilding(here.views) as fresh:
            await catch_up(found, fresh)
            return _built(fresh, here.views, begin)


async def _check_log(here: Settings) -> Built:
    from stepfold.projections.views import rebuilding

    async with opened(here) as found:
        grown = await open_views(here.views)
        with grown, TemporaryDirectory(prefix="stepfold-") as folder:
            await catch_up(found, grown)
            begin = time.perf_counter()
            with rebuilding(Path(folder) / "views.duckdb") as fresh:
                await catch_up(found, fresh, to=grown.position)
                return _built(fresh, here.views, begin, against=grown)


# -- from an archive ----------------------------------------------------------------------------


def _from_file(file: Path, output: Path | None) -> Built:
    from stepfold.projections.views import rebuilding

    views = output or file.with_suffix(".duckdb")
    begin = time.perf_counter()
    with rebuilding(views) as fresh:
        fresh.load_archive(file)
        return _built(fresh, views, begin)


def _check_file(file: Path) -> Built:
    """The columns of the whole file, against its steps one after the other."""
    from stepfold.projections.views import Views, rebuilding

    with (
        TemporaryDirectory(prefix="stepfold-") as folder,
        Views.open(Path(folder) / "grown.duckdb") as grown,
    ):
        for batch in _batches(load(file)):
            grown.fold(batch)
        begin = time.perf_counter()
        with rebuilding(Path(folder) / "views.duckdb") as fresh:
            fresh.load_archive(file)
            return _built(fresh, file, begin, against=grown)


def _batches(steps: Iterable[Stored]) -> Iterator[list[Stored]]:
    rest = iter(steps)
    while batch := list(islice(rest, BATCH)):
        yield batch


def _built(fresh: Views, views: Path, begin: float, *, against: Views | None = None) -> Built:
    elapsed_s = round(time.perf_counter() - begin, 3)
    is_, was = fresh.hash(), against.hash() if against is not None else ""
    return Built(str(views), fresh.position, elapsed_s, is_, was if was not in ("", is_) else "")

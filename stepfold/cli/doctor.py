"""`stepfold doctor`: is everything there that stepfold needs? One line a check, with the way out.

It changes nothing on disk and starts no server.
"""

from __future__ import annotations

import asyncio
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import typer
from msgspec import Struct
from msgspec.structs import replace

from stepfold import __version__, settings
from stepfold.app import Opened, opened
from stepfold.cli import exits, viewing
from stepfold.cli.options import Data, Json
from stepfold.cli.screen import count, paragraph, say, say_json
from stepfold.handlers.table import LANES
from stepfold.knowledge.library import Library
from stepfold.settings import Settings
from stepfold.streams import server
from stepfold.streams.ask import NobodyAnswers

LIBRARIES = ("nats-py", "faststream", "duckdb", "msgspec", "bm25s")
FREE_BYTES_MIN = 1_000_000_000
BINARY_S = 5.0
SERVER_S = 3.0


class Check(Struct, frozen=True):
    name: str
    ok: bool
    told: str


def doctor(data: Data = None, json: Json = False) -> None:
    """Check that everything is there that stepfold needs.

    Versions, folder, disk, knowledge, server, streams, workers and views. Exit code 1 when
    something is not ok.
    """
    here = settings.read(folder=data)
    checks = [*_at_rest(here), *asyncio.run(_running(here))]
    for check in checks:
        if json:
            say_json(check)
        else:
            word = "ok" if check.ok else "NOT OK"
            first = f"{word:<6} {check.name:<9} "
            say(paragraph(check.told, first=first, rest=" " * len(first)), bold=not check.ok)
    if not all(check.ok for check in checks):
        raise typer.Exit(exits.REFUSED)


# -- what needs no server -----------------------------------------------------------------------


def _at_rest(here: Settings) -> Iterator[Check]:
    yield _versions()
    yield _binary(here)
    yield _folder(here)
    yield _disk(here)
    yield _knowledge(here)


def _versions() -> Check:
    try:
        libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    except PackageNotFoundError as error:
        return Check("versions", False, f"{error.name} is not installed: pip install stepfold")
    return Check(
        "versions", True, f"stepfold {__version__}, Python {platform.python_version()}, {libraries}"
    )


def _binary(here: Settings) -> Check:
    if here.nats_url:
        return Check("binary", True, "not needed: NATS_URL is set")
    try:
        path = server.binary()
        said = subprocess.run(
            [path, "--version"], capture_output=True, text=True, timeout=BINARY_S, check=True
        )
    except (server.ServerError, OSError, subprocess.SubprocessError) as error:
        return Check("binary", False, exits.text(error))
    return Check("binary", True, f"{said.stdout.strip()}, {path}")


def _folder(here: Settings) -> Check:
    place = _existing(here.folder)
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError:  # the file system itself may refuse: rights alone do not tell
        told = f"{here.folder} cannot be written: set STEPFOLD_DATA_DIR, or give --data"
        return Check("folder", False, told)
    return Check("folder", True, str(here.folder) + (" (new)" if place != here.folder else ""))


def _disk(here: Settings) -> Check:
    free = shutil.disk_usage(_existing(here.folder)).free
    told = f"{free / 1e9:,.1f} GB free"
    if free < FREE_BYTES_MIN:
        told += f", less than {FREE_BYTES_MIN / 1e9:g}: make room, or move the folder with --data"
    return Check("disk", free >= FREE_BYTES_MIN, told)


def _existing(path: Path) -> Path:
    """`path`, or the nearest folder above it that exists."""
    return next((each for each in (path, *path.parents) if each.exists()), Path("/"))


def _knowledge(here: Settings) -> Check:
    try:
        collections = Library(here.knowledge).collections()
    except Exception as error:
        if exits.code(error) is None:
            raise
        return Check("knowledge", False, exits.text(error))
    told = ", ".join(f"{each.name}: {count(each.documents, 'document')}" for each in collections)
    return Check("knowledge", True, told or "none yet; add some: stepfold knowledge add PATH")


# -- what needs the server ----------------------------------------------------------------------


async def _running(here: Settings) -> list[Check]:
    if not here.nats_url:
        try:
            here = replace(here, nats_url=server.url(here.folder))
        except (server.ServerError, OSError):
            none = Check("server", True, "none runs in this folder; a command starts its own")
            return [none, *await _views_file(here, None)]
    checks: list[Check] = []
    try:
        async with asyncio.timeout(SERVER_S), opened(here) as found:
            checks.append(Check("server", True, f"answers at {exits.hide_password(found.url)}"))
            checks.append(Check("streams", True, f"{count(await found.log.last(), 'step')}"))
            checks.append(await _workers(found))
            checks += await _views(found, here)
    except TimeoutError:
        told = (
            f"{exits.hide_password(here.nats_url)} does not answer: is it there? is NATS_URL right?"
        )
        checks.append(Check("server", False, told))
    except Exception as error:
        code = exits.code(error)
        if code is None:
            raise
        what = "server" if code == exits.UNAVAILABLE else "streams"
        checks.append(Check(what, False, exits.text(error)))
    return checks


async def _workers(found: Opened) -> Check:
    served = await found.served()
    missing = [lane for lane in LANES if lane not in served]
    if not missing:
        return Check("workers", True, "every lane is served")
    told = f"nobody serves {', '.join(missing)}: stepfold serve"
    return Check("workers", True, told)


async def _views(found: Opened, here: Settings) -> list[Check]:
    """How far behind the log they are, from whoever owns them, else from the file."""
    last = await found.log.last()
    try:
        told = await viewing.ask_owner(found, viewing.Question("SELECT 1", timeout_s=SERVER_S))
    except NobodyAnswers:
        return await _views_file(here, last)
    return [Check("views", True, _behind(told.about.position, last) + ", and kept up to date")]


async def _views_file(here: Settings, last: int | None) -> list[Check]:
    if not here.views.exists():
        return [Check("views", True, "none yet; a query makes them")]
    try:
        views = await viewing.open_views(here.views, read_only=True)
        position = views.position
        views.close()
    except Exception as error:
        if exits.code(error) is None:
            raise
        return [Check("views", False, exits.text(error))]
    if last is None:
        return [Check("views", True, f"at position {position}")]
    if position > last:
        told = f"at position {position}, but the log ends at {last}: stepfold rebuild"
        return [Check("views", False, told)]
    return [Check("views", True, _behind(position, last) + "; a query catches up")]


def _behind(position: int, last: int) -> str:
    return f"{count(max(last - position, 0), 'step')} behind"

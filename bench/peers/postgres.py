"""A PostgreSQL server of the bench's own: a folder, a free loopback port, stopped by its pid.

initdb refuses to run as root, so root hands the folder to the user `postgres` and starts it there.
"""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.peers.peer import Sync

READY_WITHIN_S = 30.0
STOPPED_WITHIN_S = 30.0
DEBIAN = Path("/usr/lib/postgresql")
ACCOUNT = "postgres"
# An expert's server for a load of many small commits on a small machine.
SETTINGS = {
    "max_connections": "100",
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "30min",
    "wal_compression": "on",
    "autovacuum_naptime": "1min",
}


class PostgresAbsent(Exception):
    """No server binaries on this machine."""


class PostgresFailed(Exception):
    """The server did not come up; the text ends in its own log."""


def binaries() -> Path:
    """The folder with `initdb` and `postgres`: on PATH, or Debian's newest."""
    if found := shutil.which("postgres"):
        return Path(found).resolve().parent
    versions = [p for p in DEBIAN.glob("*/bin") if (p / "postgres").exists()]
    if not versions:
        raise PostgresAbsent("no postgresql on this machine (apt install postgresql)")
    return max(versions, key=lambda p: int(p.parent.name))


@contextmanager
def server(folder: Path, sync: Sync) -> Iterator[str]:
    """A running server under `folder`; yields the URL of its database `postgres`."""
    bin_folder = binaries()
    folder.mkdir(parents=True, exist_ok=True)
    owner = _owner(folder)
    data = folder / "data"
    initdb = [str(bin_folder / "initdb"), "-D", str(data), "-U", ACCOUNT, "-A", "trust"]
    initdb += ["-E", "UTF8", "--no-locale", "--no-sync"]
    made = subprocess.run(
        initdb, capture_output=True, text=True, cwd=folder, user=owner, group=owner, check=False
    )
    if made.returncode:
        raise PostgresFailed(f"initdb in {folder}: {made.stderr.strip()}")
    port = _free_port()
    with (folder / "server.log").open("w") as log:
        running = subprocess.Popen(
            [str(bin_folder / "postgres"), "-D", str(data), *_options(port, folder, sync)],
            stdout=log,
            stderr=log,
            cwd=folder,
            user=owner,
            group=owner,
            extra_groups=[] if owner else None,
        )
    try:
        _await_ready(bin_folder, port, running, folder)
        yield f"postgresql://{ACCOUNT}@127.0.0.1:{port}/postgres"
    finally:
        running.send_signal(signal.SIGINT)
        running.wait(STOPPED_WITHIN_S)


def _options(port: int, folder: Path, sync: Sync) -> list[str]:
    settings = SETTINGS | {
        "port": str(port),
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": str(folder),
        "synchronous_commit": "on" if sync == "every" else "off",
    }
    return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]


def _owner(folder: Path) -> str | None:
    """Who the server runs as: nobody else, or `postgres` when we are root."""
    if os.geteuid() != 0:
        return None
    shutil.chown(folder, ACCOUNT, ACCOUNT)
    return ACCOUNT


def _await_ready(bin_folder: Path, port: int, running: subprocess.Popen[bytes], at: Path) -> None:
    until = time.monotonic() + READY_WITHIN_S
    ask = [str(bin_folder / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
    while subprocess.run(ask, check=False).returncode:
        if running.poll() is not None or time.monotonic() > until:
            raise PostgresFailed(f"not ready: {(at / 'server.log').read_text()[-2000:]}")
        time.sleep(0.05)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

"""A nats-server that a test may kill and start again: same folder, same port."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stepfold.streams.server import binary

READY_S = 20.0


class Server:
    """`limits` goes into the jetstream block of its configuration."""

    def __init__(self, folder: Path, *, limits: str = "", extra: str = "") -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        self.extra = extra
        self.limits = limits
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *, jetstream: bool = True) -> None:
        config = self.folder / "test.conf"
        store = f'jetstream {{ store_dir: "{self.folder}/jetstream"\n{self.limits} }}\n'
        listen = f"listen: 127.0.0.1:{self.port}\n{self.extra}\n"
        config.write_text(listen + (store if jetstream else ""))
        with (self.folder / "nats.log").open("ab") as log:
            self._process = subprocess.Popen([binary(), "-c", str(config)], stdout=log, stderr=log)
        end = time.monotonic() + READY_S
        while not listens(self.port):
            assert self._process.poll() is None, (self.folder / "nats.log").read_text()
            assert time.monotonic() < end
            time.sleep(0.005)

    def kill(self) -> None:
        """kill -9."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """It takes what is sent and answers nothing, until it is killed."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(READY_S)
            self._process = None


@contextmanager
def running(folder: Path, *, limits: str = "", extra: str = "") -> Iterator[Server]:
    server = Server(folder, limits=limits, extra=extra)
    server.start()
    try:
        yield server
    finally:
        server.kill()
        shutil.rmtree(folder / "jetstream", ignore_errors=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0

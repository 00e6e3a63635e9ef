"""Three nats-servers on loopback as one cluster, each with a folder of its own."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from stepfold.streams.jetstream import connect, prepare
from stepfold.streams.log import LogUnavailable
from stepfold.streams.server import binary

READY_S = 30.0


@asynccontextmanager
async def cluster(folder: Path) -> AsyncIterator[str]:
    """The URL of a cluster whose streams can have three replicas."""
    ports = _free(6)
    processes = [_start(folder, number, ports) for number in range(3)]
    try:
        url = ",".join(f"nats://127.0.0.1:{port}" for port in ports[:3])
        await _until_ready(f"nats://127.0.0.1:{ports[0]}")
        yield url.split(",")[0]
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait()


def _start(folder: Path, number: int, ports: list[int]) -> subprocess.Popen[bytes]:
    place = folder / f"n{number}"
    place.mkdir(parents=True)
    routes = ", ".join(f'"nats://127.0.0.1:{port}"' for port in ports[3:])
    config = place / "nats.conf"
    config.write_text(
        f"server_name: n{number}\nlisten: 127.0.0.1:{ports[number]}\n"
        f'jetstream {{ store_dir: "{place}/store" }}\n'
        f"cluster {{ name: bench, listen: 127.0.0.1:{ports[3 + number]}, routes: [{routes}] }}\n"
    )
    with (place / "log").open("wb") as log:
        return subprocess.Popen([binary(), "-c", str(config)], stdout=log, stderr=log)


async def _until_ready(url: str) -> None:
    """The cluster has a leader when the streams can be made."""
    end = time.monotonic() + READY_S
    while True:
        try:
            async with connect(url) as client:
                await prepare(client, durability="replicas")
                return
        except Exception as error:
            if time.monotonic() > end:
                raise LogUnavailable(f"no cluster after {READY_S:g} s: {error}") from error
            await asyncio.sleep(0.3)


def _free(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [int(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports

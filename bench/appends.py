"""What each durability costs: fenced appends a second, one at a time and many at once.

    python -m bench.appends [--steps N] [--json]

`interval` and `always` are one server with another `sync_interval`; `replicas` is three servers on
this machine, which share its disk and its processors: real clusters have more of both.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import get_args

from bench.cluster import cluster
from stepfold.events.envelope import first
from stepfold.events.event import MessageReceived
from stepfold.streams.config import Durability
from stepfold.streams.jetstream import JetStreamLog, connect, prepare
from stepfold.streams.server import embedded

TEXT = "x" * 300
AT_ONCE = (1, 16, 64)


@asynccontextmanager
async def store(durability: Durability, folder: Path) -> AsyncIterator[JetStreamLog]:
    server = (
        cluster(folder) if durability == "replicas" else embedded(folder, durability=durability)
    )
    async with server as url, connect(url) as client:
        await prepare(client, durability=durability)
        yield JetStreamLog(client)


async def rate(log: JetStreamLog, at_once: int, steps: int) -> float:
    """Appends a second over `at_once` conversations, each waiting for its own last one."""

    async def one(number: int) -> None:
        after = 0
        for step in range(steps // at_once):
            event = MessageReceived(TEXT)
            name = f"a{at_once}-{number}"
            draft = first("bench", name, event, by="bench", key=str(step))
            (entry,) = await log.append([draft], after=after)
            after = entry.position

    begin = time.perf_counter()
    await asyncio.gather(*(one(number) for number in range(at_once)))
    return steps / (time.perf_counter() - begin)


async def run(steps: int) -> list[dict[str, object]]:
    seen: list[dict[str, object]] = []
    for durability in get_args(Durability):
        with tempfile.TemporaryDirectory(prefix="stepfold-bench-") as folder:
            async with store(durability, Path(folder)) as log:
                rates = {str(k): round(await rate(log, k, steps)) for k in AT_ONCE}
        seen.append({"durability": durability, "appends_per_s_at_once": rates})
    return seen


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.appends", description=__doc__)
    parser.add_argument("--steps", type=int, default=6_400)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    for row in asyncio.run(run(asked.steps)):
        print(
            json.dumps(row)
            if asked.json
            else f"{row['durability']:10} {row['appends_per_s_at_once']}"
        )


if __name__ == "__main__":
    main()

"""The views made again: from JetStream, through the reader that the product uses, and from a file.

    python -m bench.rebuild [--events N] [--repeat N] [--json]

`read_per_s` is the reader alone, without views. A rebuild counts until the new file is in place.
Each is made several times: best, median and worst.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import msgspec

from stepfold.app import Opened, opened
from stepfold.cli.viewing import catch_up
from stepfold.events.names import conversation_filter
from stepfold.projections.views import Views, rebuilding
from stepfold.settings import Settings
from stepfold.streams.archive import export
from stepfold.streams.jetstream.headers import FENCE, FENCE_SUBJECT
from tests.projections.made import log

IN_FLIGHT = 2_000
STEPS_PER_CONVERSATION = 10
EVENTS = 1_000_000


class After(msgspec.Struct):
    after: int


async def fill(found: Opened, events: int) -> None:
    """The made-up log's steps at their own positions, as the product appends them: fenced."""
    js = found.client.jetstream(timeout=30)
    steps = iter(log(1, events // STEPS_PER_CONVERSATION, at_once=500))
    while batch := list(islice(steps, IN_FLIGHT)):
        for _, subject, payload, _ in batch:
            words = subject.split(".")
            headers = {
                FENCE: str(msgspec.json.decode(payload, type=After).after),
                FENCE_SUBJECT: conversation_filter(words[1], words[2]),
            }
            last = await js.publish_async(subject, payload, stream="steps", headers=headers)
        assert (await last).seq == batch[-1][0], "a fenced append was refused"


async def read(found: Opened) -> float:
    begin, count = time.perf_counter(), 0
    async for batch in found.log.scan():
        count += len(batch)
    return count / (time.perf_counter() - begin)


async def rebuild(found: Opened, path: Path) -> float:
    begin = time.perf_counter()
    with rebuilding(path) as views:
        await catch_up(found, views)
        count = views.position
    return count / (time.perf_counter() - begin)


def rebuild_from_file(archive: Path, path: Path) -> float:
    begin = time.perf_counter()
    with rebuilding(path) as views:
        views.load_archive(archive)
        count = views.position
    return count / (time.perf_counter() - begin)


async def run(events: int, repeat: int, folder: Path) -> dict[str, object]:
    async with opened(Settings(folder=folder)) as found:
        await fill(found, events)
        steps = await found.log.last()
        reads = [await read(found) for _ in range(repeat)]
        rebuilds = [await rebuild(found, folder / "views.duckdb") for _ in range(repeat)]
        with Views.open(folder / "views.duckdb", read_only=True) as views:
            of_log = views.hash()
        archive = folder / "log.jsonl"
        with archive.open("wb") as file:
            async for line in export(found.log, found.agents, found.routes):
                file.write(line)
    from_file = [rebuild_from_file(archive, folder / "archived.duckdb") for _ in range(repeat)]
    with Views.open(folder / "archived.duckdb", read_only=True) as views:
        of_file = views.hash()
    return {
        "steps": steps,
        "bytes_per_step": round(archive.stat().st_size / steps),
        "read_per_s": spread(reads),
        "rebuild_from_jetstream_per_s": spread(rebuilds),
        "rebuild_from_file_per_s": spread(from_file),
        "hashes_equal": of_log == of_file,
    }


def spread(rates: Sequence[float]) -> str:
    return f"{max(rates):.0f} at best, {statistics.median(rates):.0f} median, {min(rates):.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.rebuild", description=__doc__)
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="stepfold-bench-") as folder:
        row = asyncio.run(run(asked.events, asked.repeat, Path(folder)))
    print(json.dumps(row) if asked.json else "\n".join(f"{k:32} {v}" for k, v in row.items()))


if __name__ == "__main__":
    main()

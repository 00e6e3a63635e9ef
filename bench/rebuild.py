"""The views made again: from JetStream, through the reader that the product uses, and from a file.

    python -m bench.rebuild [--events N] [--json]

`read_per_s` is the reader alone, without views. A rebuild counts until the new file is in place,
`fold_from_jetstream_per_s` until its last step is folded, before the final checkpoint.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from itertools import islice
from pathlib import Path

from stepfold.app import Opened, opened
from stepfold.cli.viewing import catch_up
from stepfold.projections.views import Views, rebuilding
from stepfold.settings import Settings
from stepfold.streams.archive import export
from tests.projections.made import log

IN_FLIGHT = 2_000
STEPS_PER_CONVERSATION = 10
EVENTS = 300_000


async def fill(found: Opened, events: int) -> None:
    """The made-up log's steps at their own positions: in order, many in flight, unfenced."""
    js = found.client.jetstream(timeout=30)
    steps = iter(log(1, events // STEPS_PER_CONVERSATION, at_once=500))
    while batch := list(islice(steps, IN_FLIGHT)):
        for _, subject, payload, _ in batch:
            last = await js.publish_async(subject, payload, stream="steps")
        await last


async def read(found: Opened) -> float:
    begin, count = time.perf_counter(), 0
    async for batch in found.log.scan():
        count += len(batch)
    return count / (time.perf_counter() - begin)


async def run(events: int, folder: Path) -> dict[str, object]:
    async with opened(Settings(folder=folder)) as found:
        await fill(found, events)
        steps = await found.log.last()
        read_per_s = await read(found)
        begin = time.perf_counter()
        with rebuilding(folder / "views.duckdb") as views:
            await catch_up(found, views)
            folded_s = time.perf_counter() - begin
        in_place_s = time.perf_counter() - begin
        with Views.open(folder / "views.duckdb", read_only=True) as views:
            of_log = views.hash()
        archive = folder / "log.jsonl"
        with archive.open("wb") as file:
            async for line in export(found.log, found.agents):
                file.write(line)
    begin = time.perf_counter()
    with rebuilding(folder / "archived.duckdb") as views:
        views.load_archive(archive)
    from_file_s = time.perf_counter() - begin
    with Views.open(folder / "archived.duckdb", read_only=True) as views:
        of_file = views.hash()
    return {
        "steps": steps,
        "bytes_per_step": round(archive.stat().st_size / steps),
        "read_per_s": round(read_per_s),
        "fold_from_jetstream_per_s": round(steps / folded_s),
        "rebuild_from_jetstream_per_s": round(steps / in_place_s),
        "rebuild_from_file_per_s": round(steps / from_file_s),
        "hashes_equal": of_log == of_file,
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.rebuild", description=__doc__)
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="stepfold-bench-") as folder:
        row = asyncio.run(run(asked.events, Path(folder)))
    print(json.dumps(row) if asked.json else "\n".join(f"{k:32} {v}" for k, v in row.items()))


if __name__ == "__main__":
    main()

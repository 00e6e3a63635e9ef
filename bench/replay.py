"""How fast a recorded log is replayed: every decision derived again, no model and no tool near.

    python -m bench.replay [--turns-in-all N] [--json]

Whole conversations of the bench's shape run through the real shell in memory first; their archive
is then read from a file and replayed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from pathlib import Path

from bench import conversation as shape
from bench.turns import AGENT, Found, Instant
from stepfold import app
from stepfold.evaluation.replay import Report, replay_archive
from stepfold.events.wire import decode
from stepfold.handlers.inbox import Inbox, Message
from stepfold.handlers.shell import Shell
from stepfold.handlers.table import LANES
from stepfold.streams.archive import export, load
from stepfold.streams.memory import MemoryAgents, MemoryLog, MemoryShelf, MemoryTimers, utc_now

DELIVERED = frozenset(kind for kinds in LANES.values() for kind in kinds)


async def record(folder: Path, conversations: int, turns: int) -> Path:
    """An archive of so many conversations, held in memory by the real shell."""
    log, agents = MemoryLog(), MemoryAgents(AGENT)
    workers = app.workers(app.Parts(Found(), {"instant": Instant()}))
    shell = Shell(log, agents, MemoryTimers(), workers, name="bench", clock=utc_now)
    inbox = Inbox(log, agent=AGENT.name, digest=await agents.put(AGENT))
    for n in range(conversations):
        for turn in range(1, turns + 1):
            text = shape.question(n, turn)
            await inbox.receive(Message("bench", f"c{n}", text, str(turn)))
            await deliver(log, shell)
    path = folder / f"{turns}.jsonl"
    with path.open("wb") as file:
        async for line in export(log, agents, MemoryShelf()):
            file.write(line)
    return path


async def deliver(log: MemoryLog, shell: Shell) -> None:
    """Hand the last step and those that follow from it to the shell, until it adds nothing."""
    at = len(log.steps) - 1
    while at < len(log.steps):
        stored = log.steps[at]
        if stored.subject.split(".", 3)[3] in DELIVERED:
            entry = decode(stored.subject, stored.payload, position=stored.position, at=stored.at)
            await shell.take(entry, deliveries=1)
        at += 1


def rate(path: Path) -> dict[str, object]:
    begin = time.perf_counter()
    report: Report = replay_archive(load(path))
    seconds = time.perf_counter() - begin
    assert not report.differences, report.first
    assert not report.pending
    return {
        "entries": report.entries,
        "decisions": report.decisions,
        "differences": report.differences,
        "model_calls": report.model_calls,
        "entries_per_s": round(report.entries / seconds),
        "mb_per_s": round(path.stat().st_size / seconds / 1e6, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.replay", description=__doc__)
    parser.add_argument("--turns-in-all", type=int, default=2_000)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="stepfold-bench-") as folder:
        for turns in (10, 100, 1_000):
            count = max(1, asked.turns_in_all // turns)
            path = asyncio.run(record(Path(folder), count, turns))
            row = {"turns": turns, "conversations": count, **rate(path)}
            print(json.dumps(row) if asked.json else row)


if __name__ == "__main__":
    main()

"""Tool calls of every kind while workers are killed at random moments: what was done, counted by
the far side.

    python -m tests.crash.tools --runs 1000

A run is a conversation in which a model calls a tool of each kind at once.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from msgspec import Struct

from stepfold.events.event import ResponseGiven, ToolReturned, ToolStarted, ToolUnknown, Unreadable
from stepfold.events.wire import decode
from stepfold.policy.agent import Agent, Limits
from stepfold.policy.grants import resolve
from stepfold.tools.files import load_tools
from tests.crash.far_side import RULES, FarSide, far_side
from tests.crash.forked import Worker
from tests.crash.stage import ENDS, OUTCOMES, REQUESTS, Stage
from tests.servers import running

KINDS = {f"r1.{number}": kind for number, kind in enumerate(RULES, start=1)}
AT_ONCE = 20
WORKERS = 2
WAIT_S = 1.0
LIVES_S = (0.02, 0.7)
PAUSE_S = 0.25
FAR_S = 2.0
REST_S = 600.0


class Told(Struct):
    """What the log and the far side say after `runs`. `struck` are runs in which a worker died."""

    runs: int
    kills: int
    struck: int
    took_s: float
    starts: Counter[tuple[str, str]]
    outcomes: dict[tuple[str, str], str]
    asked: Counter[tuple[str, str]]
    done: Counter[tuple[str, str]]
    looked_up: int
    faults: list[str]

    def lines(self) -> Iterator[str]:
        yield (
            f"{self.runs:,} runs, {self.kills:,} workers killed, {self.struck:,} runs struck,"
            f" {self.took_s:.0f} s"
        )
        for kind, rule in RULES.items():
            mine = [key for key in self.outcomes if key[0] == kind]
            again = sum(self.starts[key] > 1 for key in mine)
            asked = Counter(self.asked[key] for key in mine)
            done = Counter(self.done[key] for key in mine)
            ends = Counter(self.outcomes[key] for key in mine)
            yield (
                f"{rule:12} {len(mine):,} calls, {again} started again; requests {_told(asked)};"
                f" effects {_told(done)}; {_told(ends)}"
            )
        yield f"{self.looked_up} lookups, {len(self.faults)} faults"
        yield from self.faults[:20]


def _told(counts: Counter[Any]) -> str:
    return ", ".join(f"{each}: {counts[each]:,}" for each in sorted(counts, key=str))


class Killing:
    """Workers that live for a moment each."""

    def __init__(self, stage: Stage, folder: Path, chance: random.Random) -> None:
        self.kills = 0
        self.struck: set[str] = set()
        self._stage = stage
        self._chance = chance
        calls = {kind: {"n": 1} for kind in RULES}
        self._worker = partial(stage.forked, tools=str(folder), calls=calls, ack_wait_s=WAIT_S)

    async def go_on(self, open_runs: set[str]) -> None:
        """Kill one, start one, for ever; the last of them live."""
        workers = [self._worker() for _ in range(WORKERS)]
        for worker in workers:
            await worker.ready()
        while True:
            await asyncio.sleep(self._chance.uniform(*LIVES_S))
            place = self._chance.randrange(WORKERS)
            workers[place].kill()
            self.kills += 1
            self.struck |= open_runs
            await workers[place].ends()
            workers[place] = await self._next()

    async def _next(self) -> Worker:
        worker = self._worker()
        await worker.ready()
        return worker


async def play(runs: int, seed: int, folder: Path, far: FarSide) -> Told:
    chance = random.Random(seed)
    pause = threading.Event()

    def take_time(kind: str, call: str) -> None:
        pause.wait(chance.random() * PAUSE_S)

    far.meet = far.left = take_time
    tools = {
        tool.spec.name: tool.spec
        for tool in load_tools(far.write_tools(folder / "tools", timeout_s=FAR_S))
    }
    limits = Limits(backoff_s=0.1, backoff_s_max=0.2)
    agent = resolve(Agent("worker", models=("counting",), tools=tuple(RULES), limits=limits), tools)
    with running(folder) as server:
        async with Stage.on(server, folder, agent) as stage:
            begin = time.monotonic()
            killing = Killing(stage, folder, chance)
            open_runs: set[str] = set()
            killer = asyncio.create_task(killing.go_on(open_runs))
            try:
                async with asyncio.timeout(REST_S + runs):
                    await _converse(stage, runs, open_runs, killer)
            finally:
                killer.cancel()
            took_s = time.monotonic() - begin
            return await _counted(stage, far, runs, killing, took_s)


async def _converse(
    stage: Stage, runs: int, open_runs: set[str], killer: asyncio.Task[None]
) -> None:
    """Begin a run whenever one has ended, until all have."""
    waiting = [f"c{number}" for number in range(runs, 0, -1)]

    async def begin() -> None:
        while waiting and len(open_runs) < AT_ONCE:
            open_runs.add(waiting[-1])
            await stage.say(waiting.pop())

    await begin()
    async for batch in stage.log.scan(follow=True):
        for stored in batch:
            entry = decode(stored.subject, stored.payload, position=1, at=stored.at)
            if isinstance(entry.event, ENDS):
                open_runs.discard(entry.conversation)
        await begin()
        if killer.done():
            killer.result()
        if not waiting and not open_runs:
            return


async def _counted(stage: Stage, far: FarSide, runs: int, killing: Killing, took_s: float) -> Told:
    told = Told(
        runs=runs,
        kills=killing.kills,
        struck=len(killing.struck),
        took_s=took_s,
        starts=Counter(),
        outcomes={},
        asked=far.asked,
        done=far.done,
        looked_up=far.looked_up.total(),
        faults=[],
    )
    for number in range(1, runs + 1):
        await _count(told, stage, f"c{number}")
    told.faults += _faults(told)
    return told


async def _count(told: Told, stage: Stage, conversation: str) -> None:
    events = [entry.event for entry in await stage.entries(conversation)]
    asked = Counter(event.call for event in events if isinstance(event, REQUESTS))
    ended = Counter(event.call for event in events if isinstance(event, OUTCOMES))
    answers = sum(isinstance(event, ResponseGiven) for event in events)
    broken = any(isinstance(event, Unreadable) for event in events)
    if asked != ended or set(asked.values()) != {1} or answers != 1 or broken:
        told.faults.append(f"{conversation}: {asked} {ended} {answers} answers")
    for event in events:
        if isinstance(event, ToolStarted):
            told.starts[_key(conversation, event.call)] += 1
        elif isinstance(event, OUTCOMES) and event.call in KINDS:
            told.outcomes[_key(conversation, event.call)] = type(event).__name__


def _key(conversation: str, call: str) -> tuple[str, str]:
    return KINDS[call], f"acme/{conversation}/{call}"


def _faults(told: Told) -> Iterator[str]:
    """Each way in which a call was not what its rule says."""
    for key, outcome in told.outcomes.items():
        kind, call = key
        ends = {ToolReturned.__name__, ToolUnknown.__name__} if kind == "once" else {"ToolReturned"}
        least = 0 if outcome == ToolUnknown.__name__ else 1
        if outcome not in ends:
            yield f"{kind} {call}: it ended as {outcome}"
        if not least <= told.done[key] <= 1:
            yield f"{kind} {call}: {outcome}, and it was done {told.done[key]} times"
        if kind == "once" and (told.asked[key] > 1 or told.starts[key] > 1):
            yield f"{kind} {call}: asked {told.asked[key]} times, started {told.starts[key]} times"
    if len(told.outcomes) != told.runs * len(KINDS):
        yield f"{len(told.outcomes)} outcomes of {told.runs * len(KINDS)} calls"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.crash.tools", description=__doc__)
    parser.add_argument("--runs", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, far_side() as far:
        told = asyncio.run(play(options.runs, options.seed, Path(folder), far))
    print("\n".join(told.lines()))
    return 1 if told.faults else 0


if __name__ == "__main__":
    sys.exit(main())

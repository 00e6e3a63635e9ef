"""One peer's whole run: fresh store and fresh processes for each measure, then its one JSON object.

RunFailed           a worker died, hung or measured wrong work; the text ends in what it said
"""

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench import conversation as script
from bench.peers import postgres
from bench.peers.catalog import peer_named
from bench.peers.peer import MODEL_CALLS, TOOL_CALLS, Peer, Place, Sync
from bench.peers.store import stored_bytes
from bench.peers.worker import Measure, Order

READY_WITHIN_S = 300.0
DONE_WITHIN_S = 1800.0
LINE_BYTES_MAX = 1 << 26
STEPS_CONVERSATIONS = 20
READ_CONVERSATIONS = 16
SAID_CHARS = 2000


class RunFailed(Exception):
    """A worker died, hung or measured wrong work."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to measure of one peer, and with how many processes.

    `longer` adds the time per step and the growth with the conversation, which one process shows.
    """

    peer: str
    processes: int
    conversations: int
    turns: int
    at_once: int
    sync: Sync
    repeat: int
    longer: bool
    cap_s: float


async def run(plan: Plan) -> dict[str, object]:
    """Measure one peer; the rate is the best of `repeat` fresh runs."""
    peer = peer_named(plan.peer)
    rates = [await _rate(plan, peer) for _ in range(plan.repeat)]
    best = max(rates, key=lambda one: float(one["turns_per_s"]))
    about: dict[str, object] = asdict(plan) | {
        "store": peer.store,
        "durable": peer.durable,
        "arrangement": peer.arrangement,
        "versions": {name: version(name) for name in peer.distributions},
        "turns_per_s_each": [one["turns_per_s"] for one in rates],
    }
    said = about | best
    if plan.longer:
        said |= {"step_ms": await _steps(plan, peer), "growth": await _growth(plan, peer)}
    return said


async def _rate(plan: Plan, peer: Peer) -> dict[str, Any]:
    with _place(peer, plan.sync) as place:
        async with AsyncExitStack() as stack:
            # One after the other, so that only the first one creates the schema.
            workers = [
                await stack.enter_async_context(_worker(order, place))
                for order in _split(plan, place)
            ]
            empty = stored_bytes(peer.store, place)
            results = await asyncio.gather(*(worker.measured() for worker in workers))
        stored = stored_bytes(peer.store, place)
        reopened = 0 if peer.store == "memory" else await _reopened(plan, place)
    seconds = max(r["ended"] for r in results) - min(r["began"] for r in results)
    turns = plan.conversations * plan.turns
    sizes = [len(script.chat_json(n, plan.turns).encode()) for n in range(plan.conversations)]
    grown = None if stored is None or empty is None else stored - empty
    return {
        "seconds": round(seconds, 3),
        "turns_per_s": round(turns / seconds, 1),
        "conversations_per_s": round(plan.conversations / seconds, 2),
        "client_cpu_ms_per_turn": round(1000 * sum(r["cpu_s"] for r in results) / turns, 3),
        "bytes_per_conversation": None if grown is None else grown // plan.conversations,
        "json_bytes_per_conversation": sum(sizes) // plan.conversations,
        "bytes_ratio": None if grown is None else round(grown / sum(sizes), 3),
        "model_calls": turns * MODEL_CALLS,
        "tool_calls": turns * TOOL_CALLS,
        "reopened_conversations": reopened,
    }


async def _reopened(plan: Plan, place: Place) -> int:
    """Another process finds whole conversations in the store; raises if it does not."""
    count = min(READ_CONVERSATIONS, plan.conversations)
    order = replace(_order(plan, place), measure="read", worker=plan.processes, after=count)
    async with _worker(order, place) as reader:
        return int((await reader.measured())["read"])


async def _steps(plan: Plan, peer: Peer) -> dict[str, float]:
    """A turn's time divided by its four steps, one conversation at a time, one process."""
    count = min(STEPS_CONVERSATIONS, plan.conversations)
    with _place(peer, plan.sync) as place:
        order = replace(_order(plan, place), measure="steps", after=count)
        async with _worker(order, place) as worker:
            steps = sorted((await worker.measured())["steps_s"])
    return {
        "p50": round(1000 * steps[len(steps) // 2], 4),
        "p99": round(1000 * steps[min(len(steps) - 1, len(steps) * 99 // 100)], 4),
    }


async def _growth(plan: Plan, peer: Peer) -> list[dict[str, object]]:
    with _place(peer, plan.sync) as place:
        order = replace(_order(plan, place), measure="growth", after=1)
        async with _worker(order, place) as worker:
            found: list[dict[str, object]] = (await worker.measured())["growth"]
            return found


def _order(plan: Plan, place: Place) -> Order:
    measure: Measure = "rate"
    return Order(
        peer=plan.peer,
        measure=measure,
        folder=str(place.folder),
        postgres=place.postgres,
        sync=plan.sync,
        worker=0,
        first=0,
        after=plan.conversations,
        turns=plan.turns,
        at_once=plan.at_once,
        cap_s=plan.cap_s,
    )


def _split(plan: Plan, place: Place) -> Iterator[Order]:
    """Conversations, and how many are held at once, shared out over the processes."""
    order = _order(plan, place)
    for worker in range(plan.processes):
        yield replace(
            order,
            worker=worker,
            first=plan.conversations * worker // plan.processes,
            after=plan.conversations * (worker + 1) // plan.processes,
            at_once=max(1, plan.at_once // plan.processes),
        )


@contextmanager
def _place(peer: Peer, sync: Sync) -> Iterator[Place]:
    with tempfile.TemporaryDirectory(prefix="bench-peers-") as folder:
        place = Place(folder=Path(folder), sync=sync)
        if peer.store != "postgres":
            yield place
            return
        os.chmod(folder, 0o755)  # the server's own account has to reach its folder in it
        with postgres.server(Path(folder) / "postgres", sync) as url:
            yield replace(place, postgres=url)


class Worker:
    """A process that waits for the word."""

    def __init__(self, process: asyncio.subprocess.Process, order: Order, errors: Path) -> None:
        self._process = process
        self._order = order
        self._errors = errors

    async def measured(self) -> dict[str, Any]:
        """Give the word; what the process measured."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"go\n")
        await self._process.stdin.drain()
        said = await self.line(DONE_WITHIN_S)
        await asyncio.wait_for(self._process.wait(), READY_WITHIN_S)
        return said

    async def line(self, within_s: float) -> dict[str, Any]:
        assert self._process.stdout is not None
        try:
            line = await asyncio.wait_for(self._process.stdout.readline(), within_s)
        except TimeoutError:
            raise RunFailed(f"{self._name()}: silent for {within_s:.0f} s") from None
        if not line:
            raise RunFailed(f"{self._name()}: {self._errors.read_text()[-SAID_CHARS:].strip()}")
        said: dict[str, Any] = json.loads(line)
        return said

    def _name(self) -> str:
        return f"{self._order.peer} {self._order.measure} worker {self._order.worker}"


@asynccontextmanager
async def _worker(order: Order, place: Place) -> AsyncIterator[Worker]:
    """A process of this peer, ready; it is gone when the block is left."""
    errors = place.folder / f"{order.measure}-{order.worker}.err"
    with errors.open("w") as sink:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "bench.peers.worker", json.dumps(asdict(order))),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=sink,
            limit=LINE_BYTES_MAX,
            cwd=Path(__file__).parents[2],
        )
    try:
        worker = Worker(process, order, errors)
        await worker.line(READY_WITHIN_S)
        yield worker
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()

"""One process of a peer's run: opens the peer, says it is ready, waits for the word, measures.

Speaks lines of JSON on the real standard output; what a library prints goes to standard error.
"""

import asyncio
import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from bench import conversation as script
from bench.peers import load
from bench.peers.catalog import peer_named
from bench.peers.peer import Peer, Place, Sync, Talk

Measure = Literal["rate", "steps", "growth", "read"]


@dataclass(frozen=True, kw_only=True)
class Order:
    """What the bench asks of one process."""

    peer: str
    measure: Measure
    folder: str
    postgres: str
    sync: Sync
    worker: int
    first: int
    after: int
    turns: int
    at_once: int
    cap_s: float


async def work(order: Order, say: "Line") -> None:
    """Measure what the order asks for and say the result."""
    peer = peer_named(order.peer)
    place = Place(
        folder=Path(order.folder), sync=order.sync, postgres=order.postgres, worker=order.worker
    )
    async with peer.open(place) as talk:
        if order.measure != "read":
            _write_text(order)
            await load.warm(talk, order.worker)
        say({"ready": True})
        await asyncio.to_thread(sys.stdin.readline)
        say(await _measured(order, peer, place, talk))


async def _measured(order: Order, peer: Peer, place: Place, talk: Talk) -> dict[str, object]:
    conversations = range(order.first, order.after)
    match order.measure:
        case "rate":
            return asdict(await load.rate(talk, conversations, order.turns, order.at_once))
        case "steps":
            return {"steps_s": await load.steps(talk, conversations, order.turns)}
        case "growth":
            return {"growth": await load.growth(peer, place, talk, order.cap_s)}
        case "read":
            await load.remembered(talk, list(conversations), order.turns)
            return {"read": len(conversations)}


def _write_text(order: Order) -> None:
    turns = load.MILESTONES[-1] if order.measure == "growth" else order.turns
    script.warm(range(order.first, order.after), turns)


class Line:
    """Standard output, taken away from everybody else."""

    def __init__(self) -> None:
        self._out = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)

    def __call__(self, said: dict[str, object]) -> None:
        self._out.write(json.dumps(said) + "\n")
        self._out.flush()


if __name__ == "__main__":
    line = Line()
    asyncio.run(work(Order(**json.loads(sys.argv[1])), line))

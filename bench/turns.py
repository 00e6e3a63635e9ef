"""Turns through stepfold on JetStream: the side of the bench that is ours.

Each process runs a driver (which sends a question when the answer before it has come) and workers.

    python -m bench.turns [--conversations N] [--turns T] [--at-once K] [--processes 1|2] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

from bench import conversation as shape
from stepfold.app import Opened, Parts, opened, working
from stepfold.events.event import ResponseGiven
from stepfold.events.values import Passage
from stepfold.handlers.inbox import Message
from stepfold.policy.agent import Agent
from stepfold.providers.model import Call, Prompt, Reply
from stepfold.settings import Settings
from stepfold.streams.config import Durability

CUSTOMER = "bench"
AGENT = Agent(name="bench", models=("instant",), collections=("bench",))


class Instant:
    """Searches, then answers; both at once."""

    def __init__(self) -> None:
        self.calls = 0

    async def reply(self, prompt: Prompt, /) -> Reply:
        self.calls += 1
        where = shape.where(prompt.question)
        if not prompt.results:
            return Reply(calls=(Call(shape.TOOL, {"query": shape.query(*where)}),))
        return Reply(text=shape.answer(*where))


class Found:
    """The bench's passages as knowledge."""

    def __init__(self) -> None:
        self.calls = 0

    async def search(
        self, collections: Sequence[str], query: str, k: int, /
    ) -> tuple[Passage, ...]:
        self.calls += 1
        n, turn = shape.where(query)
        return tuple(
            Passage(f"d{turn}", "t", "sha256:0", 0, len(text), text, 1.0)
            for text in shape.passages(n, turn)
        )


class Driver:
    """Sends a conversation's questions one after the other, and checks every answer."""

    def __init__(self, found: Opened) -> None:
        self._found = found
        self._answers: dict[str, asyncio.Future[str]] = {}
        self.turn_s: list[float] = []

    async def listen(self) -> None:
        async with aclosing(self._found.log.follow("steps.*.*.response.given")) as entries:
            async for entry in entries:
                waiting = self._answers.pop(entry.conversation, None)
                if waiting is not None and isinstance(entry.event, ResponseGiven):
                    waiting.set_result(entry.event.text)

    async def hold(self, n: int, turns: int) -> None:
        inbox = await self._found.inbox(AGENT)
        name = f"c{n}"
        for turn in range(1, turns + 1):
            begin = time.perf_counter()
            answer = self._answers[name] = asyncio.get_running_loop().create_future()
            text = shape.question(n, turn)
            await inbox.receive(Message(CUSTOMER, name, text, str(turn)))
            said = await asyncio.wait_for(answer, 60)
            self.turn_s.append(time.perf_counter() - begin)
            assert said == shape.answer(n, turn), said


async def drive(found: Opened, numbers: range, turns: int, at_once: int) -> list[float]:
    """Seconds of each turn, in the order in which they ended."""
    driver = Driver(found)
    listening = asyncio.create_task(driver.listen())
    room = asyncio.Semaphore(at_once)

    async def one(n: int) -> None:
        async with room:
            await driver.hold(n, turns)

    await asyncio.gather(*(one(n) for n in numbers))
    listening.cancel()
    return driver.turn_s


@asynccontextmanager
async def side(url: str):
    """One process of ours: connected, its workers running."""
    settings = Settings(folder=Path("unused"), nats_url=url)
    async with opened(settings) as found, working(found, Parts(Found(), {"instant": Instant()})):
        yield found


async def child(url: str, numbers: range, turns: int, at_once: int) -> None:
    """A process of the run: says that it is ready, waits for a line, runs, says what it saw.

    Any process may be handed any conversation's steps, so each knows all of the text beforehand.
    """
    shape.warm(range(numbers.stop), turns)
    async with side(url) as found:
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        begin, used = time.time(), time.process_time()
        turn_s = await drive(found, numbers, turns, at_once)
        seen = {"begin": begin, "end": time.time(), "cpu_s": time.process_time() - used}
        print(json.dumps(seen | {"turn_s": turn_s}), flush=True)


async def run(
    *, conversations: int, turns: int, at_once: int, processes: int, durability: Durability
) -> dict[str, object]:
    """One fresh run in a folder of its own: rates, time per step, bytes on disk."""
    with tempfile.TemporaryDirectory(prefix="stepfold-bench-") as folder:
        settings = Settings(folder=Path(folder), durability=durability)
        async with opened(settings) as found:
            seen = await _children(found.url, conversations, turns, at_once, processes)
            steps = await found.log.last()
        stored = sum(p.stat().st_size for p in Path(folder, "jetstream").rglob("*") if p.is_file())
    asked = sum(len(shape.chat_json(n, turns).encode()) for n in range(conversations))
    turn_s = sorted(s for one in seen for s in one["turn_s"])
    wall_s = max(one["end"] for one in seen) - min(one["begin"] for one in seen)
    return {
        "system": "stepfold",
        "processes": processes,
        "conversations": conversations,
        "turns": turns,
        "at_once": at_once,
        "durability": durability,
        "turns_per_s": round(len(turn_s) / wall_s, 1),
        "step_p50_ms": round(turn_s[len(turn_s) // 2] / 4 * 1000, 3),
        "step_p99_ms": round(turn_s[len(turn_s) * 99 // 100] / 4 * 1000, 3),
        "steps_in_log": steps,
        "python_cpu_ms_per_turn": round(sum(o["cpu_s"] for o in seen) / len(turn_s) * 1000, 3),
        "bytes_per_conversation": round(stored / conversations),
        "bytes_to_json": round(stored / asked, 3),
        "ms_by_turn": growth(seen[0]["turn_s"]) if conversations == 1 else None,
    }


def growth(turn_s: list[float]) -> dict[str, float]:
    """Milliseconds a turn around the 10th, 100th and 1,000th turn of one conversation."""
    places = {10: (2, 10), 100: (90, 110), 1000: (980, 1000)}
    return {
        str(at): round(sum(turn_s[a:b]) / (b - a) * 1000, 3)
        for at, (a, b) in places.items()
        if len(turn_s) >= b
    }


async def _children(
    url: str, conversations: int, turns: int, at_once: int, processes: int
) -> list[dict]:
    shares = [range(k, conversations, processes) for k in range(processes)]
    started = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bench.turns", "--child", url),
            *(str(n) for n in (share.start, share.stop, share.step)),
            *("--turns", str(turns), "--at-once", str(max(1, at_once // processes))),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=64 * 1024 * 1024,
        )
        for share in shares
    ]
    for process in started:
        assert (await process.stdout.readline()) == b"ready\n"
    for process in started:
        process.stdin.write(b"go\n")
        await process.stdin.drain()
    seen = [json.loads(await process.stdout.readline()) for process in started]
    for process in started:
        process.stdin.close()
        assert await process.wait() == 0
    return seen


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.turns", description=__doc__)
    parser.add_argument("--conversations", type=int, default=64)
    parser.add_argument("--turns", type=int, default=10)
    parser.add_argument("--at-once", type=int, default=16)
    parser.add_argument("--processes", type=int, default=1, choices=(1, 2))
    parser.add_argument("--durability", default="interval", choices=("interval", "always"))
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", nargs=4, metavar=("URL", "START", "STOP", "STEP"))
    asked = parser.parse_args()
    if asked.child:
        url, *numbers = asked.child
        asyncio.run(child(url, range(*map(int, numbers)), asked.turns, asked.at_once))
        return
    seen = asyncio.run(
        run(
            conversations=asked.conversations,
            turns=asked.turns,
            at_once=asked.at_once,
            processes=asked.processes,
            durability=asked.durability,
        )
    )
    print(json.dumps(seen) if asked.json else "\n".join(f"{k:24} {v}" for k, v in seen.items()))


if __name__ == "__main__":
    main()

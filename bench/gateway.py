"""Open streams and messages through `stepfold serve`, as their users run it, for minutes.

    python -m bench.gateway [--streams N] [--rate N] [--seconds N] [--json]

One process works, one keeps the views, one is the gateway, one is the server, and one is the load:
it keeps so many streams open, sends each message at its time however long the ones before it take
(a late acknowledgement counts from when the message was due), and holds what it hears against what
it sent: each message once, each answer once, each word once. After some messages a contact closes
its stream, and another one begins a conversation in its place.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from msgspec import Struct

from bench.instant import answer
from stepfold.app import opened
from stepfold.gateway.keys import keys_of
from stepfold.gateway.principal import CHAT
from stepfold.settings import Settings

CUSTOMERS = 10
WORKS = "agent,reason,tool,retrieve,timer"
AGENT = 'name = "bench"\nmodels = ["instant"]\n'
OPENED_PER_S = 100.0
"""Below what one address may ask (limits.py)."""
SENDERS = 64
"""Connections that messages go over."""
TURNS = 10
"""Messages of one conversation."""
QUIET_S = 30.0
"""How long answers may take when the last message is sent."""
SAMPLE_S = 5.0
WARM_S = 60.0
"""Memory is compared from here on: what is kept for each conversation is there by then."""
READ_BYTES = 1 << 20
Row = dict[str, object]


# -- the processes --------------------------------------------------------------------------------


@asynccontextmanager
async def served(folder: Path, url: str, *options: str) -> AsyncIterator[tuple[int, Row]]:
    """A `stepfold serve`; yields its process and what it said when it was ready."""
    command = (sys.executable, "-m", "stepfold", "serve", "--json", "--data", str(folder), *options)
    environment = {"NATS_URL": url, "PATH": "/usr/bin:/bin"}
    process = await asyncio.create_subprocess_exec(
        *command, env=environment, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        yield process.pid, json.loads(await process.stdout.readline())
    finally:
        process.terminate()
        await process.wait()


class Usage(Struct, frozen=True):
    """Of one process: seconds of processor so far, megabytes it holds now."""

    cpu_s: float
    megabytes: float


def usage(pid: int) -> Usage:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return Usage((int(fields[11]) + int(fields[12])) / 100, pages * 4096 / 1e6)


async def watch(processes: Mapping[str, int], seen: list[tuple[float, dict[str, Usage]]]) -> None:
    while True:
        seen.append((time.monotonic(), {name: usage(pid) for name, pid in processes.items()}))
        await asyncio.sleep(SAMPLE_S)


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


# -- the load -------------------------------------------------------------------------------------


class Stream:
    """One conversation of `turns` messages as its listener has it."""

    def __init__(self, customer: int, name: str, turns: int) -> None:
        self.customer, self.name, self.turns = customer, name, turns
        self.sent: dict[int, tuple[str, float]] = {}
        self.received: list[str] = []
        self.answers: list[str] = []
        self.faults: list[str] = []
        self._screen = ""
        self._position = 0

    def hear(self, event: str, data: Row) -> None:
        if event == "words":
            if data["offset"] != len(self._screen):
                self.faults.append(f"{self.name}: offset {data['offset']} at {len(self._screen)}")
            self._screen += str(data["text"])
        elif event == "taken_back":
            self._screen = ""
        elif event == "step":
            self._step(data)

    def _step(self, data: Row) -> None:
        position = int(str(data["position"]))
        if position <= self._position:
            self.faults.append(f"{self.name}: position {position} after {self._position}")
        self._position = position
        if data["kind"] == "message.received":
            self.received.append(str(_body(data)["text"]))
        elif data["kind"] == "response.given":
            if _body(data)["text"] != self._screen:
                self.faults.append(f"{self.name}: {self._screen[:80]!r} was shown")
            self.answers.append(self._screen)
            self._screen = ""

    @property
    def answered(self) -> bool:
        """Has it heard all? Messages that came together are answered together."""
        last = max(self.sent, default=None)
        return last is None or answer(self.sent[last][0]) in self.answers[-1:]

    def check(self) -> list[str]:
        """What is lost, or there twice."""
        said = [text for text, _ in self.sent.values()]
        lost = set(said) - set(self.received)
        faults = [f"{self.name}: {text} was never heard" for text in lost]
        if len(set(self.received)) != len(self.received):
            faults.append(f"{self.name}: a message came twice")
        wanted = {answer(text) for text in said}
        strange = [text[:60] for text in self.answers if text not in wanted]
        faults += [f"{self.name}: {text!r} answers nothing" for text in strange]
        if not self.answered:
            faults.append(f"{self.name}: its last message has no answer")
        return self.faults + faults


def _body(data: Row) -> Row:
    found = data.get("event", data)
    assert isinstance(found, dict)
    return found


class Load:
    """`count` open streams of the conversations of `keys`, one key for each customer."""

    def __init__(self, address: str, keys: Sequence[str], count: int) -> None:
        found = urlsplit(address)
        self._host, self._port = str(found.hostname), int(found.port or 80)
        self._keys = keys
        self.streams = [Stream(n % len(keys), f"c{n}", 1 + n % TURNS) for n in range(count)]
        self._places = list(self.streams)
        self._open: dict[str, tuple[asyncio.Task[None], asyncio.StreamWriter]] = {}
        self.acknowledged_s: list[float] = []
        self.refused: list[str] = []
        self._idle: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = (
            asyncio.Queue()
        )

    async def begin(self, stream: Stream) -> None:
        body = {"conversation": stream.name}
        status, told = await self._post(stream, "/v1/conversations", body, stream.name)
        assert status == 201, told

    def next(self, number: int) -> Stream:
        """Where the message of this number goes."""
        return self._places[number % len(self._places)]

    async def renew(self, number: int) -> None:
        """Another conversation in the place of the one that has had its messages."""
        place = number % len(self._places)
        before = self._places[place]
        stream = Stream(before.customer, f"c{place}-{number}", TURNS)
        self.streams.append(stream)
        await self.begin(stream)
        await self.open(stream)
        self._places[place] = stream
        end = time.monotonic() + QUIET_S
        while not before.answered and time.monotonic() < end:
            await asyncio.sleep(0.05)
        self.close(before)

    def close(self, stream: Stream) -> None:
        reading, writer = self._open.pop(stream.name)
        reading.cancel()
        writer.close()

    def close_all(self) -> None:
        for stream in self.streams:
            if stream.name in self._open:
                self.close(stream)

    async def open(self, stream: Stream) -> None:
        """Its events from the first on are read until it is closed."""
        reader, writer = await self._connection()
        writer.write(self._head("GET", f"/v1/conversations/{stream.name}/events", stream, {}))
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        self._open[stream.name] = asyncio.create_task(_read(reader, stream)), writer

    async def say(self, stream: Stream, number: int, due: float) -> None:
        text = f"m{number}"
        stream.sent[number] = (text, due)
        path = f"/v1/conversations/{stream.name}/messages"
        status, told = await self._post(stream, path, {"text": text}, f"k{number}")
        if status == 202:
            self.acknowledged_s.append(time.perf_counter() - due)
        else:
            self.refused.append(f"{text}: {status} {told[:200]!r}")

    async def connect(self, count: int) -> None:
        for _ in range(count):
            self._idle.put_nowait(await self._connection())

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(self._host, self._port, limit=READ_BYTES)

    async def _post(
        self, stream: Stream, path: str, body: Mapping[str, str], id: str
    ) -> tuple[int, bytes]:
        payload = json.dumps(body).encode()
        more = {
            "Content-Type": "application/json",
            "Content-Length": str(len(payload)),
            "Idempotency-Key": id,
        }
        reader, writer = await self._idle.get()
        writer.write(self._head("POST", path, stream, more) + payload)
        head = await reader.readuntil(b"\r\n\r\n")
        told = await reader.readexactly(_length(head))
        self._idle.put_nowait((reader, writer))
        return int(head.split(b" ", 2)[1]), told

    def _head(self, method: str, path: str, stream: Stream, more: Mapping[str, str]) -> bytes:
        key = self._keys[stream.customer]
        told = {"Host": f"{self._host}:{self._port}", "Authorization": f"Bearer {key}", **more}
        lines = "".join(f"{name}: {value}\r\n" for name, value in told.items())
        return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode()


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


async def _read(reader: asyncio.StreamReader, stream: Stream) -> None:
    """Lines of chunks and of events: a line of a chunk's length begins no field."""
    event = ""
    while line := await reader.readline():
        if line.startswith(b"event: "):
            event = line[7:].strip().decode()
        elif line.startswith(b"data: "):
            stream.hear(event, json.loads(line[6:]))


# -- one run --------------------------------------------------------------------------------------


async def run(*, streams: int, rate: float, seconds: float) -> Row:
    with tempfile.TemporaryDirectory(prefix="stepfold-bench-") as name:
        folder = Path(name)
        (folder / "agent.toml").write_text(AGENT)
        async with opened(Settings(folder=folder)) as found, AsyncExitStack() as stack:
            keys = [
                (await keys_of(found).create(f"customer-{n}", (CHAT,)))[1] for n in range(CUSTOMERS)
            ]
            views, _ = await stack.enter_async_context(served(folder, found.url, "--only", "views"))
            working = ("--hooks", "bench.instant", "--agent", str(folder / "agent.toml"))
            worker, _ = await stack.enter_async_context(
                served(folder, found.url, "--only", WORKS, *working)
            )
            only = ("--only", "gateway", "--http", "0")
            gateway, said = await stack.enter_async_context(
                served(folder / "gateway", found.url, *only)
            )
            (server,) = children_named("nats-server")
            processes = {
                "gateway": gateway,
                "worker": worker,
                "views": views,
                "nats-server": server,
                "load": os.getpid(),
            }
            load = Load(str(said["http"]), keys, streams)
            seen: list[tuple[float, dict[str, Usage]]] = []
            stack.callback(load.close_all)
            await _prepare(load)
            watching = asyncio.create_task(watch(processes, seen))
            took_s = await _send(load, rate, seconds)
            watching.cancel()
            recorded = await found.log.last()
        return _told(load, streams, seen, rate, took_s, recorded)


def children_named(name: str) -> list[int]:
    found = children(os.getpid())
    return [pid for pid in found if Path(f"/proc/{pid}/comm").read_text().strip() == name]


async def _prepare(load: Load) -> None:
    await load.connect(SENDERS)
    for stream in load.streams:
        await asyncio.gather(load.begin(stream), asyncio.sleep(1 / OPENED_PER_S))
    for stream in load.streams:
        await asyncio.gather(load.open(stream), asyncio.sleep(1 / OPENED_PER_S))


async def _send(load: Load, rate: float, seconds: float) -> float:
    """Every message at its time; then until all is answered, or nothing more comes."""
    begin, sending = time.perf_counter(), set[asyncio.Task[None]]()
    for number in range(int(rate * seconds)):
        due = begin + number / rate
        await asyncio.sleep(due - time.perf_counter())
        stream = load.next(number)
        tasks = [asyncio.create_task(load.say(stream, number, due))]
        if len(stream.sent) + 1 == stream.turns:
            tasks.append(asyncio.create_task(load.renew(number)))
        for task in tasks:
            sending.add(task)
            task.add_done_callback(sending.discard)
    took_s = time.perf_counter() - begin
    await asyncio.gather(*sending)
    end = time.monotonic() + QUIET_S
    while time.monotonic() < end and not all(stream.answered for stream in load.streams):
        await asyncio.sleep(0.1)
    return took_s


def _told(
    load: Load,
    streams: int,
    seen: Sequence[tuple[float, dict[str, Usage]]],
    rate: float,
    took_s: float,
    recorded: int,
) -> Row:
    faults = [fault for stream in load.streams for fault in stream.check()] + load.refused
    ms = sorted(each * 1000 for each in load.acknowledged_s)
    row: Row = {
        "streams": streams,
        "conversations": len(load.streams),
        "messages a second": rate,
        "messages": len(ms),
        "heard": sum(len(s.received) for s in load.streams),
        "answers": sum(len(s.answers) for s in load.streams),
        "lost, repeated or refused": len(faults),
        "steps in the log": recorded,
        "acknowledged, p50 ms": round(ms[len(ms) // 2], 1),
        "acknowledged, p99 ms": round(ms[len(ms) * 99 // 100], 1),
        "acknowledged, most ms": round(ms[-1], 1),
    }
    for name in seen[0][1]:
        row |= _used(name, [(at, used[name]) for at, used in seen], took_s)
    for fault in faults[:10]:
        print(fault, file=sys.stderr)
    return row


def _used(name: str, seen: Sequence[tuple[float, Usage]], took_s: float) -> Row:
    warm = [(at, used) for at, used in seen if at - seen[0][0] >= WARM_S] or list(seen)
    megabytes = [round(used.megabytes) for _, used in warm]
    share = (seen[-1][1].cpu_s - seen[0][1].cpu_s) / took_s
    return {
        f"{name}, of one core": round(share, 2),
        f"{name}, MB after {warm[0][0] - seen[0][0]:.0f} s": megabytes[0],
        f"{name}, MB at the end (most)": f"{megabytes[-1]} ({max(megabytes)})",
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.gateway", description=__doc__)
    parser.add_argument("--streams", type=int, default=500)
    parser.add_argument("--rate", type=float, default=100.0)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    row = asyncio.run(run(streams=asked.streams, rate=asked.rate, seconds=asked.seconds))
    print(json.dumps(row) if asked.json else "\n".join(f"{k:34} {v}" for k, v in row.items()))
    if row["lost, repeated or refused"]:
        raise SystemExit(1)


if __name__ == "__main__":
    main()

"""Two gateways and two workers, one of each killed in the middle of streams: what pages then show.

    python -m tests.crash.gateways --runs 50
    python -m tests.crash.gateways --runs 5 --served    workers are `stepfold serve`, 30 s each

A run is some conversations at once. When the page of the first one shows so many words, whoever
serves it, whoever asks the model for it, or both, die by kill -9, and others take their places.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Literal

import httpx2
from msgspec import Struct, field

from stepfold.app import Opened, opened
from stepfold.events.event import MessageReceived, Reasoned, ResponseGiven
from stepfold.events.values import Text
from stepfold.gateway.keys import keys_of
from stepfold.gateway.principal import CHAT
from stepfold.settings import Settings
from tests.cli.commands import PROGRAM, environ
from tests.crash.page import Page
from tests.crash.word_worker import AGENT
from tests.crash.words_model import SAME, WORDS, WordsModel, words_model
from tests.gateway.house import with_keys
from tests.servers import Server, running
from tests.waiting import eventually

CONVERSATIONS = 4
RUN_S = 120.0
READY_S = 60.0
ASKING, HEARD = -2, -1
"""Moments before any word: the message is recorded, and its sender does not know it yet; the stream
has begun.
"""
ROUTES = """
[converse]
ask = ["ours/words"]

[providers.ours]
base_url = "{url}"
key_env = "WORDS_KEY"

[models."ours/words"]
context = 32_000
"""
Dies = Literal["gateway", "worker"]


class Plan(Struct, frozen=True):
    """Who is killed, when the page of the first conversation shows so many words."""

    words: int
    dies: tuple[Dies, ...]


class Killed(Struct):
    """A process, and where it answers or the name that it asks by."""

    process: asyncio.subprocess.Process
    name: str


class Told(Struct):
    """What pages showed after `runs`. `struck` are pages whose stream broke."""

    runs: int = 0
    pages: int = 0
    struck: int = 0
    taken_back: int = 0
    asked_again: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    took_s: float = 0.0
    faults: list[str] = []

    def lines(self) -> Iterator[str]:
        kills = ", ".join(f"{count} {name}s" for name, count in sorted(self.kills.items()))
        yield f"{self.runs} runs, {self.pages} pages, killed: {kills}; {self.took_s:.0f} s"
        yield (
            f"{self.struck} pages came back at another gateway, {self.taken_back} times words were"
            f" taken back, {self.asked_again} answers were asked for again"
        )
        yield f"{len(self.faults)} faults"
        yield from self.faults[:20]


class City:
    """Processes as users run them, on one log."""

    def __init__(
        self, found: Opened, server: Server, model: WordsModel, folder: Path, *, served: bool
    ) -> None:
        self.found = found
        self.model = model
        self.key = ""
        self.gateways: list[Killed] = []
        self.workers: list[Killed] = []
        self._server = server
        self._folder = folder
        self._served = served
        self._started = 0
        self._all: list[asyncio.subprocess.Process] = []

    async def fill(self) -> None:
        """Two of each."""
        async with asyncio.TaskGroup() as tasks:
            for _ in range(2 - len(self.gateways)):
                tasks.create_task(self._gateway())
            for _ in range(2 - len(self.workers)):
                tasks.create_task(self._worker())

    async def _gateway(self) -> None:
        words = ("serve", "--only", "gateway", "--http", "0", "--json")
        process, line = await self._start(*PROGRAM, *words)
        url = line.partition('"http":')[2].split('"')[1]
        self.gateways.append(Killed(process, url))

    async def _worker(self) -> None:
        self._started += 1
        name = f"worker{self._started}"
        if self._served:
            routes = self._folder / "routes.toml"
            routes.write_text(ROUTES.format(url=self.model.url))
            words = [*PROGRAM, "serve", "--only", "agent,reason,timer", "--routes", str(routes)]
            process, _ = await self._start(*words, "--json", WORDS_KEY=name)
        else:
            words = [sys.executable, "-m", "tests.crash.word_worker", self._server.url]
            process, _ = await self._start(*words, self.model.url, name)
        self.workers.append(Killed(process, name))

    async def _start(self, *words: str, **more: str) -> tuple[asyncio.subprocess.Process, str]:
        place = {"NATS_URL": self._server.url, "STEPFOLD_DATA_DIR": str(self._folder)}
        with (self._folder / "processes.log").open("ab") as said:
            process = await asyncio.create_subprocess_exec(
                *words, env=environ(**place, **more), stdout=asyncio.subprocess.PIPE, stderr=said
            )
        self._all.append(process)
        assert process.stdout is not None
        async with asyncio.timeout(READY_S):
            line = await process.stdout.readline()
        assert line, self.said()
        return process, line.decode()

    def urls(self) -> list[str]:
        return [each.name for each in self.gateways]

    async def kill(self, among: list[Killed], name: str) -> None:
        """kill -9. Nobody is told; a page finds out."""
        (dead,) = [each for each in among if each.name == name]
        among.remove(dead)
        dead.process.kill()
        await dead.process.wait()

    async def clear(self) -> None:
        for process in self._all:
            if process.returncode is None:
                process.kill()
            await process.communicate()

    def said(self) -> str:
        return (self._folder / "processes.log").read_text()[-4_000:]


@asynccontextmanager
async def city(folder: Path, *, served: bool = False) -> AsyncIterator[City]:
    async with AsyncExitStack() as stack:
        server = stack.enter_context(running(folder))
        model = await stack.enter_async_context(words_model())
        here = Settings(folder=folder, nats_url=server.url)
        found = await stack.enter_async_context(opened(here))
        await with_keys(found)
        await found.agents.appoint(AGENT)
        made = City(found, server, model, folder, served=served)
        _, made.key = await keys_of(found).create("acme", (CHAT,))
        stack.push_async_callback(made.clear)
        await made.fill()
        yield made


async def play(plans: Sequence[Plan], folder: Path, *, served: bool = False) -> Told:
    told, begin = Told(), time.monotonic()
    async with city(folder, served=served) as made:
        for number, plan in enumerate(plans):
            await made.fill()
            async with asyncio.timeout(RUN_S):
                await _run(made, plan, number, told)
            told.runs += 1
    told.took_s = time.monotonic() - begin
    return told


async def _run(made: City, plan: Plan, number: int, told: Told) -> None:
    kinds = [SAME if place % 2 == number % 2 else "other" for place in range(CONVERSATIONS)]
    names = [f"{kind}-{number}-{place}" for place, kind in enumerate(kinds)]
    pages = [Page(name, made.key, made.urls, partial(made.model.texts, name)) for name in names]
    urls = made.urls()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_kill(made, plan, pages[0], told))
        for place, page in enumerate(pages):
            ask = _ask_again if place % 2 == 0 else _ask_twice
            tasks.create_task(ask(page, urls[place % 2], urls[1 - place % 2], told))
            tasks.create_task(page.follow(urls[place % 2]))
    for page in pages:
        await _compare(made, page, told, f"{plan} {page.conversation}")


async def _ask_twice(page: Page, first: str, second: str, told: Told) -> None:
    """On both gateways at once."""
    asks = (page.ask(page.conversation, each) for each in (first, second))
    _one(page, await asyncio.gather(*asks, return_exceptions=True), told)


async def _ask_again(page: Page, first: str, second: str, told: Told) -> None:
    """On the other gateway when the first has answered, or has died over it."""
    answers = await asyncio.gather(page.ask(page.conversation, first), return_exceptions=True)
    again = await asyncio.gather(page.ask(page.conversation, second), return_exceptions=True)
    _one(page, [*answers, *again], told)


def _one(page: Page, answers: Sequence[tuple[int, str] | BaseException], told: Told) -> None:
    """Whichever gateway answered, it is the same message at the same place."""
    where = {each for each in answers if not isinstance(each, BaseException)}
    strange = [e for e in answers if isinstance(e, BaseException) and not _died(e)]
    if len(where) != 1 or strange:
        told.faults.append(f"{page.conversation}: the message is at {answers}")


def _died(error: BaseException) -> bool:
    return isinstance(error, httpx2.TransportError)


async def _kill(made: City, plan: Plan, page: Page, told: Told) -> None:
    question = page.conversation
    if plan.words == ASKING:
        await eventually(partial(_recorded, made, question), RUN_S, what="the message is recorded")
    else:
        await eventually(lambda: page.kinds, RUN_S, what="a stream begins")
        if plan.words > 0 or "worker" in plan.dies:
            await eventually(lambda: made.model.of(question), RUN_S, what="the model is asked")
        await eventually(lambda: page.words >= plan.words, RUN_S, what=f"{plan.words} words")
    serves = page.at
    asks = made.model.of(question)
    if "gateway" in plan.dies:
        await made.kill(made.gateways, serves or made.urls()[0])
        told.kills["gateway"] += 1
    if "worker" in plan.dies and asks:
        await made.kill(made.workers, asks[-1].worker)
        told.kills["worker"] += 1


async def _recorded(made: City, conversation: str) -> bool:
    return (await made.found.log.tail("acme", conversation)).position > 0


async def _compare(made: City, page: Page, told: Told, where: str) -> None:
    """What the page shows, what the log holds, and what the model said: each token once."""
    entries = await made.found.log.read("acme", page.conversation)
    events = [entry.event for entry in entries]
    answers = [event.text for event in events if isinstance(event, ResponseGiven)]
    reasoned = [
        "".join(part.text for part in event.parts if isinstance(part, Text))
        for event in events
        if isinstance(event, Reasoned)
    ]
    messages = sum(isinstance(event, MessageReceived) for event in events)
    asks = made.model.of(page.conversation)
    said = made.model.texts(page.conversation)
    faults = list(page.faults)
    if messages != 1:
        faults.append(f"the message is there {messages} times")
    if not (len(answers) == len(reasoned) == 1) or reasoned[0] not in said:
        faults.append(f"the model said {said}, its answers are {reasoned}, the responses {answers}")
    elif page.text != reasoned[0] or page.answers[-1:] != answers:
        faults.append(f"the page shows {page.text!r} and {page.answers}, not {reasoned[0]!r}")
    elif answers[0].split() != reasoned[0].split() or len(set(page.text.split())) != WORDS:
        faults.append(f"the answer is {answers[0]!r}, not {reasoned[0]!r}")
    told.faults += [f"{where}: {fault}; {page.kinds}" for fault in faults]
    told.pages += 1
    told.struck += page.connections > 1
    told.taken_back += page.taken_back
    told.asked_again += len(asks) > 1


EACH: tuple[tuple[Dies, ...], ...] = (("gateway",), ("worker",), ("gateway", "worker"))


def plans(runs: int, seed: int) -> list[Plan]:
    """Every moment with everybody once, then by chance."""
    chance = random.Random(seed)
    moments = (ASKING, HEARD, 1, WORDS // 2, WORDS - 1, WORDS)
    each = [Plan(moment, dies) for moment in moments for dies in EACH]
    more = [Plan(chance.randint(ASKING, WORDS), chance.choice(EACH)) for _ in range(runs)]
    return [*each, *more][:runs]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.crash.gateways", description=__doc__)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--served", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        wanted = plans(options.runs, options.seed)
        told = asyncio.run(play(wanted, Path(folder), served=options.served))
    print("\n".join(told.lines()))
    return 1 if told.faults else 0


if __name__ == "__main__":
    sys.exit(main())

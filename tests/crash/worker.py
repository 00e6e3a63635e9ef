"""A worker process that kills itself at a named boundary: python -m tests.crash.worker PLAN (JSON).

Its model and its tool leave a line in a file before they do anything: what was asked and what was
run is known however the process ends.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from stepfold.app import ROLES, Opened, Parts, opened, working
from stepfold.events.envelope import Draft, Entry, kind
from stepfold.events.values import Arguments, Passage
from stepfold.policy.agent import Agent, Limits
from stepfold.providers.model import Call, Prompt, Reply
from stepfold.settings import Settings
from stepfold.streams.jetstream import JetStreamLog, Message, acknowledge, give_back, place, pull
from stepfold.tools.files import load_tools
from stepfold.tools.mcp import mcp_tools
from stepfold.tools.mcp_file import read_mcp
from stepfold.tools.openapi import load_connections
from stepfold.tools.tool import Tool, ToolSpec

Boundary = Literal["", "before append", "after append", "before ack", "model", "tool", "search"]

AGENT = Agent(
    name="worker",
    models=("counting",),
    tools=("write",),
    collections=("facts",),
    limits=Limits(backoff_s=0.1, backoff_s_max=0.2, call_s=300, turn_s=900),
)
PASSAGE = Passage("facts.md", "Facts", "sha256:" + "1" * 64, 0, 9, "It rains.", 1.0)


class Plan(Struct, frozen=True):
    """Die at the `nth` time that `boundary` is met with a step of `kind` (any, when empty).

    `again`: whatever was handled is given back once, so that all of it is delivered twice.
    `tools` is a folder with tools, connections and MCP servers as users have them; `calls` are then
    what the model wants, each with its arguments.
    """

    url: str
    effects: str
    boundary: Boundary = ""
    kind: str = ""
    nth: int = 1
    ack_wait_s: float = 1.0
    model_s: float = 0.0
    tool_s: float = 0.0
    roles: tuple[str, ...] = ROLES
    parallel: int = 1
    arguments: str = ""
    again: bool = False
    tools: str = ""
    calls: dict[str, dict[str, Any]] = {}


class Fate:
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._left = plan.nth
        self._file = os.open(plan.effects, os.O_APPEND | os.O_CREAT | os.O_WRONLY)

    def close(self) -> None:
        os.close(self._file)

    def meet(self, boundary: Boundary, kind: str = "") -> None:
        plan = self._plan
        if boundary != plan.boundary or (plan.kind and kind != plan.kind):
            return
        self._left -= 1
        if not self._left:
            self.write(f"died {boundary} {kind}")
            os.kill(os.getpid(), signal.SIGKILL)

    def write(self, line: str) -> None:
        os.write(self._file, f"{line} @ {time.time()} {os.getpid()}\n".encode())


class MortalLog(JetStreamLog):
    fate: Fate

    async def append(self, drafts: Sequence[Draft], *, after: int) -> tuple[Entry, ...]:
        entries: list[Entry] = []
        for draft in drafts:
            self.fate.meet("before append", kind(draft.event))
            entries += await super().append([draft], after=after)
            self.fate.meet("after append", kind(draft.event))
            after = entries[-1].position
        return tuple(entries)


class CountingModel:
    """Each turn: it calls the tool and searches, then answers."""

    def __init__(self, fate: Fate, plan: Plan) -> None:
        self._fate = fate
        self._plan = plan

    async def reply(self, prompt: Prompt, /) -> Reply:
        self._fate.write(f"asked {prompt.question} {prompt.call}")
        self._fate.meet("model")
        await asyncio.sleep(self._plan.model_s)
        if not prompt.tools:
            return Reply(text='{"generated": true}')
        if prompt.results:
            return Reply(text=f"answer to {prompt.question}", cost_usd=Decimal("0.01"))
        if self._plan.calls:
            wanted = (Call(name, told) for name, told in self._plan.calls.items())
            return Reply(calls=tuple(wanted), cost_usd=Decimal("0.01"))
        writes = [
            Call("write", {"n": number, "text": self._plan.arguments})
            for number in range(self._plan.parallel)
        ]
        return Reply(
            calls=(*writes, Call("search", {"query": prompt.question})), cost_usd=Decimal("0.01")
        )


class WritingTool:
    spec = ToolSpec("write", "", {"type": "object"})

    def __init__(self, fate: Fate, plan: Plan) -> None:
        self._fate = fate
        self._plan = plan

    async def run(self, arguments: Arguments, *, call: str) -> Any:
        self._fate.write(f"ran {call}")
        self._fate.meet("tool")
        await asyncio.sleep(self._plan.tool_s)
        return {"written": call}


class Facts:
    def __init__(self, fate: Fate) -> None:
        self._fate = fate

    async def search(
        self, collections: Sequence[str], query: str, k: int, /
    ) -> tuple[Passage, ...]:
        self._fate.meet("search")
        return (PASSAGE,)


@asynccontextmanager
async def tools_in(folder: Path) -> AsyncIterator[dict[str, Tool]]:
    """The tools of a folder, as `stepfold serve` has them."""
    found = [*load_tools(folder / "tools"), *load_connections(folder / "connections")]
    servers = read_mcp(folder / "mcp.toml") if (folder / "mcp.toml").exists() else ()
    async with mcp_tools(servers) as more:
        yield {tool.spec.name: tool for tool in (*found, *more)}


@asynccontextmanager
async def at_work(plan: Plan) -> AsyncIterator[Opened]:
    async with AsyncExitStack() as stack:
        folder = Path(plan.tools)
        tools = await stack.enter_async_context(tools_in(folder)) if plan.tools else {}
        yield await stack.enter_async_context(_at_work(plan, tools))


@asynccontextmanager
async def _at_work(plan: Plan, tools: dict[str, Tool]) -> AsyncIterator[Opened]:
    fate = Fate(plan)
    parts = Parts(
        knowledge=Facts(fate),
        models={"counting": CountingModel(fate, plan)},
        tools={"write": WritingTool(fate, plan), **tools},
    )

    async def acknowledge_or_not(message: Message) -> None:
        fate.meet("before ack", message.subject.split(".", 3)[-1])
        if plan.again and place(message)[2] == 1:
            await give_back(message, 0)
        else:
            await acknowledge(message)

    setattr(pull, "acknowledge", acknowledge_or_not)  # noqa: B010
    try:
        async with opened(Settings(folder=Path(), nats_url=plan.url)) as found:
            log = MortalLog(found.client)
            log.fate = fate
            mortal = replace(found, log=log)
            async with working(mortal, parts, roles=plan.roles, ack_wait_s=plan.ack_wait_s):
                yield mortal
    finally:
        setattr(pull, "acknowledge", acknowledge)  # noqa: B010
        fate.close()


async def main(plan: Plan, ready: Callable[[], None]) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with at_work(plan):
        ready()
        await stop.wait()


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    told = msgspec.json.decode(sys.argv[1], type=Plan)
    asyncio.run(main(told, lambda: print("ready", flush=True)))

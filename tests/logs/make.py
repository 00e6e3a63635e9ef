"""Makes the recorded conversations of this folder: scripts run through the real shell, in memory.

    python -m tests.logs.make [FOLDER]

Those that are there stay as they are: they must replay for ever. Make new ones under new names.
"""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from stepfold.events.citation import cite
from stepfold.events.envelope import Entry
from stepfold.events.event import Event, Request
from stepfold.events.values import Arguments, Citation, Passage
from stepfold.handlers.tool import RunTool
from stepfold.handlers.worker import Worker
from stepfold.policy.agent import Agent
from stepfold.projections.state import Conversation
from stepfold.providers.model import Call, ModelBusy, Reply
from stepfold.providers.scripted import ScriptedModel
from stepfold.streams.archive import export
from stepfold.testing import Arrangement, Passages
from stepfold.tools.tool import FunctionTool, Tool, ToolError, ToolSpec

AGENT = Agent(
    name="help-desk",
    instructions="Help with orders. Cite the handbook.",
    models=("scripted", "second"),
    tools=("find_order", "refund"),
    collections=("handbook",),
)
HANDBOOK = "Refunds. A refund takes three working days. It goes to the card that was charged."
PASSAGE = Passage("refunds.md", "Refunds", "sha256:" + "5" * 64, 0, len(HANDBOOK), HANDBOOK, 2.5)
WRONG = Citation("refunds.md", PASSAGE.digest, 0, 7, "Refunds take a day.")


class Untimed:
    """A worker whose outcomes took no time, so that making a log twice gives the same bytes."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self.by = worker.by

    async def run(self, entry: Entry, state: Conversation, agent: Agent) -> Event:
        outcome = await self._worker.run(entry, state, agent)
        return replace(outcome, elapsed_ms=0) if hasattr(outcome, "elapsed_ms") else outcome

    def forbid(self, entry: Entry, state: Conversation, agent: Agent) -> Event | None:
        return self._worker.forbid(entry, state, agent)

    def failed(self, request: Request, reason: str, detail: str, *, retryable: bool) -> Event:
        return self._worker.failed(request, reason, detail, retryable=retryable)


class UntimedTool(Untimed):
    """And whose starts are recorded."""

    def __init__(self, worker: RunTool) -> None:
        super().__init__(worker)
        self._tool = worker

    def recovers(self, request: Request, agent: Agent, reason: str) -> bool:
        return self._tool.recovers(request, agent, reason)

    async def recover(self, entry: Entry, state: Conversation, agent: Agent) -> Event:
        return await self._tool.recover(entry, state, agent)


def untimed(worker: Worker) -> Worker:
    return UntimedTool(worker) if isinstance(worker, RunTool) else Untimed(worker)


def arranged(*replies: Reply | Exception, tools: tuple[Tool, ...]) -> Arrangement:
    model = ScriptedModel(replies)
    models = {"scripted": model, "second": model}
    arrangement = Arrangement(models=models, tools=tools, knowledge=Passages(PASSAGE))
    arrangement.workers = {kind: untimed(one) for kind, one in arrangement.workers.items()}
    arrangement.restart()
    return arrangement


async def refund() -> bytes:
    """A tool that fails, a call that is refused, an answer with a true and a false citation."""
    quote = cite(PASSAGE, "A refund takes three working days.")
    assert quote is not None

    async def find_order(arguments: Arguments, call: str) -> Any:
        raise ToolError(f"there is no order {arguments['number']}")

    arrangement = arranged(
        Reply(calls=(Call("find_order", {"number": 7}, "p1"), Call("close_account", {}, "p1"))),
        Reply(text="I find no order 7. Is the number right?"),
        Reply(text="Let me look.", calls=(Call("search", {"query": "refund days"}, "p1"),)),
        Reply(text="A refund takes three working days.", citations=(quote, WRONG)),
        tools=(FunctionTool(_spec("find_order"), find_order),),
    )
    await arrangement.start(AGENT, "refund")
    for text in ("Where is order 7, and close my account!", "How long does a refund take?"):
        await arrangement.say(text, "refund")
        await arrangement.run_to_rest()
    return await _lines(arrangement)


async def cancelled() -> bytes:
    """A busy model, a turn cancelled while its tool runs, a message that starts another turn."""

    async def run_refund(arguments: Arguments, call: str) -> Any:
        await arrangement.cancel("cancelled", "the contact left")
        return {"refunded": arguments["number"]}

    arrangement = arranged(
        ModelBusy("slow down", reason="rate_limit", delay_s=0.25),
        Reply(calls=(Call("refund", {"number": 8}),)),
        Reply(text="Order 8 was refunded."),
        tools=(FunctionTool(_spec("refund"), run_refund),),
    )
    await arrangement.start(AGENT, "cancelled")
    for text in ("Refund order 8.", "Did it work?"):
        await arrangement.say(text, "cancelled")
        await arrangement.run_to_rest()
    return await _lines(arrangement)


def _spec(name: str) -> ToolSpec:
    return ToolSpec(name, parameters={"type": "object", "required": ["number"]})


async def _lines(arrangement: Arrangement) -> bytes:
    return b"".join(
        [line async for line in export(arrangement.log, arrangement.agents, arrangement.routes)]
    )


async def main(folder: Path) -> None:
    random.seed(0)
    for make in (refund, cancelled):
        path = folder / f"{make.__name__}.jsonl"
        made = await make()
        if path.exists() and path.read_bytes() != made:
            print(f"{path} stays as it is: today it would be made otherwise")
        elif not path.exists():
            path.write_bytes(made)
            print(f"{path} is new")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent))

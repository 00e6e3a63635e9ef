"""A worker process that asks a model over loopback, as `stepfold serve` has it, but others take
over from it sooner: python -m tests.crash.word_worker NATS MODEL KEY.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

from stepfold.app import Parts, opened, working
from stepfold.knowledge.memory import MemoryKnowledge
from stepfold.policy.agent import Agent
from stepfold.providers.openai import OpenAI
from stepfold.settings import Settings

AGENT = Agent(name="words", models=("ours/words",))
ACK_WAIT_S = 1.0


async def main(nats: str, model: str, key: str) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    ours = OpenAI(api_key=key, base_url=model, name="ours", dialect="chat")
    parts = Parts(MemoryKnowledge({}), models={"ours": ours})
    async with (
        opened(Settings(folder=Path(), nats_url=nats)) as found,
        working(found, parts, ack_wait_s=ACK_WAIT_S),
    ):
        print("ready", flush=True)
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

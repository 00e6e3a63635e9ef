"""A model that streams, calls tools and quotes; its agent; a gateway with all protocols."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import openai

from stepfold.events.transcript import Heard
from stepfold.events.values import Delta, Usage
from stepfold.gateway import ag_ui, ai_sdk, mcp, openai_chat, openai_responses
from stepfold.gateway.doors import Door
from stepfold.gateway.principal import CHAT, READ
from stepfold.gateway.serving import Made
from stepfold.gateway.table import DOORS
from stepfold.policy.agent import Agent, Limits
from stepfold.policy.toolspec import ToolSpec
from stepfold.providers.model import Call, ModelBusy, Prompt, Reply
from stepfold.tools.tool import FunctionTool
from tests.gateway.house import House, house

QUOTE = "ask for a refund within 30 days of your first payment"
TITLE = "Trials, cancellation and refunds"
PREAMBLE = "Let me look that up."
QUESTION = "Can I get my money back for order 17?"
USAGE = Usage(input=100, output=20, cached=40, thinking=5)
CLERK = Agent(
    name="clerk",
    models=("talker",),
    tools=("order_status",),
    collections=("default",),
    limits=Limits(backoff_s=0.01, backoff_s_max=0.01),
)
SPOKEN = (*openai_chat.DOORS, *openai_responses.DOORS, *ai_sdk.DOORS, *ag_ui.DOORS, *mcp.DOORS)


def answer(messages: int) -> str:
    """What the talker says to the last of so many messages."""
    return f'Order 17 has shipped. You can "{QUOTE}". That was message {messages}.'


class Talker:
    """Calls its two tools, then answers in three pieces. It stops before the last one until it
    `may` go on; the answers in `broken` break off there, and then the model says `instead`.
    """

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """As new."""
        self.may = asyncio.Event()
        self.may.set()
        self.prompts: list[Prompt] = []
        self.broken = 0
        self.instead = ""
        self.hangs = asyncio.Event()

    async def reply(self, prompt: Prompt, /) -> Reply:
        self.prompts.append(prompt)
        if not prompt.results:
            _say(prompt, PREAMBLE)
            calls = (
                Call("order_status", {"order": 17}),
                Call("search", {"query": "refund first payment"}),
            )
            return Reply(text=PREAMBLE, calls=calls, thinking="They want money.", usage=USAGE)
        text = answer(sum(isinstance(item, Heard) for item in prompt.items))
        first, second = text[:20], text[20:]
        begins = self.instead if self.instead and not self.broken else first
        _say(prompt, begins)
        self.hangs.set()
        await self.may.wait()
        if self.broken:
            self.broken -= 1
            raise ModelBusy("it broke off")
        if begins != first:
            return Reply(text=begins, usage=USAGE)
        _say(prompt, second)
        return Reply(text=text, usage=USAGE)


def _say(prompt: Prompt, text: str) -> None:
    if prompt.hear is not None:
        prompt.hear(Delta("text", text))


async def _status(arguments: dict[str, Any], call: str) -> dict[str, str]:
    return {"order": str(arguments["order"]), "status": "shipped"}


ORDER = FunctionTool(ToolSpec("order_status", "Looks an order up.", effect="read"), _status)


class Room:
    """A house whose agent is the clerk."""

    def __init__(self, home: House, model: Talker, stack: AsyncExitStack) -> None:
        self.home = home
        self.model = model
        self._stack = stack

    async def openai(self, *, scopes: tuple[str, ...] = (CHAT, READ), **more: Any) -> Any:
        """The real client, with a key of acme."""
        key = await self.home.key(scopes=scopes)
        client = openai.AsyncOpenAI(
            api_key=key, base_url=f"{self.home.url}/v1", max_retries=0, timeout=20, **more
        )
        return await self._stack.enter_async_context(client)


def doors() -> tuple[Door, ...]:
    there = {(door.method, door.path) for door in DOORS}
    return (*DOORS, *(door for door in SPOKEN if (door.method, door.path) not in there))


@asynccontextmanager
async def talking(folder: Path, agent: Agent = CLERK) -> AsyncIterator[Room]:
    async with house(folder, Made(doors=doors())) as home, AsyncExitStack() as stack:
        model = Talker()
        await home.work(agent, models={"talker": model}, tools=(ORDER,))
        yield Room(home, model, stack)

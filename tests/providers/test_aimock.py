"""Whole conversations with providers that strangers wrote: npm's `@copilotkit/aimock`.

Set STEPFOLD_AIMOCK to the folder of the installed package; without it there is nothing to run.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from stepfold.events.event import Reasoned
from stepfold.events.transcript import Heard, Item, Result
from stepfold.events.values import ToolCall
from stepfold.policy.agent import Agent
from stepfold.providers.model import Delta, ModelBusy, Prompt, Reply
from stepfold.testing import run_to_rest
from stepfold.tools.tool import FunctionTool
from tests.providers.dialects import ARGUMENTS, DIALECTS, Provider
from tests.providers.logged import thought
from tests.providers.test_switching import ADD, add
from tests.servers import free_port, listens
from tests.waiting import eventually

AIMOCK = os.environ.get("STEPFOLD_AIMOCK", "")
pytestmark = pytest.mark.skipif(not AIMOCK, reason="set STEPFOLD_AIMOCK to the package's folder")

each = pytest.mark.parametrize("api", DIALECTS)
streamed = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
GREETING = "Hello there, my friend. It is a fine day for a walk by the lake."
SUM, LABEL = "They are 5 and 9.", {"label": "fees", "sure": True}
SCHEMA = {
    "type": "object",
    "properties": {"label": {"type": "string"}, "sure": {"type": "boolean"}},
    "required": ["label", "sure"],
}
CALLS = [{"name": "add", "arguments": arguments} for arguments in ARGUMENTS]
FIXTURES = [
    {"match": {"userMessage": "Greet"}, "response": {"content": GREETING}},
    {"match": {"userMessage": "Add", "hasToolResult": True}, "response": {"content": SUM}},
    {"match": {"userMessage": "Add"}, "response": {"toolCalls": CALLS}},
    {
        "match": {"userMessage": "Sort"},
        "response": {"content": msgspec.json.encode(LABEL).decode()},
    },
    {
        "match": {"userMessage": "Wait"},
        "response": {"error": {"message": "slow down", "type": "rate_limit_error"}, "status": 429},
    },
]


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    fixtures = tmp_path_factory.mktemp("aimock") / "said.json"
    fixtures.write_bytes(msgspec.json.encode({"fixtures": FIXTURES}))
    port = free_port()
    cli = Path(AIMOCK) / "dist" / "cli.js"
    options = ("--port", str(port), "--fixtures", str(fixtures), "--strict", "--chunk-size", "7")
    with subprocess.Popen(["node", str(cli), *options], stdout=subprocess.DEVNULL) as process:
        yield port
        process.terminate()


@asynccontextmanager
async def opened(api: str, port: int) -> AsyncIterator[Provider]:
    await eventually(lambda: listens(port), what="aimock listens")
    url = f"http://127.0.0.1:{port}" + ("/v1" if api.startswith("openai") else "")
    provider = DIALECTS[api].open(url, api)
    try:
        yield provider
    finally:
        await provider.close()


async def told(
    provider: Provider, api: str, *items: Item, stream: bool, **more: Any
) -> tuple[Reply, str]:
    """(the reply, what was heard of it)."""
    heard: list[str] = []

    def hear(delta: Delta) -> None:
        heard.append(delta.text)

    prompt = Prompt(
        **{"instructions": "Be brief.", "tools": (), "call": "r1", **more},
        transcript=items,
        model=DIALECTS[api].model,
        hear=hear if stream else None,
    )
    return await provider.reply(prompt), "".join(heard)


@each
@streamed
async def test_a_text_is_told_and_heard(api: str, stream: bool, port: int) -> None:
    async with opened(api, port) as provider:
        reply, heard = await told(provider, api, Heard("Greet me"), stream=stream)

    assert (reply.all_text(), reply.finish, reply.provider) == (GREETING, "stop", api)
    assert heard == (GREETING if stream else "")
    assert reply.usage is not None


@each
@streamed
async def test_two_calls_at_once_are_made_and_answered(api: str, stream: bool, port: int) -> None:
    question = Heard("Add these")
    async with opened(api, port) as provider:
        first, _ = await told(provider, api, question, stream=stream, tools=(ADD,))
        turn = thought(first)
        results = [Result(call.call, "add", "5") for call in turn.calls]
        items: tuple[Item, ...] = (question, turn, *results)
        second, _ = await told(provider, api, *items, stream=stream, tools=(ADD,))

    calls = [part for part in first.parts if isinstance(part, ToolCall)]
    assert [call.arguments for call in calls] == list(ARGUMENTS)
    assert first.finish == "tool_calls"
    assert (second.all_text(), second.finish) == (SUM, "stop")


@each
@streamed
async def test_a_structured_answer_is_json_of_its_schema(api: str, stream: bool, port: int) -> None:
    async with opened(api, port) as provider:
        reply, _ = await told(provider, api, Heard("Sort it"), stream=stream, schema=SCHEMA)

    assert msgspec.json.decode(reply.all_text()) == LABEL


@each
async def test_a_whole_conversation_runs_to_rest(api: str, port: int) -> None:
    agent = Agent(name="clerk", models=(f"{api}/{DIALECTS[api].model}",), tools=("add",))
    async with opened(api, port) as provider:
        rest = await run_to_rest(
            agent,
            "Greet me",
            "Add these",
            models={api: provider},
            tools=[FunctionTool(ADD, add)],
        )

    assert [answer.text for answer in rest.answers] == [GREETING, SUM]
    assert rest.kinds.count("tool.returned") == 2
    assert sum(isinstance(event, Reasoned) for event in rest.events) == 3


@each
@streamed
async def test_a_limit_of_the_rate_is_worth_asking_again(api: str, stream: bool, port: int) -> None:
    async with opened(api, port) as provider:
        with pytest.raises(ModelBusy) as raised:
            await told(provider, api, Heard("Wait"), stream=stream)

    assert raised.value.reason == "rate_limit"
    assert "slow down" in raised.value.body

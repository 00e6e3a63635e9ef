"""AG-UI; with STEPFOLD_AI_SDK=<node_modules> spoken by `@ag-ui/client` itself, which checks it."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from msgspec.structs import replace

from stepfold.events.event import MessageReceived
from tests.gateway.house import House
from tests.gateway.talker import CLERK, PREAMBLE, QUESTION, QUOTE, TITLE, Room, answer, talking

pytestmark = pytest.mark.asyncio(loop_scope="module")
MODULES = os.environ.get("STEPFOLD_AI_SDK", "")
CLIENT = Path(__file__).parent / "ag_ui_client.mjs"
LIMIT_S = 30.0
PACKAGE = Path(MODULES or ".") / "@ag-ui" / "client"
real = pytest.mark.skipif(
    not PACKAGE.is_dir() or shutil.which("node") is None,
    reason="STEPFOLD_AI_SDK names no node_modules with @ag-ui/client",
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def open_room(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Room]:
    async with talking(tmp_path_factory.mktemp("room")) as made:
        yield made


@pytest.fixture
def room(open_room: Room) -> Room:
    open_room.model.begin()
    return open_room


def body(thread: str, *messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {"tools": [], "context": [], "state": {}, "forwardedProps": {}}
    return {"threadId": thread, "runId": "r", "messages": list(messages), **plain, **more}


async def run(home: House, body: dict[str, Any]) -> list[dict[str, Any]]:
    client = await home.client()
    async with client.stream("POST", "/v1/ag-ui", json=body) as response:
        assert response.status_code == 200, await response.aread()
        return [
            json.loads(line.removeprefix("data: "))
            async for line in response.aiter_lines()
            if line.startswith("data: ")
        ]


def user(content: Any, id: str = "u1") -> dict[str, Any]:
    return {"id": id, "role": "user", "content": content}


async def test_a_run_is_messages_and_tool_calls_with_their_results(room: Room) -> None:
    told = await run(room.home, body("plain", user(QUESTION)))

    kinds = [each["type"] for each in told]
    message = ["TEXT_MESSAGE_START", "TEXT_MESSAGE_CONTENT", "TEXT_MESSAGE_END"]
    assert kinds[:4] == ["RUN_STARTED", *message]
    assert sorted(kinds[4:12]) == sorted(
        ["TOOL_CALL_START", "TOOL_CALL_ARGS", "TOOL_CALL_END", "TOOL_CALL_RESULT"] * 2
    )
    assert kinds[-3:] == ["TEXT_MESSAGE_END", "CUSTOM", "RUN_FINISHED"]
    words = "".join(each["delta"] for each in told if each["type"] == "TEXT_MESSAGE_CONTENT")
    assert words == PREAMBLE + answer(1)
    (cite,) = told[-2]["value"]
    assert answer(1)[cite["answerStart"] : cite["answerEnd"]] == QUOTE
    assert (cite["title"], cite["url"][:22]) == (TITLE, "urn:stepfold:document:")
    assert told[-1]["outcome"] == {"type": "success"}
    assert told[-1]["usage"][0]["totalTokens"] == 240


async def test_the_context_is_a_note_and_the_log_is_the_memory(room: Room) -> None:
    context = [{"description": "The page", "value": "/billing"}]
    first, second = user([{"type": "text", "text": "one"}]), user("two", "u2")

    await run(room.home, body("noted", first, context=context))
    await run(room.home, body("noted", first, second))

    entries = await room.home.found.log.read("acme", "noted")
    heard = [each.event.text for each in entries if isinstance(each.event, MessageReceived)]
    assert "> The page: /billing" in heard[0]
    assert heard[0].endswith("The contact:\n\none")
    assert heard[1:] == ["two"]


async def test_a_run_without_an_answer_ends_in_an_error(tmp_path: Path) -> None:
    async with talking(tmp_path, replace(CLERK, channels=("api",))) as closed:
        told = await run(closed.home, body("closed", user(QUESTION)))

    assert [each["type"] for each in told] == ["RUN_STARTED", "RUN_ERROR"]
    assert told[-1]["code"] == "channel"


async def test_what_is_no_text_is_refused_by_ag_ui(room: Room) -> None:
    client = await room.home.client()

    image = await client.post("/v1/ag-ui", json=body("c", user([{"type": "image"}])))
    nothing = await client.post("/v1/ag-ui", json=body("c"))

    assert (image.status_code, nothing.status_code) == (422, 422)
    assert image.headers["content-type"] == "application/problem+json"


@real
async def test_its_own_client_finds_every_event_in_order(room: Room) -> None:
    key = await room.home.key()
    process = await asyncio.create_subprocess_exec(
        "node", str(CLIENT), MODULES, room.home.url, key, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None

    async with asyncio.timeout(LIMIT_S):
        lines = [json.loads(line) async for line in process.stdout]
        assert await process.wait() == 0

    told = {each["name"]: each["value"] for each in lines}
    for turn, name in enumerate(("u1", "u2"), start=1):
        events = told[name]["events"]
        assert events[-1]["type"] == "RUN_FINISHED"
        (told_by,) = (each["value"] for each in events if each.get("name") == "citations")
        (cite,) = told_by
        assert cite["document"] == "trial-and-refunds.md"
        assert answer(turn)[cite["answerStart"] : cite["answerEnd"]] == cite["quote"] == QUOTE
    roles = [each["role"] for each in told["u2"]["messages"]]
    assert roles.count("user") == 2
    assert roles.count("tool") == 4
    said = [each.get("content") for each in told["u2"]["messages"] if each["role"] == "assistant"]
    assert [words for words in said if words] == [PREAMBLE, answer(1), PREAMBLE, answer(2)]

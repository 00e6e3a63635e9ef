"""Each client that people have holds a conversation of two turns here: every turn with a tool call,
and with a citation that its user can see. It goes through the client's own public face.

STEPFOLD_AI_SDK=<node_modules> names where those from npm are; which are not there are left out. The
packages `ai` and `@ag-ui/client`, and curl, have tests of their own (test_ai_sdk.py, test_ag_ui.py,
test_gateway_curl.py, test_gateway_mcp.py).
"""

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

from stepfold.events.event import MessageReceived, RetrievalReturned, ToolReturned
from tests.gateway.talker import PREAMBLE, QUESTION, QUOTE, TITLE, Room, answer, talking

pytestmark = pytest.mark.asyncio(loop_scope="module")
MODULES = Path(os.environ.get("STEPFOLD_AI_SDK", "nowhere"))
HERE = Path(__file__).parent
LIMIT_S = 30.0
DOCUMENT = "trial-and-refunds.md"
QUESTIONS = (QUESTION, "And now?")


def has(package: str) -> pytest.MarkDecorator:
    there = (MODULES / package).is_dir() and shutil.which("node") is not None
    return pytest.mark.skipif(not there, reason=f"STEPFOLD_AI_SDK has no {package}")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def open_room(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Room]:
    async with talking(tmp_path_factory.mktemp("room")) as made:
        yield made


@pytest.fixture
def room(open_room: Room) -> Room:
    open_room.model.begin()
    return open_room


async def node(script: str, *words: str) -> dict[str, Any]:
    """What a client told, by name."""
    process = await asyncio.create_subprocess_exec(
        *("node", str(HERE / script), str(MODULES), *words), stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(LIMIT_S):
        told, _ = await process.communicate()
    assert process.returncode == 0, told.decode()
    lines = [json.loads(line) for line in told.splitlines()]
    return {each["name"]: each["value"] for each in lines}


async def check_conversation(room: Room, name: str) -> None:
    """Both questions are in one conversation of the log, once, each with its two tools."""
    events = [each.event for each in await room.home.found.log.read("acme", name)]
    said = [each.text for each in events if isinstance(each, MessageReceived)]
    assert [text.rpartition("\n\n")[2] for text in said] == list(QUESTIONS)
    for kind in (ToolReturned, RetrievalReturned):
        assert [each.turn for each in events if isinstance(each, kind)] == [1, 2]


# -- openai, from PyPI ------------------------------------------------------------------------


async def test_openai_streams_two_turns_of_chat_completions(room: Room) -> None:
    client = await room.openai()
    messages: list[Any] = []

    for turn, question in enumerate(QUESTIONS, start=1):
        messages.append({"role": "user", "content": question})
        named = {"conversation": "chat-in-python"}
        async with client.chat.completions.stream(
            model="clerk", messages=messages, metadata=named
        ) as stream:
            words = [event.delta async for event in stream if event.type == "content.delta"]
        message = (await stream.get_final_completion()).choices[0].message
        messages.append(message.model_dump(exclude_none=True))

        assert "".join(words) == message.content == f"{PREAMBLE}\n\n{answer(turn)}"
        check_cited(message.content, message.annotations[0].url_citation.model_dump())

    await check_conversation(room, "chat-in-python")


def check_cited(said: str, cite: dict[str, Any]) -> None:
    """A person is shown the document's name behind the words that rest on it."""
    assert said[cite["start_index"] : cite["end_index"]] == QUOTE
    assert cite["title"] == TITLE
    assert DOCUMENT in cite["url"]


async def test_openai_streams_two_turns_of_responses(room: Room) -> None:
    client = await room.openai()
    before: dict[str, Any] = {}

    for turn, question in enumerate(QUESTIONS, start=1):
        cited = []
        async with client.responses.stream(model="clerk", input=question, **before) as stream:
            async for event in stream:
                if event.type == "response.output_text.annotation.added":
                    cited.append(event.annotation)
            response = await stream.get_final_response()
        before = {"previous_response_id": response.id}

        assert response.output_text == PREAMBLE + answer(turn)
        assert [each.filename for each in cited] == [DOCUMENT]
        tools = [each.name for each in response.output if each.type == "mcp_call"]
        assert tools == ["order_status"]

    await check_conversation(room, response.conversation.id)


# -- from npm ---------------------------------------------------------------------------------


@has("openai")
async def test_openai_from_npm_holds_both_conversations(room: Room) -> None:
    told = await node("openai_client.mjs", room.home.url, await room.home.key())

    chats = [told[f"chat {turn}"] for turn in range(2)]
    for chat in chats:  # without a name the second turn quotes the first one in its only message
        said = chat["whole"]["choices"][0]["message"]["content"]
        assert said == f"{PREAMBLE}\n\n{answer(1)}"
        (annotation,) = chat["annotations"]
        check_cited(said, annotation["url_citation"])
        assert chat["whole"]["usage"]["total_tokens"] == 240
    second = chats[1]["whole"]["id"].removeprefix("chatcmpl-").rpartition(".")[0]
    begun = (await room.home.found.log.read("acme", second))[1].event
    assert isinstance(begun, MessageReceived)
    assert f"> {QUESTION}" in begun.text
    assert begun.text.endswith(QUESTIONS[1])
    responses = [told[f"response {turn}"] for turn in range(2)]
    for turn, response in enumerate(responses, start=1):
        whole = response["whole"]
        assert response["words"] == whole["output_text"] == PREAMBLE + answer(turn)
        assert [item["type"] for item in whole["output"]].count("mcp_call") == 1
        (cite,) = whole["output"][-1]["content"][0]["annotations"]
        assert cite["filename"] == DOCUMENT
    await check_conversation(room, responses[-1]["whole"]["conversation"]["id"])
    assert told["errors"] == [
        "AuthenticationError",
        "NotFoundError",
        "NotFoundError",
        "BadRequestError",
    ]


@pytest.mark.parametrize(
    "made",
    [
        pytest.param(made, marks=has(f"@modelcontextprotocol/{made}"), id=made)
        for made in ("sdk", "client")
    ],
)
async def test_the_typescript_packages_of_mcp_hold_a_conversation(room: Room, made: str) -> None:
    told = await node("mcp_client.mjs", made, room.home.url, await room.home.key())

    assert sorted(told["tools"]) == ["ask", "conversation", "search_knowledge"]
    for turn, name in enumerate(("first", "second"), start=1):
        given = told[name]["structuredContent"]
        assert given["answer"] == answer(turn)
        assert [each["document"] for each in given["citations"]] == [DOCUMENT]
        assert [each["quote"] for each in given["citations"]] == [QUOTE]
        assert json.loads(told[name]["content"][0]["text"]) == given
        assert {"tool.returned", "retrieval.returned"} <= set(told[name]["steps"])
    said = told["told"]["structuredContent"]["said"]
    assert [each["text"] for each in said][::2] == list(QUESTIONS)
    assert told["found"]["structuredContent"]["passages"][0]["title"]
    assert told["wrong"]["isError"]
    assert "question" in told["wrong"]["content"][0]["text"]
    assert "401" in told["stranger"] or "unauthorized" in told["stranger"].lower()
    await check_conversation(room, told["first"]["structuredContent"]["conversation"])

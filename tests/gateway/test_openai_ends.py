"""What goes wrong while an answer is on its way is told in the client's own protocol."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import openai
import pytest

from stepfold.gateway.principal import CHAT
from tests.gateway.house import LIMIT_S
from tests.gateway.talker import PREAMBLE, QUESTION, Room, answer, talking
from tests.waiting import eventually

BODIES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {
        "model": "clerk",
        "stream": True,
        "messages": [{"role": "user", "content": QUESTION}],
    },
    "/v1/responses": {"model": "clerk", "stream": True, "input": QUESTION},
    "/v1/ai-sdk": {
        "id": "c1",
        "messages": [{"id": "u", "role": "user", "parts": [{"type": "text", "text": QUESTION}]}],
    },
    "/v1/ag-ui": {
        "threadId": "c2",
        "runId": "r",
        "messages": [{"id": "u", "role": "user", "content": QUESTION}],
    },
}


async def last_before_the_end(room: Room, path: str) -> dict[str, Any]:
    """What a gateway says that ends in the middle of an answer."""
    client = await room.home.client()
    (gateway,) = room.home.gateways.values()
    told: dict[str, Any] = {}
    async with client.stream("POST", path, json=BODIES[path]) as response:
        assert response.status_code == 200
        async for line in response.aiter_lines():
            if line.startswith("data: "):
                told = json.loads(line.removeprefix("data: "))
            if answer(1)[:20] in line:
                gateway.closing.set()
    return told


async def test_a_gateway_that_ends_says_so_in_each_protocol(tmp_path: Path) -> None:
    told = {}
    for number, path in enumerate(BODIES):
        async with talking(tmp_path / str(number)) as room:
            room.model.may.clear()
            told[path] = await last_before_the_end(room, path)
            room.model.may.set()

    chat, responses, ai_sdk, ag_ui = told.values()
    assert "another one answers" in chat["error"]["message"]
    assert (chat["error"]["type"], responses["type"]) == ("server_error", "error")
    assert "another one answers" in responses["message"]
    assert (ai_sdk["type"], ag_ui["type"]) == ("error", "RUN_ERROR")


async def test_a_turn_that_is_cancelled_ends_the_answer(tmp_path: Path) -> None:
    async with talking(tmp_path) as room:
        room.model.may.clear()
        client, web = await room.openai(), await room.home.client()
        stream = await client.chat.completions.create(
            model="clerk",
            messages=[{"role": "user", "content": QUESTION}],
            metadata={"conversation": "mine"},
            stream=True,
        )
        told: list[str] = []

        async def listen() -> None:
            async for chunk in stream:
                told.extend(choice.delta.content or "" for choice in chunk.choices)
                if told[-1].endswith(answer(1)[:20]):
                    done = await web.post(
                        "/v1/conversations/mine/cancel", json={"reason": "enough"}
                    )
                    assert done.status_code == 202

        with pytest.raises(openai.APIError, match="no answer: enough"):
            await listen()
        assert "".join(told) == f"{PREAMBLE}\n\n{answer(1)[:20]}"
        room.model.may.set()


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/mcp"])
async def test_a_key_that_is_revoked_waits_for_no_answer(tmp_path: Path, path: str) -> None:
    async with talking(tmp_path) as room:
        room.model.may.clear()
        key, shown = await room.home.keys.create("acme", (CHAT,))
        client = await room.home.client(shown, accept="application/json, text/event-stream")
        arguments = {"name": "ask", "arguments": {"question": QUESTION}}
        asks = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": arguments}
        body = asks if path == "/mcp" else {**BODIES[path], "stream": False}
        asked = asyncio.create_task(client.post(path, json=body))
        await room.model.hangs.wait()
        assert not asked.done()

        await room.home.keys.revoke(key.id)

        async with asyncio.timeout(LIMIT_S):
            if path == "/mcp":
                (answered,) = await asyncio.gather(asked, return_exceptions=True)
                assert "result" not in getattr(answered, "text", "")
            else:
                assert (await asked).json()["error"]["code"] == "invalid_api_key"
        (gateway,) = room.home.gateways.values()
        await eventually(lambda: gateway.guard.limits.streams == 0)
        room.model.may.set()


async def test_what_is_too_large_is_refused_in_openais_shape(tmp_path: Path) -> None:
    async with talking(tmp_path) as room:
        client = await room.openai()
        large = [{"role": "user", "content": "x" * 5_000_000}]

        with pytest.raises(openai.APIStatusError) as refused:
            await client.chat.completions.create(model="clerk", messages=large)
        with pytest.raises(openai.BadRequestError) as wrong:
            await client.chat.completions.create(
                model="clerk",
                messages=[{"role": "user", "content": "x"}],
                metadata={"conversation": "not a name"},
            )

    assert refused.value.status_code == 413
    assert refused.value.type == "invalid_request_error"
    assert "not a name" in wrong.value.message

"""`curl -N` on the stream of a conversation: it breaks off, and Last-Event-ID goes on behind it."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

import pytest

from tests.gateway.house import House
from tests.gateway.talker import PREAMBLE, QUESTION, QUOTE, answer, talking

LIMIT_S = 20.0
pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


async def curl(home: House, key: str, path: str, *more: str, until: str = "") -> list[str]:
    """The lines of a stream, until it ends or holds `until`."""
    words = ("-sS", "-N", "-H", f"Authorization: Bearer {key}", *more, f"{home.url}{path}")
    process = await asyncio.create_subprocess_exec("curl", *words, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    lines: list[str] = []
    try:
        async with asyncio.timeout(LIMIT_S):
            async for line in process.stdout:
                lines.append(line.decode().rstrip("\n"))
                if until and until in lines[-1]:
                    process.terminate()
                    break
    finally:
        if process.returncode is None and not until:
            process.terminate()
        await process.wait()
    return lines


def words(lines: list[str]) -> str:
    told = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]
    return "".join(each["text"] for each in told if "offset" in each and each["kind"] == "text")


async def test_curl_goes_on_behind_the_last_event(tmp_path: Path) -> None:
    async with talking(tmp_path) as room:
        room.model.may.clear()
        client, key = await room.home.client(), await room.home.key()
        begun = await client.post("/v1/conversations", json={"conversation": "c1"})
        await client.post("/v1/conversations/c1/messages", json={"text": QUESTION})
        path = "/v1/conversations/c1/events?until=rest"

        before = await curl(room.home, key, path, until=answer(1)[:20])
        last = [line.removeprefix("id: ") for line in before if line.startswith("id: ")][-1]
        room.model.may.set()
        after = await curl(room.home, key, path, "-H", f"Last-Event-ID: {last}")

        assert begun.status_code == 201
        assert words(before) == PREAMBLE + answer(1)[:20]
        assert words(before) + words(after) == PREAMBLE + answer(1)
        assert any("tool.returned" in line for line in before)
        assert any(line.startswith("data: ") and QUOTE in line for line in after)
        assert after[-2].startswith('data: {"position"')
        assert "event: rest" in after

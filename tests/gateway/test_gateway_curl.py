"""`curl -N` on the stream of a conversation: it breaks off, and Last-Event-ID goes on behind it."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from stepfold.gateway.principal import CHAT
from tests.gateway.house import House
from tests.gateway.talker import QUESTION, QUOTE, TITLE, answer, talking

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


def told(lines: list[str]) -> list[dict[str, Any]]:
    """The data of the events that came whole: an empty line ends each."""
    events, data = list[dict[str, Any]](), ""
    for line in lines:
        if line.startswith("data: "):
            data = line.removeprefix("data: ")
        elif not line and data:
            events.append(json.loads(data))
            data = ""
    return events


def words(lines: list[str]) -> str:
    """Of the last call that says something, each word where it belongs."""
    said: dict[str, str] = {}
    for each in told(lines):
        if "offset" in each and each["kind"] == "text":
            said[each["call"]] = said.get(each["call"], "") + each["text"]
            assert each["offset"] + len(each["text"]) == len(said[each["call"]])
    return list(said.values())[-1]


def last_id(lines: list[str]) -> str:
    """Of the last event that came whole, as a browser remembers it."""
    whole = lines[: len(lines) - lines[::-1].index("")]
    return [line.removeprefix("id: ") for line in whole if line.startswith("id: ")][-1]


async def test_curl_holds_a_conversation_and_goes_on_behind_the_last_event(tmp_path: Path) -> None:
    async with talking(tmp_path) as room:
        client, key = await room.home.client(), await room.home.key()
        begun = await client.post("/v1/conversations", json={"conversation": "c1"})
        assert begun.status_code == 201
        events = "/v1/conversations/c1/events?until=rest"
        lines: list[str] = []

        for turn, question in enumerate((QUESTION, "And now?"), start=1):
            room.model.may.clear()
            path = "/v1/conversations/c1/messages"
            await posted(room.home, key, path, {"text": question})
            seen = ("-H", f"Last-Event-ID: {last_id(lines)}") if lines else ()
            before = await curl(room.home, key, events, *seen, until=answer(turn)[:20])
            before.append("")  # the line that holds these words ends its event
            room.model.may.set()
            seen = ("-H", f"Last-Event-ID: {last_id(before)}")
            after = await curl(room.home, key, events, *seen)

            assert words(before) == answer(turn)[:20]
            assert words([*before, *after]) == answer(turn)
            assert any("tool.returned" in line for line in before)
            assert any(line.startswith("data: ") and QUOTE in line for line in after)
            assert after[-3] == "event: rest"
            lines += [*before, *after]

        steps = [each for each in told(lines) if "event" in each]
        log = await room.home.found.log.read("acme", "c1")
        assert [each["position"] for each in steps] == [each.position for each in log]
        given = [each["event"] for each in steps if each["kind"] == "response.given"]
        assert [each["text"] for each in given] == [answer(1), answer(2)]
        assert [each["citations"][0]["quote"] for each in given] == [QUOTE, QUOTE]

        contact = await room.home.key(scopes=(CHAT,))
        shown = told(await curl(room.home, contact, events))
        (cite,) = [each["event"] for each in shown if each.get("kind") == "response.given"][-1][
            "citations"
        ]
        assert cite["title"] == TITLE


async def posted(home: House, key: str, path: str, body: dict[str, str]) -> None:
    """What curl says, too."""
    await curl(home, key, path, "--fail", "--json", json.dumps(body))

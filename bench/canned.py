"""A server on loopback that answers every model call at once with the same canned answer, in the
form of OpenAI's Chat Completions or Anthropic's Messages, streamed where that is wanted.

    python -m bench.canned        prints its address, and serves until its input ends
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from typing import Any

WORDS = ("The branch opens at nine", " and closes at five,", " except on Sundays.") * 16
TEXT = "".join(WORDS)
ARGUMENTS = {"query": "opening hours of the branch", "limit": 5}
CALLS = ("call_1", "call_2")
Json = dict[str, Any]


def chat() -> Json:
    called = [
        {
            "id": call,
            "type": "function",
            "function": {"name": "look_up", "arguments": json.dumps(ARGUMENTS)},
        }
        for call in CALLS
    ]
    message = {"role": "assistant", "content": TEXT, "tool_calls": called}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_760_000_000,
        "model": "gpt-4.1-2025-04-14",
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}],
        "usage": {"prompt_tokens": 900, "completion_tokens": 120, "total_tokens": 1_020},
    }


def anthropic() -> Json:
    content: list[Json] = [{"type": "text", "text": TEXT}]
    content += [
        {"type": "tool_use", "id": call, "name": "look_up", "input": ARGUMENTS} for call in CALLS
    ]
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5-20250929",
        "content": content,
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": {"input_tokens": 900, "output_tokens": 120},
    }


def chat_stream() -> Iterator[tuple[str, Json | None]]:
    head = {key: value for key, value in chat().items() if key not in {"choices", "usage"}}
    head["object"] = "chat.completion.chunk"
    for word in WORDS:
        yield "", head | {"choices": [{"index": 0, "delta": {"content": word}}]}
    for place, call in enumerate(CALLS):
        function = {"name": "look_up", "arguments": json.dumps(ARGUMENTS)}
        told = {"index": place, "id": call, "type": "function", "function": function}
        yield "", head | {"choices": [{"index": 0, "delta": {"tool_calls": [told]}}]}
    end = {"index": 0, "delta": {}, "finish_reason": "tool_calls"}
    yield "", head | {"choices": [end]}
    yield "", head | {"choices": [], "usage": chat()["usage"]}
    yield "", None


def anthropic_stream() -> Iterator[tuple[str, Json | None]]:
    whole = anthropic()
    yield "message_start", {"message": whole | {"content": [], "stop_reason": None}}
    yield "content_block_start", {"index": 0, "content_block": {"type": "text", "text": ""}}
    for word in WORDS:
        delta = {"type": "text_delta", "text": word}
        yield "content_block_delta", {"index": 0, "delta": delta}
    yield "content_block_stop", {"index": 0}
    for place, block in enumerate(whole["content"][1:], start=1):
        yield "content_block_start", {"index": place, "content_block": block | {"input": {}}}
        delta = {"type": "input_json_delta", "partial_json": json.dumps(ARGUMENTS)}
        yield "content_block_delta", {"index": place, "delta": delta}
        yield "content_block_stop", {"index": place}
    ended = {"stop_reason": "tool_use", "stop_sequence": None}
    yield "message_delta", {"delta": ended, "usage": {"output_tokens": 120}}
    yield "message_stop", {}


def _events(stream: Iterator[tuple[str, Json | None]]) -> bytes:
    told = []
    for event, data in stream:
        if event:
            told.append(f"event: {event}\n")
        said = {"type": event} | (data or {}) if event else data
        told.append(f"data: {'[DONE]' if said is None else json.dumps(said)}\n\n")
    return "".join(told).encode()


def _response(body: bytes, content_type: str) -> bytes:
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


WHOLE = {
    False: _response(json.dumps(chat()).encode(), "application/json"),
    True: _response(json.dumps(anthropic()).encode(), "application/json"),
}
STREAMED = {
    False: _response(_events(chat_stream()), "text/event-stream"),
    True: _response(_events(anthropic_stream()), "text/event-stream"),
}


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
            asked = json.loads(await reader.readexactly(length))
            forms = STREAMED if asked.get("stream") else WHOLE
            writer.write(forms[b"/messages" in head.split(b"\r\n")[0]])
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main() -> None:
    server = await asyncio.start_server(_serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    print(f"http://{host}:{port}", flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())

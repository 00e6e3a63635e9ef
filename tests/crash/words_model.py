"""A model over loopback that speaks OpenAI's Chat Completions: it says many words, one after
another, no two of them alike, and knows who asks.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import msgspec
from msgspec import Struct

WORDS = 40
PACE_S = 0.02
SAME = "same"
"""To a question that begins so it says the same words, however often it is asked."""
HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
    b"transfer-encoding: chunked\r\nconnection: close\r\n\r\n"
)


class Ask(Struct, frozen=True):
    """`worker` is whose key was shown."""

    question: str
    worker: str
    words: tuple[str, ...]


class WordsModel:
    def __init__(self) -> None:
        self.asks: list[Ask] = []
        self.url = ""
        self._open: set[asyncio.StreamWriter] = set()

    def of(self, question: str) -> list[Ask]:
        return [ask for ask in self.asks if ask.question == question]

    def texts(self, question: str) -> list[str]:
        """What each ask is told, all of it."""
        return ["".join(ask.words) for ask in self.of(question)]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        with suppress(ConnectionError, asyncio.IncompleteReadError):  # who asked has died
            await self._say(await self._asked(reader), writer)
        self._open.discard(writer)
        writer.close()

    async def _asked(self, reader: asyncio.StreamReader) -> Ask:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[1:]
        headers = {name.lower(): value for name, _, value in (e.partition(": ") for e in lines)}
        body = msgspec.json.decode(await reader.readexactly(int(headers["content-length"])))
        question = _text([m for m in body["messages"] if m["role"] == "user"][-1]["content"])
        number = 1 if question.startswith(SAME) else len(self.of(question)) + 1
        words = tuple(f"{question}.{number}.{place} " for place in range(1, WORDS + 1))
        ask = Ask(question, headers["authorization"].removeprefix("Bearer "), words)
        self.asks.append(ask)
        return ask

    async def _say(self, ask: Ask, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD)
        for word in ask.words:
            await _send(writer, _chunk({"content": word}))
            await asyncio.sleep(PACE_S)
        await _send(writer, _chunk({}, "stop"))
        await _send(writer, b"[DONE]")
        writer.write(b"0\r\n\r\n")
        await writer.drain()

    def hang_up(self) -> None:
        for writer in self._open:
            writer.close()


def _text(content: Any) -> str:
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


def _chunk(delta: dict[str, str], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    head = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "words"}
    return msgspec.json.encode({**head, "choices": [choice]})


async def _send(writer: asyncio.StreamWriter, payload: bytes) -> None:
    event = b"data: " + payload + b"\n\n"
    writer.write(b"%x\r\n%b\r\n" % (len(event), event))
    await writer.drain()


@asynccontextmanager
async def words_model() -> AsyncIterator[WordsModel]:
    model = WordsModel()
    server = await asyncio.start_server(model.serve, "127.0.0.1", 0)
    model.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield model
    finally:
        server.close()
        model.hang_up()
        await server.wait_closed()

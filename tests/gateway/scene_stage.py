"""The whole stack on loopback: `stepfold serve --http`, a model that speaks when it is told to, and
a shop's page, which is another site and holds the widget under the policy of docs/widget.md.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

import httpx2
from msgspec import Struct

from stepfold.app import opened
from stepfold.gateway.keys import keys_of
from stepfold.gateway.principal import CHAT, OPERATOR
from stepfold.knowledge.documents import SAMPLE, load
from stepfold.knowledge.library import Library
from stepfold.settings import Settings
from tests.cli.commands import LIMIT_S, first_line, running, spawn
from tests.gateway.house import with_keys
from tests.waiting import eventually

CUSTOMER, PERSON, CONTACT = "acme", "Ines", "ada"
INPUT, OUTPUT = 12_000, 800
"""Tokens of each answer of the model."""
ASK_USD = (Decimal(INPUT) * 2 + Decimal(OUTPUT) * 10) / 1_000_000
"""What an answer costs by PRICES."""
PRICES = '[[price]]\nprovider = "ours"\nmodel = "clerk"\ninput = 2\noutput = 10\n'
ROUTES = """
[converse]
ask = ["ours/clerk"]

[providers.ours]
base_url = "{url}"

[models."ours/clerk"]
tools = true
"""
AGENT = """
name = "clerk"
instructions = "Help customers of the shop."
models = []
collections = ["default"]
trusted = ["default"]
[tools.refund]
approval = true
"""
TOOL = '''
import json
from pathlib import Path

from stepfold.tools.function import tool


@tool(effect="write")
def refund(order: str, amount: float) -> dict[str, str]:
    """Pay back a part of an order."""
    with (Path(__file__).parents[1] / "refunds.jsonl").open("a") as paid:
        paid.write(json.dumps({"order": order, "amount": amount}) + "\\n")
    return {"refund": "R-1"}
'''
HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
    b"transfer-encoding: chunked\r\nconnection: close\r\n\r\n"
)


class Line(Struct, frozen=True):
    """One answer of the model: its words, then the calls it wants, by name."""

    words: tuple[str, ...]
    calls: dict[str, dict[str, Any]] = {}


class Speaker:
    """Speaks the Chat Completions of OpenAI: a line for each request, a word for each `go`."""

    def __init__(self, lines: Sequence[Line]) -> None:
        self._lines = iter(lines)
        self._may = asyncio.Semaphore(0)
        self._open: set[asyncio.StreamWriter] = set()
        self.url = ""

    def go(self, words: int = 1) -> None:
        for _ in range(words):
            self._may.release()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            length = head.partition("content-length: ")[2].partition("\r\n")[0]
            await reader.readexactly(int(length))
            await self._say(next(self._lines), writer)
        self._open.discard(writer)
        writer.close()

    async def _say(self, line: Line, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD)
        for word in line.words:
            await self._may.acquire()
            await _send(writer, _chunk({"content": word}))
        calls = [
            {
                "index": place,
                "id": f"call_{name}",
                "type": "function",
                "function": {"name": name, "arguments": json.dumps(arguments)},
            }
            for place, (name, arguments) in enumerate(line.calls.items())
        ]
        if calls:
            await _send(writer, _chunk({"tool_calls": calls}))
        usage = {"prompt_tokens": INPUT, "completion_tokens": OUTPUT}
        await _send(writer, _chunk({}, "tool_calls" if calls else "stop", usage=usage))
        await _send(writer, "[DONE]")
        writer.write(b"0\r\n\r\n")
        await writer.drain()

    def hang_up(self) -> None:
        for writer in self._open:
            writer.close()


def _chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    head = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "clerk"}
    return json.dumps({**head, "choices": [choice], **more})


async def _send(writer: asyncio.StreamWriter, payload: str) -> None:
    event = f"data: {payload}\n\n".encode()
    writer.write(b"%x\r\n%b\r\n" % (len(event), event))
    await writer.drain()


@asynccontextmanager
async def speaking(lines: Sequence[Line]) -> AsyncIterator[Speaker]:
    speaker = Speaker(lines)
    server = await asyncio.start_server(speaker.serve, "127.0.0.1", 0)
    speaker.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield speaker
    finally:
        server.close()
        speaker.hang_up()
        await server.wait_closed()


class Shop(ThreadingHTTPServer):
    """A page with the widget, and the door where its visitor gets a token. `gateway` and `key` are
    known when the gateway answers.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Page)
        self.gateway = self.key = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def policy(self) -> str:
        """That of docs/widget.md: nothing inline, nothing evaluated."""
        return (
            f"default-src 'self'; script-src 'self' {self.gateway}; connect-src 'self' "
            f"{self.gateway}; style-src 'self'; require-trusted-types-for 'script'"
        )

    def token(self) -> bytes:
        answer = httpx2.post(
            f"{self.gateway}/v1/visitors",
            headers={"Authorization": f"Bearer {self.key}"},
            json={"contact": CONTACT, "origin": self.url},
            timeout=LIMIT_S,
            verify=False,
        )
        return answer.raise_for_status().content


class _Page(BaseHTTPRequestHandler):
    server: Shop

    def do_GET(self) -> None:
        body = (
            '<!doctype html><html lang="en"><head><title>A shop</title><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f'<script src="{self.server.gateway}/widget.js" data-token-url="/chat-token" defer>'
            "</script></head><body><h1>A shop</h1></body></html>"
        )
        self._answer(body.encode(), "text/html")

    def do_POST(self) -> None:
        self._answer(self.server.token(), "application/json")

    def _answer(self, body: bytes, media: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", media)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", self.server.policy)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nobody reads it."""


@contextmanager
def shop() -> Iterator[Shop]:
    with Shop() as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield made
        finally:
            made.shutdown()
            thread.join()


class Scene(Struct, frozen=True):
    """`shop` and `gateway` are addresses, `key` an operator's."""

    folder: Path
    speaker: Speaker
    shop: str
    gateway: str
    key: str

    @property
    def dashboard(self) -> str:
        return f"{self.gateway}/dashboard"

    def refunds(self) -> list[Any]:
        """What the tool did in the world."""
        paid = self.folder / "refunds.jsonl"
        return [json.loads(line) for line in paid.read_text().splitlines()] if paid.exists() else []

    async def spent(self, conversation: str, calls: int) -> Decimal:
        """What the ledger says, once it has so many calls: `stepfold cost`."""

        async def known() -> Decimal | Literal[0]:
            return await self._spent(conversation, calls)

        return Decimal(await eventually(known, LIMIT_S))

    async def _spent(self, conversation: str, calls: int) -> Decimal | Literal[0]:
        words = ("cost", "--by", "conversation", "--json")
        ended = await asyncio.to_thread(spawn, *words, STEPFOLD_DATA_DIR=str(self.folder))
        assert ended.returncode == 0, ended.stderr
        sums = {each["by"][0]: each for each in json.loads(ended.stdout)["sums"]}
        found = sums.get(f"{CUSTOMER}/{conversation}", {"calls": 0})
        return Decimal(found["cost_usd"]) if found["calls"] == calls else 0


@asynccontextmanager
async def scene(folder: Path, lines: Sequence[Line]) -> AsyncIterator[Scene]:
    files = {"agent.toml": AGENT, "prices.toml": PRICES, "tools/refund.py": TOOL}
    (folder / "tools").mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    async with speaking(lines) as speaker:
        (folder / "routes.toml").write_text(ROUTES.format(url=speaker.url))
        with shop() as page:
            chat, key = await _prepared(folder, page.url)
            words = ("serve", "--http", "0", "--agent", folder / "agent.toml")
            routes = ("--routes", folder / "routes.toml", "--json")
            with running(*words, *routes, STEPFOLD_DATA_DIR=str(folder)) as process:
                gateway = json.loads(await asyncio.to_thread(first_line, process))["http"]
                page.gateway, page.key = gateway, chat
                yield Scene(folder, speaker, page.url, gateway, key)
                speaker.go(100)


async def _prepared(folder: Path, origin: str) -> tuple[str, str]:
    """Knowledge, and a key for the shop and one for who watches."""
    here = Settings(folder=folder)
    Library(here.knowledge).add("default", load(SAMPLE))
    async with opened(here) as found:
        await with_keys(found)
        keys = keys_of(found)
        _, chat = await keys.create(CUSTOMER, (CHAT,), name="the shop", origins=(origin,))
        _, key = await keys.create("", (OPERATOR,), name=PERSON)
    return chat, key

"""A server on loopback that counts what it has done: the far side of tools of every kind.

POST /once      does it at each request
POST /keyed     does it once for each Idempotency-Key, and gives the first answer again
POST /found     does it at each request; GET /found?call=C tells whether it has done C
GET  /look      reads
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

Meet = Callable[[str, str], None]
KEY = "Idempotency-Key"

TOML = """name = "{name}"
description = "Does it."
method = "POST"
url = "{url}/{name}"
effect = "write"
recovery = "{recovery}"
parameters = {{ n = "integer" }}
body = {{ n = "{{n}}", call = "{{call}}" }}
timeout_s = {timeout_s}
[reach]
private = ["{host}"]
"""
LOOKUP = """[lookup]
url = "{url}/found?call={{call}}"
absent = [404]
"""
LOOK = """name = "look"
description = "Reads."
url = "{url}/look"
parameters = {{ n = "integer" }}
headers = {{ X-Call = "{{call}}" }}
[reach]
private = ["{host}"]
"""
DESCRIPTION: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "Far side", "version": "1"},
    "paths": {
        "/orders": {
            "post": {
                "operationId": "AddOrder",
                "requestBody": {
                    "required": True,
                    "content": {
                        "application/json": {
                            "schema": {
                                "type": "object",
                                "properties": {"n": {"type": "integer"}},
                                "required": ["n"],
                            }
                        }
                    },
                },
                "responses": {"200": {"description": "It is done."}},
            }
        }
    },
}
RULES = {"once": "never_repeat", "keyed": "idempotent", "found": "reconcile"}


class FarSide:
    """`asked` counts requests and `done` effects, by kind and call. `meet` is told of a request
    before it is done, `left` before it is answered.
    """

    def __init__(self, port: int) -> None:
        self.asked: Counter[tuple[str, str]] = Counter()
        self.done: Counter[tuple[str, str]] = Counter()
        self.looked_up: Counter[str] = Counter()
        self.meet: Meet | None = None
        self.left: Meet | None = None
        self.host = f"127.0.0.1:{port}"
        self.url = f"http://{self.host}"
        self._answers: dict[tuple[str, str], Any] = {}
        self._lock = threading.Lock()

    def write_tools(self, folder: Path, *, timeout_s: float = 0.5) -> Path:
        """A folder with a TOML file for each kind of tool. A call that reconciles is left alone for
        `timeout_s` and a second.
        """
        folder.mkdir(parents=True, exist_ok=True)
        for name, recovery in RULES.items():
            told = {"name": name, "recovery": recovery, "url": self.url, "host": self.host}
            text = TOML.format(**told, timeout_s=timeout_s)
            if recovery == "reconcile":
                text += LOOKUP.format(url=self.url)
            (folder / f"{name}.toml").write_text(text)
        (folder / "look.toml").write_text(LOOK.format(url=self.url, host=self.host))
        return folder

    def act(self, kind: str, call: str, key: str | None) -> Any:
        """Do what a request asks; its answer."""
        if self.meet is not None:
            self.meet(kind, call)
        answer = self._do(kind, call, key)
        if self.left is not None:
            self.left(kind, call)
        return answer

    def _do(self, kind: str, call: str, key: str | None) -> Any:
        with self._lock:
            self.asked[kind, call] += 1
            if key is not None and (kind, key) in self._answers:
                return self._answers[kind, key]
            if kind != "look":
                self.done[kind, call] += 1
            answer = {"done": call, "number": self.done.total()}
            if key is not None:
                self._answers[kind, key] = answer
            return answer

    def find(self, call: str) -> Any:
        with self._lock:
            self.looked_up[call] += 1
            return {"done": call} if self.done["found", call] else None


@contextmanager
def far_side() -> Iterator[FarSide]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            if parts.path == "/found":
                found = far.find(parse_qs(parts.query)["call"][0])
                self.answer(404 if found is None else 200, found)
            else:
                self.answer(200, far.act("look", self.headers["X-Call"], None))

        def do_POST(self) -> None:
            length = int(self.headers["content-length"])
            raw = self.rfile.read(length)
            if len(raw) < length:  # who asked died in the middle of it
                return
            body = msgspec.json.decode(raw)
            kind = urlsplit(self.path).path.removeprefix("/")
            key = self.headers[KEY]
            call = body.get("call") or key or ""
            self.answer(200, far.act(kind, call, key if kind in KEYED else None))

        def answer(self, status: int, told: Any) -> None:
            sent = msgspec.json.encode(told)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        def log_message(self, format: str, *args: Any) -> None:
            """Nobody reads it."""

        def handle(self) -> None:
            try:
                super().handle()
            except ConnectionError:
                """Who asked is dead."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    far = FarSide(int(server.server_address[1]))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield far
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


KEYED = ("keyed", "orders")

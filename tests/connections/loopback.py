"""A server on loopback that answers as a function says, and keeps what it was asked."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec
from msgspec import Struct

from stepfold.tools.guard import Reach


class Asked(Struct, frozen=True):
    method: str
    target: str
    headers: dict[str, str]
    body: bytes


class Answer(Struct, frozen=True):
    """`body` is JSON unless it is bytes; None: the connection is closed without an answer."""

    status: int | None = 200
    body: Any = b""
    headers: dict[str, str] = {}


Behaviour = Callable[[Asked], Answer]


class Loopback:
    def __init__(self, server: ThreadingHTTPServer) -> None:
        self.asked: list[Asked] = []
        self.port = int(server.server_address[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self.reach = Reach(private=(f"127.0.0.1:{self.port}",), timeout_s=5)


@contextmanager
def answering(behaviour: Behaviour) -> Iterator[Loopback]:
    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            asked = Asked(self.command, self.path, headers, body)
            loopback.asked.append(asked)
            answer = behaviour(asked)
            if answer.status is None:
                return
            sent = answer.body
            if not isinstance(sent, bytes):
                sent = msgspec.json.encode(sent)
            told = {"Content-Type": "application/json", **answer.headers}
            self.send_response(answer.status)
            for name, value in told.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    loopback = Loopback(server)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield loopback
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

"""A receiver of OTLP over HTTP on loopback: it keeps what it gets, and answers as it is told."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from msgspec import Struct
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Answer(Struct, frozen=True):
    status: int = 200
    body: bytes = ExportTraceServiceResponse().SerializeToString()
    headers: dict[str, str] = {}


class Request(Struct, frozen=True):
    path: str
    headers: dict[str, str]
    body: bytes


class Receiver(ThreadingHTTPServer):
    """Answers `answers` in order, then yes. `asked` is how many requests came, the refused too."""

    daemon_threads = False

    def __init__(self, answers: Sequence[Answer] = (), port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.answers = list(answers)
        self.requests: list[Request] = []
        self.asked = 0
        self._lock = threading.Lock()

    def take(self, request: Request) -> Answer:
        with self._lock:
            self.asked += 1
            answer = self.answers.pop(0) if self.answers else Answer()
            if answer.status < 300:
                self.requests.append(request)
            return answer

    @property
    def batches(self) -> list[ExportTraceServiceRequest]:
        return [
            ExportTraceServiceRequest.FromString(request.body)
            for request in list(self.requests)
            if request.path == "/v1/traces"
        ]

    @property
    def spans(self) -> list[Span]:
        """All that came, in order, as often as it came."""
        return [
            span
            for batch in self.batches
            for group in batch.resource_spans
            for scope in group.scope_spans
            for span in scope.spans
        ]

    @property
    def metrics(self) -> list[dict[str, Metric]]:
        """Each request's metrics by name."""
        return [
            {
                metric.name: metric
                for group in ExportMetricsServiceRequest.FromString(request.body).resource_metrics
                for scope in group.scope_metrics
                for metric in scope.metrics
            }
            for request in list(self.requests)
            if request.path == "/v1/metrics"
        ]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        answer = self.server.take(Request(self.path, dict(self.headers), body))
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads it."""


@contextmanager
def receiving(*answers: Answer, port: int = 0) -> Iterator[Receiver]:
    with Receiver(answers, port) as receiver:
        thread = threading.Thread(target=receiver.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield receiver
        finally:
            receiver.shutdown()
            thread.join()


def values(span: Span) -> dict[str, object]:
    """A span's attributes as plain values."""
    found: dict[str, object] = {}
    for each in span.attributes:
        kind = str(each.value.WhichOneof("value"))
        value = getattr(each.value, kind)
        if kind == "array_value":
            value = tuple(item.string_value for item in value.values)
        found[each.key] = value
    return found

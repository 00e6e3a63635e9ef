"""Sends spans to a receiver that speaks OTLP over HTTP: a collector, Phoenix, Langfuse.

Only this file and `otlp_numbers.py` know OpenTelemetry, which is imported on first use. What its
exporters read from the environment holds: OTEL_EXPORTER_OTLP_HEADERS, _TIMEOUT (seconds, also the
limit of all tries of one batch), _CERTIFICATE, _COMPRESSION, OTEL_RESOURCE_ATTRIBUTES.

    ExportError
    ├── ExportRefused    the receiver does not take it: the address, the key, or the spans are wrong
    │   └── PartRejected it took the rest: sending it again changes nothing
    └── ReceiverAway     nobody answers there, or it is too busy: try again later
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from stepfold import __version__
from stepfold.observability import names
from stepfold.observability.span import Link, Span, nanoseconds

if TYPE_CHECKING:
    import requests
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan

SPANS_MAX = 512
"""How many spans go into one request,"""
CHARACTERS_MAX = 1_000_000
"""and how many characters of text."""
TOLD_CHARS_MAX = 300
LATER = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})

Signal = Literal["traces", "metrics"]


class ExportError(Exception):
    """What was to be sent did not arrive, or not all of it."""


class ExportRefused(ExportError):
    """The receiver does not take it."""


class PartRejected(ExportRefused):
    """The receiver took what was sent, but for some of it."""


class ReceiverAway(ExportError):
    """Nobody answers, or the receiver is too busy."""


def address(base: str, signal: Signal = "traces") -> str:
    """Where a receiver takes a signal; `base` is its address, or that place itself."""
    base, path = _checked(base).rstrip("/"), f"/v1/{signal}"
    return base if base.endswith(path) else base + path


def _checked(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ExportRefused(f"{url!r} is no receiver's address: give one as http://localhost:4318")
    return url


class SpanSender:
    """`place` is where the receiver takes traces. Sending blocks: do it in a thread."""

    def __init__(self, place: str, *, timeout_s: float | None = None) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
            ExportTraceServiceResponse,
        )

        self.place = place
        self._heard = Heard(place, ExportTraceServiceResponse.FromString)
        self._exporter = OTLPSpanExporter(place, timeout=timeout_s, session=self._heard.session())
        self._resource = resource()

    def send(self, spans: Iterable[Span]) -> int:
        """How many were sent. An ExportError says that those of its batch may not have arrived:
        send them again.
        """
        from opentelemetry.sdk.trace.export import SpanExportResult

        sent = 0
        for batch in batches(spans):
            self._heard.forget()
            told = self._exporter.export([readable(span, self._resource) for span in batch])
            self._heard.check(sent=told is SpanExportResult.SUCCESS, rejected="rejected_spans")
            sent += len(batch)
        return sent

    def close(self) -> None:
        self._exporter.shutdown()  # type: ignore[no-untyped-call]


def batches(spans: Iterable[Span]) -> Iterator[Sequence[Span]]:
    batch: list[Span] = []
    characters = 0
    for span in spans:
        size = _characters(span)
        if batch and (len(batch) >= SPANS_MAX or characters + size > CHARACTERS_MAX):
            yield batch
            batch, characters = [], 0
        batch.append(span)
        characters += size
    if batch:
        yield batch


def _characters(span: Span) -> int:
    return sum(len(name) + len(str(value)) for name, value in span.attributes.items())


class Heard:
    """What the receiver last answered: the exporters themselves say only whether all went well,
    and take a redirection, and an answer that rejects some, for a success.
    """

    def __init__(self, place: str, decode: Callable[[bytes], Any]) -> None:
        self._place = place
        self._decode = decode
        self._status = 0
        self._reason = ""
        self._body = b""

    def session(self) -> requests.Session:
        import requests

        session = requests.Session()
        session.hooks["response"].append(self._hear)
        return session

    def _hear(self, response: requests.Response, *_: object, **__: object) -> None:
        self._status = response.status_code
        self._reason = response.reason
        self._body = response.content

    def forget(self) -> None:
        self._status, self._reason, self._body = 0, "", b""

    def check(self, *, sent: bool, rejected: str) -> None:
        """Raise what the answer means; `rejected` names the count in a partial success."""
        if not self._status:
            if not sent:
                raise ReceiverAway(
                    f"no receiver answers at {self._place}: start it, or name another one"
                )
        elif self._status // 100 != HTTPStatus.OK // 100:
            self._refuse()
        elif told := self._rejected(rejected):
            raise PartRejected(f"the receiver at {self._place} rejects {told}")

    def _refuse(self) -> None:
        text = " ".join(self._body.decode("utf-8", "replace").split())[:TOLD_CHARS_MAX]
        why = f"{self._status} {self._reason}" + (
            f": {text}" if text.isprintable() and text else ""
        )
        if self._status >= HTTPStatus.INTERNAL_SERVER_ERROR or self._status in LATER:
            raise ReceiverAway(f"the receiver at {self._place} cannot take it now: {why}")
        raise ExportRefused(f"the receiver at {self._place} refuses it: {why}")

    def _rejected(self, count: str) -> str:
        from google.protobuf.message import DecodeError

        try:
            partial = self._decode(self._body).partial_success
        except DecodeError:  # an answer in JSON, or in no form at all: it said yes
            return ""
        number = getattr(partial, count)
        return f"{number} of what was sent: {partial.error_message}" if number else ""


# -- in OpenTelemetry's own form ----------------------------------------------------------------


def resource() -> Resource:
    """Who sends; OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME win."""
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource

    ours = {names.SERVICE_NAME: "stepfold", names.SERVICE_VERSION: __version__}
    return Resource(ours).merge(OTELResourceDetector().detect())


def readable(span: Span, resource: Resource) -> ReadableSpan:
    from opentelemetry import trace
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    status = (
        trace.Status(trace.StatusCode.ERROR, span.error)
        if span.error
        else trace.Status(trace.StatusCode.OK)
    )
    parent = _context(Link(span.trace, span.parent), remote=span.remote) if span.parent else None
    return ReadableSpan(
        name=span.name,
        context=_context(Link(span.trace, span.id)),
        parent=parent,
        resource=resource,
        attributes=span.attributes,
        links=[trace.Link(_context(link, remote=True)) for link in span.links],
        kind=trace.SpanKind[span.kind.upper()],
        status=status,
        start_time=nanoseconds(span.begin),
        end_time=nanoseconds(span.end),
        instrumentation_scope=InstrumentationScope("stepfold", __version__),
    )


def _context(link: Link, *, remote: bool = False) -> Any:
    from opentelemetry.trace import SpanContext, TraceFlags

    return SpanContext(
        int(link.trace, 16), int(link.id, 16), is_remote=remote, trace_flags=TraceFlags(1)
    )

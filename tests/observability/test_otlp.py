"""Spans on the wire: what a real receiver decodes, and what becomes of answers that say no."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from msgspec.structs import replace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span as WireSpan
from opentelemetry.proto.trace.v1.trace_pb2 import SpanFlags, Status

from stepfold.observability import otlp
from stepfold.observability.otlp import ExportRefused, PartRejected, ReceiverAway, SpanSender
from stepfold.observability.span import NANOSECONDS_MAX, Link, Span, nanoseconds
from stepfold.observability.spans import spans
from tests.observability.made import BEGIN, TRACEPARENT, WHOLE, recorded
from tests.observability.receiver import Answer, Receiver, receiving, values
from tests.servers import free_port

SPANS = spans(recorded(WHOLE, trace=TRACEPARENT))
LIMIT_S = 5.0
SOON_S = 0.2
"""How long an answer is waited for that does not come."""


@contextmanager
def sending(url: str, timeout_s: float = LIMIT_S) -> Iterator[SpanSender]:
    sender = SpanSender(otlp.address(url), timeout_s=timeout_s)
    try:
        yield sender
    finally:
        sender.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def sent(receiver: Receiver, *told: Span) -> list[WireSpan]:
    with sending(receiver.url) as sender:
        sender.send(told)
    return receiver.spans


def test_a_receiver_decodes_what_was_told(receiver: Receiver) -> None:
    found = sent(receiver, *SPANS)

    assert [(s.trace_id.hex(), s.span_id.hex(), s.parent_span_id.hex(), s.name) for s in found] == [
        (s.trace, s.id, s.parent, s.name) for s in SPANS
    ]
    assert [values(span) for span in found] == [span.attributes for span in SPANS]
    assert [(s.start_time_unix_nano, s.end_time_unix_nano) for s in found] == [
        (nanoseconds(span.begin), nanoseconds(span.end)) for span in SPANS
    ]


def test_what_failed_is_an_error_on_the_wire(receiver: Receiver) -> None:
    root, failed, *_ = sent(receiver, *SPANS)

    assert root.status == Status(code=Status.STATUS_CODE_OK)
    assert failed.status == Status(code=Status.STATUS_CODE_ERROR, message="rate_limit: slow down")


def test_a_callers_span_is_a_remote_parent(receiver: Receiver) -> None:
    root, call, *_ = sent(receiver, *SPANS)

    assert root.flags & SpanFlags.SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK
    assert not call.flags & SpanFlags.SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK
    assert (root.kind, call.kind) == (WireSpan.SPAN_KIND_SERVER, WireSpan.SPAN_KIND_CLIENT)


def test_links_are_sent(receiver: Receiver) -> None:
    (span,) = sent(receiver, replace(SPANS[0], links=(Link("1" * 32, "2" * 16),)))

    assert [(link.trace_id.hex(), link.span_id.hex()) for link in span.links] == [
        ("1" * 32, "2" * 16)
    ]


def test_who_sends_is_stepfold_unless_the_environment_says_otherwise(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent(receiver, SPANS[0])
    monkeypatch.setenv("OTEL_SERVICE_NAME", "shop")
    sent(receiver, SPANS[0])

    services = [
        attribute.value.string_value
        for batch in receiver.batches
        for attribute in batch.resource_spans[0].resource.attributes
        if attribute.key == "service.name"
    ]
    assert services == ["stepfold", "shop"]


def test_headers_come_from_the_environment(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Basic%20abc,x-project=p1")

    sent(receiver, SPANS[0])

    headers = {name.lower(): value for name, value in receiver.requests[0].headers.items()}
    assert (headers["authorization"], headers["x-project"]) == ("Basic abc", "p1")
    assert headers["content-type"] == "application/x-protobuf"


def test_sending_three_times_sends_the_same_bytes_and_each_id_once(receiver: Receiver) -> None:
    for _ in range(3):
        found = sent(receiver, *spans(recorded(WHOLE, trace=TRACEPARENT)))

    once = {span.span_id: span.SerializeToString(deterministic=True) for span in found}
    assert len(found) == 3 * len(SPANS)
    assert len(once) == len(SPANS)
    assert {span.SerializeToString(deterministic=True) for span in found} == set(once.values())
    assert len({batch.SerializeToString(deterministic=True) for batch in receiver.batches}) == 1


# -- batches ------------------------------------------------------------------------------------


def test_many_spans_go_in_batches(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otlp, "SPANS_MAX", 4)

    sent(receiver, *SPANS)

    sizes = [len(batch.resource_spans[0].scope_spans[0].spans) for batch in receiver.batches]
    assert sizes == [4, 4, 1]


def test_long_spans_go_in_smaller_batches_and_one_that_is_longer_alone() -> None:
    long = replace(SPANS[0], attributes={"input.value": "x" * otlp.CHARACTERS_MAX})

    sizes = [len(batch) for batch in otlp.batches([SPANS[1], long, SPANS[2], SPANS[3]])]

    assert sizes == [1, 1, 2]


def test_a_time_that_the_wire_cannot_hold_is_the_nearest_it_can() -> None:
    assert nanoseconds(BEGIN.replace(year=1900)) == 0
    assert nanoseconds(BEGIN.replace(year=9999)) == NANOSECONDS_MAX


# -- answers ------------------------------------------------------------------------------------


def test_a_receiver_that_is_busy_for_a_moment_gets_it_on_the_next_try() -> None:
    with receiving(Answer(503, headers={"Retry-After": "0"})) as receiver:
        found = sent(receiver, *SPANS)

    assert len(found) == len(SPANS)


def test_a_receiver_that_stays_busy_is_away() -> None:
    with (
        receiving(*[Answer(503, b"too much")] * 9) as receiver,
        sending(receiver.url, SOON_S) as sender,
        pytest.raises(ReceiverAway, match=r"cannot take it now: 503 .*: too much"),
    ):
        sender.send(SPANS)


def test_where_nobody_answers_the_receiver_is_away() -> None:
    url = f"http://127.0.0.1:{free_port()}"

    with (
        sending(url, SOON_S) as sender,
        pytest.raises(ReceiverAway, match=rf"no receiver answers at {url}/v1/traces"),
    ):
        sender.send(SPANS)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (Answer(401, b"bad key"), "401 Unauthorized: bad key"),
        (Answer(404, b"\x00\xff"), "404 Not Found"),
        (Answer(308, headers={"Location": "https://elsewhere.example"}), "308 Permanent Redirect"),
    ],
    ids=["a wrong key", "a wrong path", "a redirection"],
)
def test_a_receiver_that_says_no_is_told_with_its_own_words(answer: Answer, why: str) -> None:
    with (
        receiving(answer) as receiver,
        sending(receiver.url) as sender,
        pytest.raises(ExportRefused, match=why),
    ):
        sender.send(SPANS)


def test_spans_that_a_receiver_rejects_are_not_sent() -> None:
    some = ExportTracePartialSuccess(rejected_spans=2, error_message="too old")
    body = ExportTraceServiceResponse(partial_success=some).SerializeToString()

    with (
        receiving(Answer(200, body)) as receiver,
        sending(receiver.url) as sender,
        pytest.raises(PartRejected, match="rejects 2 of what was sent: too old"),
    ):
        sender.send(SPANS)


def test_an_answer_in_json_is_a_yes() -> None:
    with receiving(Answer(200, b'{"partialSuccess":{}}')) as receiver:
        found = sent(receiver, *SPANS)

    assert len(found) == len(SPANS)


# -- addresses ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "base",
    [
        "http://localhost:6006",
        "http://localhost:6006/",
        "http://localhost:6006/v1/traces",
        "http://localhost:6006/v1/traces/",
    ],
)
def test_an_address_may_be_the_receivers_or_that_of_its_traces(base: str) -> None:
    assert otlp.address(base) == "http://localhost:6006/v1/traces"


@pytest.mark.parametrize("base", ["localhost:4318", "ftp://localhost", "http://", ""])
def test_what_is_no_address_is_refused_with_an_example(base: str) -> None:
    with pytest.raises(ExportRefused, match="give one as http://localhost:4318"):
        otlp.address(base)

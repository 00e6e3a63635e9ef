"""Numbers on the wire: what a real receiver of OTLP decodes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsPartialSuccess,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AggregationTemporality,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
)

from stepfold.observability.metrics import Lane, Metrics
from stepfold.observability.numbers import SECONDS
from stepfold.observability.otlp import PartRejected, ReceiverAway, address
from stepfold.observability.otlp_numbers import NumberSender
from stepfold.observability.span import nanoseconds
from tests.observability.made import BEGIN, WHOLE
from tests.observability.receiver import Answer, receiving
from tests.observability.test_metrics import counted
from tests.servers import free_port

NOW = BEGIN + timedelta(minutes=1)


@contextmanager
def sending(url: str, timeout_s: float = 5) -> Iterator[NumberSender]:
    sender = NumberSender(address(url, "metrics"), BEGIN, timeout_s=timeout_s)
    try:
        yield sender
    finally:
        sender.close()


def sent(metrics: Metrics) -> dict[str, Metric]:
    with receiving() as receiver:
        with sending(receiver.url) as sender:
            sender.send(sender.gather(metrics.numbers, NOW))
        (found,) = receiver.metrics
    return found


def labels(point: NumberDataPoint | HistogramDataPoint) -> dict[str, str]:
    return {each.key: each.value.string_value for each in point.attributes}


def test_counters_are_sums_that_only_grow_since_the_process_began() -> None:
    total = sent(counted(*WHOLE))["stepfold_steps"].sum

    steps = {labels(point)["kind"]: point.as_int for point in total.data_points}
    times = {(p.start_time_unix_nano, p.time_unix_nano) for p in total.data_points}
    assert (steps["reason.requested"], steps["response.given"]) == (4, 1)
    assert times == {(nanoseconds(BEGIN), nanoseconds(NOW))}
    assert total.is_monotonic
    assert total.aggregation_temporality == (
        AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
    )


def test_a_histogram_has_its_buckets_one_by_one() -> None:
    (point,) = sent(counted(*WHOLE))["stepfold_turn_seconds"].histogram.data_points

    assert tuple(point.explicit_bounds) == SECONDS
    assert sum(point.bucket_counts) == point.count == 1
    assert point.bucket_counts[SECONDS.index(20.0)] == 1
    assert point.sum == 13
    assert not point.HasField("min")


def test_gauges_say_how_it_is_now() -> None:
    metrics = Metrics()
    metrics.stand({"agent": Lane(3, 1)})

    (point,) = sent(metrics)["stepfold_lane_waiting"].gauge.data_points

    assert (labels(point), point.as_int) == ({"lane": "agent"}, 3)


def test_what_has_no_numbers_is_not_sent() -> None:
    assert set(sent(counted(WHOLE[0]))) == {"stepfold_steps"}


def test_where_nobody_answers_the_receiver_is_away() -> None:
    url = f"http://127.0.0.1:{free_port()}"

    with sending(url, 0.2) as sender, pytest.raises(ReceiverAway, match="no receiver answers"):
        sender.send(sender.gather(counted(*WHOLE).numbers, NOW))


def test_numbers_that_a_receiver_rejects_are_told_with_its_words() -> None:
    some = ExportMetricsPartialSuccess(rejected_data_points=2, error_message="too many")
    body = ExportMetricsServiceResponse(partial_success=some).SerializeToString()

    with (
        receiving(Answer(200, body)) as receiver,
        sending(receiver.url) as sender,
        pytest.raises(PartRejected, match="rejects 2 of what was sent: too many"),
    ):
        sender.send(sender.gather(counted(*WHOLE).numbers, NOW))

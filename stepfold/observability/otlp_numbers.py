"""Sends the numbers to a receiver that speaks OTLP over HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from stepfold import __version__
from stepfold.observability.numbers import SECONDS, Buckets, Family, Labels, Numbers
from stepfold.observability.otlp import Heard, resource
from stepfold.observability.span import nanoseconds

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import (
        HistogramDataPoint,
        Metric,
        MetricsData,
        NumberDataPoint,
    )


class NumberSender:
    """`place` is where the receiver takes metrics; they count from `since`. Sending blocks: do it
    in a thread.
    """

    def __init__(self, place: str, since: datetime, *, timeout_s: float | None = None) -> None:
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
            ExportMetricsServiceResponse,
        )

        self._heard = Heard(place, ExportMetricsServiceResponse.FromString)
        self._exporter = OTLPMetricExporter(place, timeout=timeout_s, session=self._heard.session())
        self._since = since

    def send(self, numbers: MetricsData) -> None:
        """An ExportError says that they may not have arrived; the next ones hold all of them."""
        from opentelemetry.sdk.metrics.export import MetricExportResult

        self._heard.forget()
        told = self._exporter.export(numbers)
        sent = told is MetricExportResult.SUCCESS
        self._heard.check(sent=sent, rejected="rejected_data_points")

    def gather(self, numbers: Numbers, now: datetime) -> MetricsData:
        """The numbers as of now, in OpenTelemetry's own form: they may go on to change."""
        from opentelemetry.sdk.metrics.export import MetricsData, ResourceMetrics, ScopeMetrics
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope

        times = nanoseconds(self._since), nanoseconds(now)
        metrics = [_metric(family, numbers, *times) for family in numbers.families]
        scope = InstrumentationScope("stepfold", __version__)
        told = [metric for metric in metrics if metric.data.data_points]
        return MetricsData([ResourceMetrics(resource(), [ScopeMetrics(scope, told, "")], "")])

    def close(self) -> None:
        self._exporter.shutdown()


def _metric(family: Family, numbers: Numbers, since: int, now: int) -> Metric:
    from opentelemetry.sdk.metrics.export import (
        AggregationTemporality,
        Gauge,
        Histogram,
        Metric,
        Sum,
    )

    cumulative = AggregationTemporality.CUMULATIVE
    data: Any
    if family.kind == "histogram":
        data = Histogram(_histogram(family, numbers, since, now), cumulative)
    else:
        points = _points(family, numbers, since, now)
        data = Sum(points, cumulative, True) if family.kind == "counter" else Gauge(points)
    unit = "s" if family.kind == "histogram" else "1"
    return Metric(family.name, family.meaning, unit, data)


def _points(family: Family, numbers: Numbers, since: int, now: int) -> Sequence[NumberDataPoint]:
    from opentelemetry.sdk.metrics.export import NumberDataPoint

    return [
        NumberDataPoint(_attributes(family, labels), since, now, value)
        for labels, value in sorted(numbers.values[family].items())
    ]


def _histogram(
    family: Family, numbers: Numbers, since: int, now: int
) -> Sequence[HistogramDataPoint]:
    return [
        _point(_attributes(family, labels), buckets, since, now)
        for labels, buckets in sorted(numbers.buckets[family].items())
    ]


def _point(
    attributes: dict[str, str], buckets: Buckets, since: int, now: int
) -> HistogramDataPoint:
    """The least and the greatest value are not kept; the wire leaves out what is None."""
    from opentelemetry.sdk.metrics.export import HistogramDataPoint

    return HistogramDataPoint(
        attributes=attributes,
        start_time_unix_nano=since,
        time_unix_nano=now,
        count=sum(buckets.counts),
        sum=buckets.sum,
        bucket_counts=tuple(buckets.counts),
        explicit_bounds=SECONDS,
        min=None,  # type: ignore[arg-type]
        max=None,  # type: ignore[arg-type]
    )


def _attributes(family: Family, labels: Labels) -> dict[str, str]:
    return {name: value for name, value in zip(family.labels, labels, strict=True) if value}

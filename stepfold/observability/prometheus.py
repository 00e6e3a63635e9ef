"""The numbers as Prometheus reads them. Only this file knows prometheus_client."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from typing import TYPE_CHECKING

from stepfold.observability.numbers import SECONDS, Buckets, Family, Numbers

if TYPE_CHECKING:
    from prometheus_client.metrics_core import HistogramMetricFamily, Metric

TYPE = "text/plain; version=0.0.4; charset=utf-8"


def text(numbers: Numbers) -> bytes:
    from prometheus_client import CollectorRegistry, generate_latest

    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collected(numbers))
    return generate_latest(registry)


class _Collected:
    def __init__(self, numbers: Numbers) -> None:
        self._numbers = numbers

    def collect(self) -> Iterator[Metric]:
        for family in self._numbers.families:
            yield _family(family, self._numbers)


def _family(family: Family, numbers: Numbers) -> Metric:
    from prometheus_client.core import (
        CounterMetricFamily,
        GaugeMetricFamily,
        HistogramMetricFamily,
    )

    name, meaning, labelled = family.name, family.meaning, family.labels
    if family.kind == "histogram":
        histogram = HistogramMetricFamily(name, meaning, labels=labelled)
        for labels, buckets in sorted(numbers.buckets[family].items()):
            _add_buckets(histogram, labels, buckets)
        return histogram
    kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    made = kind(name, meaning, labels=labelled)
    for labels, value in sorted(numbers.values[family].items()):
        made.add_metric(labels, value)
    return made


def _add_buckets(
    histogram: HistogramMetricFamily, labels: tuple[str, ...], buckets: Buckets
) -> None:
    """Prometheus counts up: each bucket holds those below it too."""
    limits = [*(f"{limit:g}" for limit in SECONDS), "+Inf"]
    up = list(zip(limits, accumulate(buckets.counts), strict=True))
    histogram.add_metric(labels, up, buckets.sum)

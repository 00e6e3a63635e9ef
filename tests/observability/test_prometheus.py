"""The page, as Prometheus' own parser reads it."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from stepfold.observability.families import FAMILIES
from stepfold.observability.metrics import Lane, Metrics
from stepfold.observability.numbers import SECONDS, Family, Numbers
from stepfold.observability.prometheus import text
from tests.observability.made import WHOLE
from tests.observability.test_metrics import counted


def samples(numbers: Numbers) -> dict[str, list[Sample]]:
    parsed = text_string_to_metric_families(text(numbers).decode())
    return {family.name: family.samples for family in parsed}


def test_every_family_is_there_with_its_kind_and_meaning() -> None:
    parsed = text_string_to_metric_families(text(Metrics().numbers).decode())

    assert [(each.name, each.type, each.documentation) for each in parsed] == [
        (family.name, family.kind, family.meaning) for family in FAMILIES
    ]


def test_counters_are_read_as_totals() -> None:
    found = samples(counted(*WHOLE).numbers)

    steps = {each.labels["kind"]: each.value for each in found["stepfold_steps"]}
    assert steps["reason.requested"] == 4
    assert {each.name for each in found["stepfold_steps"]} == {"stepfold_steps_total"}
    assert {each.labels["model"]: each.value for each in found["stepfold_cost_usd"]} == {
        "claude-y": 0.0123,
        "embed-s": 0.00000016,
    }


def test_buckets_count_up_and_the_last_is_all() -> None:
    found = samples(counted(*WHOLE).numbers)["stepfold_turn_seconds"]

    buckets = {each.labels["le"]: each.value for each in found if each.name.endswith("_bucket")}
    assert list(map(float, buckets)) == [*SECONDS, float("inf")]
    assert (buckets["10"], buckets["20"], buckets["+Inf"]) == (0, 1, 1)
    rest = {each.name: each.value for each in found if not each.name.endswith("_bucket")}
    assert rest == {"stepfold_turn_seconds_count": 1, "stepfold_turn_seconds_sum": 13}


def test_gauges_are_read_as_they_stand() -> None:
    metrics = Metrics()
    metrics.stand({"agent": Lane(3, 1)})

    found = samples(metrics.numbers)

    assert [(s.labels, s.value) for s in found["stepfold_lane_waiting"]] == [({"lane": "agent"}, 3)]
    assert [(s.labels, s.value) for s in found["stepfold_lane_in_hand"]] == [({"lane": "agent"}, 1)]


def test_what_a_label_holds_cannot_break_the_page() -> None:
    family = Family("made", "counter", "Made.", ("what",))
    numbers = Numbers([family])
    numbers.add(family, ('a"b\\c\nd',))

    (sample,) = samples(numbers)["made"]

    assert sample.labels == {"what": 'a"b\\c\nd'}

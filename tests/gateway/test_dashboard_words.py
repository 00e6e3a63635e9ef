"""Values as people read them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from stepfold.gateway.dashboard import words

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("cost", "told"),
    [
        (None, "–"), ("0", "$0"), ("0.00000024", "<$0.0001"), ("0.00412", "$0.0041"),
        ("0.05", "$0.05"), ("1234.5", "$1,234.50"),
        ("-0.5", "-$0.50"), ("-0.00412", "-$0.0041"), (Decimal("0.00010000001"), "$0.00010"),
    ],
)  # fmt: skip
def test_money_is_told_to_the_cent_or_to_two_digits(cost: str | None, told: str) -> None:
    assert words.money(cost) == told


def test_all_digits_of_money_are_there_to_be_had() -> None:
    assert words.exact("0.000000240000000000") == "$0.00000024"
    assert words.exact("-0.50") == "-$0.5"
    assert words.exact(None) == "the price is not known"


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0, "just now"), (59, "59 s ago"), (360, "6 min ago"), (7_400, "2 h ago"), (4e5, "5 d ago")],
)  # fmt: skip
def test_times_that_are_past_are_told_in_whole_numbers(seconds: int, told: str) -> None:
    assert words.ago((NOW - timedelta(seconds=seconds)).replace(tzinfo=None), NOW) == told


def test_what_is_late_is_told_as_late() -> None:
    assert words.until(NOW + timedelta(minutes=5), NOW) == "5 min left"
    assert words.until(NOW, NOW) == "too late"


def test_shares_that_are_not_all_are_not_told_as_all() -> None:
    assert [words.share(each) for each in (0, 0.004, 0.5, 0.999, 1, None)] == [
        "0%", "0.4%", "50%", "99.9%", "100%", "–",
    ]  # fmt: skip


def test_json_is_told_as_a_person_reads_it() -> None:
    assert words.pretty('{"a":1}') == '{\n  "a": 1\n}'
    assert words.pretty({"a": [1]}) == '{\n  "a": [\n    1\n  ]\n}'
    assert words.pretty("no JSON") == "no JSON"


def test_a_sum_without_a_known_price_is_known_only_where_nothing_was_paid_for() -> None:
    assert words.sum_of([]) == Decimal(0)
    assert words.sum_of([None, None]) is None
    assert words.sum_of([None, "0.5", Decimal(2)]) == Decimal("2.5")


def test_a_time_is_told_to_scripts_with_its_zone() -> None:
    assert words.iso("2026-03-01 12:00:00.5") == "2026-03-01T12:00:00.500000+00:00"

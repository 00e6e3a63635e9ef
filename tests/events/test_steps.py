"""Many steps as columns are the same as one row after the other."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from stepfold.events.steps import Steps, Stored

BEGIN = datetime(2026, 3, 1, tzinfo=UTC)
ROWS = [
    Stored(number, f"steps.acme.c1.a{number}", b"{%d}" % number, BEGIN + timedelta(hours=number))
    for number in range(1, 5)
]
STEPS = Steps.of(ROWS)


def test_columns_are_the_rows() -> None:
    assert list(STEPS) == ROWS
    assert len(STEPS) == len(ROWS)
    assert STEPS[-1] == ROWS[-1]


@pytest.mark.parametrize("part", [slice(1, 3), slice(None, None, 2), slice(-2, None), slice(9, 11)])
def test_a_part_of_them_is_that_part_of_the_rows(part: slice) -> None:
    assert STEPS[part] == ROWS[part]


def test_a_payload_may_be_replaced_in_place() -> None:
    steps = Steps.of(ROWS)

    steps.payloads[0] = b"another"

    assert steps[0] == ROWS[0]._replace(payload=b"another")

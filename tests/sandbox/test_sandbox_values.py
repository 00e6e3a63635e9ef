"""A value of the code's becomes plain JSON within a budget, whatever it is."""

from __future__ import annotations

from typing import Any

import pytest

from stepfold.sandbox.values import DEPTH_MAX, TooLarge, plain


class Own:
    def __repr__(self) -> str:
        raise AssertionError("its text is never asked for")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (2**63, 2**63),
        (-(2**63), -(2**63)),
        (2**64, str(2**64)),
        (1.5, 1.5),
        (float("inf"), "inf"),
        (float("nan"), "nan"),
        ("é", "é"),
        ("\ud800", "?"),
        (b"a\x00", "b'a\\x00'"),
        ((1, [2, {3}]), [1, [2, [3]]]),
        ({1: "a", None: "b", (2,): "c"}, {"1": "a", "None": "b", "<tuple>": "c"}),
        (Own(), "<Own>"),
    ],
)
def test_a_value_is_told_as_json_can(value: Any, expected: Any) -> None:
    assert plain(value, bytes_max=10_000) == expected


def test_an_integer_that_python_does_not_write_in_digits_comes_in_hexadecimal() -> None:
    assert plain(16**5_000, bytes_max=10_000) == "0x1" + "0" * 5_000


def test_a_small_name_for_a_huge_value_is_seen_through() -> None:
    value: list[Any] = [0] * 10
    for _ in range(12):
        value = [value] * 10

    with pytest.raises(TooLarge, match="larger than 1000 bytes"):
        plain(value, bytes_max=1_000)


def test_a_value_that_holds_itself_ends() -> None:
    value: list[Any] = []
    value.append(value)

    with pytest.raises(TooLarge, match=f"deeper than {DEPTH_MAX}"):
        plain(value, bytes_max=1_000)


@pytest.mark.parametrize("value", ["x" * 1_001, b"x" * 1_001, {"x" * 1_001: 1}, [1] * 501])
def test_what_is_larger_than_the_budget_is_refused(value: Any) -> None:
    with pytest.raises(TooLarge):
        plain(value, bytes_max=1_000)

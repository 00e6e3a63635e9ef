"""What reaches the terminal as JSON: one object a line, and money that anything can read."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from msgspec import Struct

from stepfold.cli.screen import say_json, table

SMALLEST = Decimal("1E-18")
DIGITS = "0.000000000000000001"


class Cost(Struct, frozen=True):
    cost_usd: Decimal | None
    parts: tuple[Decimal, ...] = ()
    by: dict[str, Decimal] = {}


def said(value: object, capsys: pytest.CaptureFixture[str]) -> str:
    say_json(value)
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("amount", "digits"),
    [
        (SMALLEST, DIGITS),
        (Decimal("-2.5E-7"), "-0.00000025"),
        (Decimal("1E+3"), "1000"),
        (Decimal("0E-18"), "0.000000000000000000"),
        (Decimal("0.75"), "0.75"),
        (Decimal(f"{10**20 - 1}.{10**18 - 1}"), f"{10**20 - 1}.{10**18 - 1}"),
    ],
)
def test_a_decimal_is_its_digits_without_an_exponent(
    amount: Decimal, digits: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said({"cost_usd": amount}, capsys) == f'{{"cost_usd":"{digits}"}}\n'


def test_a_decimal_is_plain_however_deep_it_stands(capsys: pytest.CaptureFixture[str]) -> None:
    told = said([Cost(SMALLEST, (SMALLEST,), {"day": SMALLEST}), Cost(None)], capsys)

    assert json.loads(told) == [
        {"cost_usd": DIGITS, "parts": [DIGITS], "by": {"day": DIGITS}},
        {"cost_usd": None, "parts": [], "by": {}},
    ]
    assert told.count("\n") == 1


def test_a_text_that_looks_like_a_number_stays_as_it_is(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert said({"text": "1E-18", "float": 1e-7}, capsys) == '{"text":"1E-18","float":1e-7}\n'


@pytest.mark.parametrize("id", ["b9f0aabbccdd", "acme/" + "order_status_" * 8])
def test_what_a_row_is_called_is_never_shortened(id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    columns = ("id", "customer", "scopes", "name", "origins", "made", "state")

    lines = table(columns, [(id, "acme", "chat, read", "crm", "", "2026-11-28", "good")]).split(
        "\n"
    )

    assert "".join(line[: len(id)].split("  ")[0] for line in lines[2:]) == id
    assert max(map(len, lines)) <= 50
    assert "go" in lines[2]

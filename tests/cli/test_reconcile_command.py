"""`stepfold reconcile`: what an invoice says, what was recorded, and every difference."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from stepfold.cli import exits
from stepfold.events.event import ConversationStarted, Reasoned, ReasonFailed
from stepfold.events.values import Text, Usage
from tests.cli.commands import run
from tests.cli.paid import paid_events
from tests.projections.made import DIGEST

PARTS, SOME = (Text("hi"),), Usage(10, 10)


def call(number: int, model: str, provider: str, usd: str | None) -> Reasoned:
    cost = None if usd is None else Decimal(usd)
    name = f"r{number}"
    return Reasoned(name, 1, model, PARTS, provider=provider, usage=SOME, cost_usd=cost)


EVENTS = (
    ConversationStarted("help-desk", DIGEST),
    call(1, "gpt-5", "openai", "1.000000000000000001"),
    call(2, "gpt-5", "openai", "0.5"),
    call(3, "gpt-5-mini", "openai", "0.25"),
    call(4, "models/gemini-x", "google", "2"),
    call(5, "gpt-5-mini", "openai", None),
    ReasonFailed(
        "r6", 1, "openai/gpt-5", "cut", provider="openai", usage=SOME, cost_usd=Decimal(1)
    ),
    call(7, "claude-y", "anthropic", "4"),
)
"""All of them on 2026-03-01."""


@pytest.fixture(scope="module")
def spent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return paid_events(tmp_path_factory.mktemp("spent"), EVENTS)


@pytest.fixture
def invoice(tmp_path: Path) -> Path:
    return tmp_path / "invoice"


def compared(spent: Path, invoice: Path, text: str, *words: str) -> tuple[int, list[Any]]:
    """The exit code, and (provider/model, difference, unpriced) of each line."""
    invoice.write_text(text)
    ended = run("reconcile", "--invoice", invoice, "--json", *words, data=spent)
    assert ended.exit_code in (0, exits.REFUSED), ended.output
    lines = json.loads(ended.stdout)["lines"]
    told = [
        (f"{e['provider']}/{e['model']}", Decimal(e["difference"]), e["unpriced"]) for e in lines
    ]
    return ended.exit_code, told


HEAD = "provider,model,period,amount\n"
WHOLE = HEAD + "openai,gpt-5,2026-03,2.50\nopenai,gpt-5-mini,2026-03-01,0.25\n"


def test_an_invoice_that_agrees_ends_well(spent: Path, invoice: Path) -> None:
    code, lines = compared(spent, invoice, WHOLE)

    assert code == 0
    assert lines == [
        ("openai/gpt-5", Decimal("-1e-18"), 0),
        ("openai/gpt-5-mini", 0, 1),
    ]


def test_a_difference_above_the_tolerance_ends_with_no(spent: Path, invoice: Path) -> None:
    text = WHOLE.replace("2.50", "2.53")

    code, lines = compared(spent, invoice, text)
    allowed, _ = compared(spent, invoice, text, "--tolerance", "0.03")
    shared, _ = compared(spent, invoice, text, "--tolerance", "2%")
    strict, _ = compared(spent, invoice, WHOLE, "--tolerance", "0")

    assert (code, allowed, shared, strict) == (1, 0, 0, 1)
    assert lines[0] == ("openai/gpt-5", Decimal("0.029999999999999999"), 0)


def test_a_model_that_was_used_and_is_not_on_it_is_a_difference(spent: Path, invoice: Path) -> None:
    code, lines = compared(spent, invoice, HEAD + "openai,gpt-5,2026-03,2.50\n")

    assert code == exits.REFUSED
    assert lines[1] == ("openai/gpt-5-mini", Decimal("-0.25"), 1)


def test_a_line_without_a_model_takes_what_no_other_line_names(spent: Path, invoice: Path) -> None:
    lines = "openai,,2026-03,0.25\nopenai,gpt-5,2026-03,2.50\nGoogle,gemini-*,2026-03-01,2\n"

    code, told = compared(spent, invoice, HEAD + lines)

    assert code == 0
    assert [each[0] for each in told] == ["openai/", "openai/gpt-5", "google/gemini-*"]
    assert told[2][1] == 0


def test_days_that_are_not_on_it_and_providers_of_others_do_not_count(
    spent: Path, invoice: Path
) -> None:
    code, told = compared(spent, invoice, HEAD + "openai,gpt-5,2026-02,0\nmistral,,2026-03,0\n")

    assert (code, [each[1] for each in told]) == (0, [0, 0])


def test_json_says_the_same(spent: Path, invoice: Path) -> None:
    rows = [
        {"provider": "openai", "model": "gpt-5", "period": "2026-03", "amount": 2.5},
        {"provider": "openai", "model": "gpt-5-mini", "day": "2026-03-01", "amount": "0.25"},
    ]

    code, lines = compared(spent, invoice, json.dumps(rows))

    assert (code, [each[0] for each in lines]) == (0, ["openai/gpt-5", "openai/gpt-5-mini"])


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it has no lines"),
        (HEAD + "openai,gpt-5,March,1\n", ":2: 'March' is no period"),
        (HEAD + "openai,gpt-5,2026-13,1\n", ":2: '2026-13' is no period"),
        (HEAD + "openai,gpt-5,2026-03-02..2026-03-01,1\n", "is no period"),
        (HEAD + "openai,gpt-5,2026-03,much\n", ":2: 'much' is no amount"),
        (HEAD + ",gpt-5,2026-03,1\n", ":2: it names no provider"),
        (HEAD + "openai,gpt-5,2026-03,1,000\n", ":2: it has more values"),
        (HEAD.replace("amount", "sum") + "openai,gpt-5,2026-03,1\n", "unknown 'sum'"),
        ("provider,model,period,amount,currency\nopenai,,2026-03,1,EUR\n", "it is in EUR"),
        (HEAD + "openai,,2026-03,1\nopenai,,2026-03-31,1\n", ":3: openai/all models has some"),
        ("[{]", ":1: it is not JSON"),
        ("{}", "no list of objects"),
        ('[{"provider": "a", "period": "2026", "amount": 1}]', ", item 1: '2026' is no period"),
    ],
)
def test_a_file_that_is_no_invoice_is_refused_with_its_place(
    spent: Path, invoice: Path, text: str, why: str
) -> None:
    invoice.write_text(text)

    ended = run("reconcile", "--invoice", invoice, data=spent)

    assert ended.exit_code == exits.REFUSED
    assert why in ended.stderr


def test_a_tolerance_that_is_none_is_a_usage_error(spent: Path, invoice: Path) -> None:
    invoice.write_text(WHOLE)

    for wrong in ("much", "-1", "nan"):
        ended = run("reconcile", "--invoice", invoice, "--tolerance", wrong, data=spent)

        assert ended.exit_code == exits.USAGE


@pytest.mark.parametrize("columns", [40, 60, 100, 120])
def test_it_fits_its_terminal(spent: Path, invoice: Path, columns: int) -> None:
    invoice.write_text(HEAD + "openai,gpt-5,2026-03,9\n")

    ended = run("reconcile", "--invoice", invoice, data=spent, columns=columns)

    said = " ".join(ended.stdout.split())
    assert max(map(len, ended.stdout.splitlines())) <= columns
    assert "not on it" in said
    assert "2 of 2 lines differ" in said

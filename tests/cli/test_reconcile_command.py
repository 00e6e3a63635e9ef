"""`stepfold reconcile`: what an invoice says, what was recorded, and every difference."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from stepfold.cli import exits
from stepfold.events.event import ConversationStarted, Event, Reasoned, ReasonFailed
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


def code_and_lines(folder: Path, invoice: Path, text: str, *words: str) -> tuple[int, list[Any]]:
    invoice.write_text(text)
    ended = run("reconcile", "--invoice", invoice, "--json", *words, data=folder)
    return ended.exit_code, json.loads(ended.stdout)["lines"]


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


UNKNOWN: tuple[Event, ...] = (
    ConversationStarted("help-desk", DIGEST),
    call(1, "small", "ours", "1"),
    *(call(number, "text", "ours", None) for number in range(2, 9)),
    ReasonFailed("r9", 1, "ours/lost", "timeout"),
    ReasonFailed("r10", 1, "ours/never", "budget"),
)


@pytest.fixture(scope="module")
def unknown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return paid_events(tmp_path_factory.mktemp("unknown"), UNKNOWN)


def test_what_is_on_no_line_and_has_no_price_never_agrees(unknown: Path, invoice: Path) -> None:
    invoice.write_text('[{"provider": "ours", "model": "small", "day": "2026-03-01", "amount": 1}]')

    ended = run("reconcile", "--invoice", invoice, "--json", data=unknown)
    said = run("reconcile", "--invoice", invoice, data=unknown, columns=60).stdout

    assert ended.exit_code == exits.REFUSED
    one, *strays = json.loads(ended.stdout)["lines"]
    assert (one["model"], one["agrees"]) == ("small", True)
    assert {(each["model"], each["calls"], each["unpriced"]) for each in strays} == {
        ("text", 7, 7),
        ("lost", 1, 1),
    }
    for each in strays:
        assert (each["recorded"], each["difference"], each["agrees"]) == (None, None, False)
    assert "? ours/text" in said
    assert "recorded $?, difference $?" in said
    assert "2 of 3 lines cannot be compared" in " ".join(said.split())


def test_a_line_whose_calls_have_no_price_agrees_with_no_amount(
    unknown: Path, invoice: Path
) -> None:
    text = HEAD + "ours,text,2026-03,0\nours,,2026-03,1\n"

    code, _ = code_and_lines(unknown, invoice, text)
    _, lines = code_and_lines(unknown, invoice, text, "--tolerance", "100")

    assert code == exits.REFUSED
    assert [(each["recorded"], each["agrees"]) for each in lines] == [(None, False), ("1", True)]


def test_a_stray_below_the_tolerance_agrees_only_if_all_of_it_has_a_price(
    spent: Path, invoice: Path
) -> None:
    text = HEAD + "openai,gpt-5,2026-03,2.5\n"

    code, lines = code_and_lines(spent, invoice, text, "--tolerance", "0.30")

    assert code == exits.REFUSED
    assert [(each["differs"], each["agrees"]) for each in lines] == [(False, True), (False, False)]


def test_a_model_may_be_named_with_its_provider(spent: Path, invoice: Path) -> None:
    text = HEAD + "openai,OpenAI/gpt-5,2026-03,2.50\nopenai,gpt-5-mini,2026-03-01,0.25\n"

    code, lines = compared(spent, invoice, text)

    assert (code, lines[0]) == (0, ("openai/gpt-5", Decimal("-1e-18"), 0))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HEAD + "anthropic,,2026-03,9\n", "1 of 1 line differs by"),
        (HEAD + "anthropic,,2026-03,9\ngoogle,,2026-03,2\n", "1 of 2 lines differs by"),
        (HEAD + "anthropic,,2026-03,9\ngoogle,,2026-03,9\n", "2 of 2 lines differ by"),
    ],
)
def test_one_line_differs_and_two_differ(spent: Path, invoice: Path, text: str, said: str) -> None:
    invoice.write_text(text)

    assert said in run("reconcile", "--invoice", invoice, data=spent).stdout


def test_all_mistakes_of_a_file_are_told_at_once_each_with_its_line(
    spent: Path, invoice: Path
) -> None:
    rows = ("openai,gpt-5,March,much", ",x,2026-03,1", "a,b,2026-03,1", "a,b,2026-03,EUR 5")
    invoice.write_text(HEAD + "\n".join(rows))

    ended = run("reconcile", "--invoice", invoice, data=spent)

    assert ended.exit_code == exits.REFUSED
    assert [line.partition(f"{invoice}:")[2][:12] for line in ended.stderr.splitlines()] == [
        "2: 'March' i",
        "2: 'much' is",
        "3: it names ",
        "5: 'EUR 5' i",
    ]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it has no lines"),
        (
            HEAD.replace(",", ";") + "openai;gpt-5;2026-03;1\n",
            ":1: it is separated by ';': separate",
        ),
        (HEAD.replace(",", "\t"), ":1: it is separated by tabs: separate by commas"),
        (HEAD + 'openai,gpt-5,2026-03,"1,234.50"\n', "without marks for the thousands: 1234.50"),
        (HEAD + "openai,gpt-5,2026-03,EUR 5\n", "write the number alone, in USD"),
        (HEAD + "openai,gpt-5,2026-03,USD 5\n", "write the number alone"),
        (HEAD + "openai,gpt-5,2026-03,1,234.50\n", "write amounts without commas"),
        (HEAD.replace("amount", "amount,") + "a,b,2026-03,1,234.50\n", "without commas"),
        ("provider,amount\n", ":1: the head lacks period: begin the file with provider,model"),
        ("provider,provider,period,amount\n", ":1: the head names 'provider' twice"),
        ("\n" + HEAD, ":1: the head lacks provider"),
        (HEAD + "openai,gpt-5,2026-03," + "1" * 140_000, ":2: it is not CSV"),
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

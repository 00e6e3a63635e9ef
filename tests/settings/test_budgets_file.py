"""`budgets.toml`: what it may say, and that every mistake in it is told at once, with its line."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

import pytest

from stepfold.policy.budget import Budget, Budgets, decode_budgets, encode_budgets
from stepfold.settings.budgets import BudgetsRefused, parse_budgets, read_budgets

ROOT = Path(__file__).parents[2]
ACME = '[[budget]]\ncustomer = "acme"\nlimit_usd = 50\n'


def test_the_example_of_the_page_is_read() -> None:
    page = (ROOT / "docs" / "ledger.md").read_text()
    examples = re.findall(r"^```toml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    (example,) = [each for each in examples if "[[budget]]" in each]

    found = parse_budgets(example, "budgets.toml")

    assert len(found.budgets) == example.count("[[budget]]") > 0


def test_what_is_left_out_has_a_default() -> None:
    (budget,) = parse_budgets(ACME, "x").budgets

    assert budget == Budget("customer", Decimal(50), name="acme", period="month")


def test_everything_that_is_written_is_kept_to_the_digit() -> None:
    text = (
        '[[budget]]\nconversation = "acme/c1"\nlimit_usd = 0.10\nperiod = "ever"\n'
        "warn_at = 0.5\ncheaper_at = 0.6\nread_only_at = 1\n"
    )

    budgets = parse_budgets(text, "x")

    steps = (Decimal("0.5"), Decimal("0.6"), Decimal(1))
    assert budgets.budgets == (Budget("conversation", Decimal("0.10"), "acme/c1", "ever", *steps),)
    assert decode_budgets(encode_budgets(budgets)) == budgets


def test_a_later_step_that_is_left_out_does_not_come_before_one_that_is_written() -> None:
    (budget,) = parse_budgets(ACME + "warn_at = 0.97\n", "x").budgets

    assert budget.warn_at == budget.cheaper_at == budget.read_only_at == Decimal("0.97")


def test_an_empty_file_is_no_budgets() -> None:
    assert parse_budgets("", "x") == Budgets()


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ("[[budget]]\nlimit_usd = 5\n", 1, "names nobody: give one of customer, agent"),
        (ACME + 'agent = "a"\n', 1, "has customer and agent: give one"),
        ('[[budget]]\ncustomer = "acme"\n', 1, "limit_usd is missing"),
        (ACME.replace("50", "0"), 3, "limit_usd = 0 is none"),
        (ACME.replace("50", "nan"), 3, "limit_usd = NaN is none"),
        (ACME.replace("50", '"50"'), 3, 'limit_usd = "50" is none'),
        (ACME.replace("50", "true"), 3, "limit_usd = true is none"),
        (ACME + 'period = "year"\n', 4, 'period = "year" is unknown (known: day, month, ever)'),
        (ACME + "period = [1]\n", 4, "period = [1] is unknown"),
        (ACME + "warn_at = 80\n", 4, "warn_at = 80 is no share"),
        (ACME + "warn_at = 0\n", 4, "warn_at = 0 is no share"),
        (ACME + "cheaper_at = 0.5\n", 4, "cheaper_at = 0.5 comes before"),
        (ACME + "limit_us = 5\n", 4, "did you mean `limit_usd`?"),
        (ACME.replace('"acme"', '"acme/c1"'), 2, 'customer = "acme/c1" is none'),
        (
            ACME.replace('customer = "acme"', 'conversation = "c1"'),
            2,
            "write customer/conversation",
        ),
        (ACME.replace('"acme"', "7"), 2, "customer = 7 is none"),
        (ACME + ACME, 4, "has a budget of this period (month) on line 1"),
        ("budget = 5\n", 1, "write [[budget]]"),
        ("budget = [5]\n", 1, "a budget is a table"),
        ("budgets = 5\n", 1, "did you mean `budget`?"),
        ("a = \n", 1, "Invalid value"),
        (ACME.replace("acme", "a b"), 2, "customer 'a b' would be misread by NATS: use letters"),
        (
            ACME.replace('customer = "acme"', 'conversation = "acme/c.1"'),
            2,
            "conversation 'c.1' would be misread by NATS",
        ),
    ],
)
def test_a_mistake_is_told_with_its_line_and_a_way_out(text: str, line: int, why: str) -> None:
    with pytest.raises(BudgetsRefused) as told:
        parse_budgets(text, "budgets.toml")

    (problem,) = told.value.problems
    assert problem.startswith(f"budgets.toml:{line}: ")
    assert why in problem


def test_all_mistakes_are_told_at_once_in_their_order() -> None:
    text = '[[budget]]\nlimit_usd = -1\nperiod = "x"\n[[budget]]\nagent = ""\nlimit_usd = 1\n'

    with pytest.raises(BudgetsRefused) as told:
        parse_budgets(text, "b")

    assert [problem.split(":")[1] for problem in told.value.problems] == ["1", "2", "3", "5"]


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "b.toml").write_bytes(b"\xff")

    with pytest.raises(BudgetsRefused, match=r"b\.toml: it is not UTF-8"):
        read_budgets(tmp_path / "b.toml")
    with pytest.raises(BudgetsRefused, match=r"none\.toml: No such file"):
        read_budgets(tmp_path / "none.toml")


def test_an_agent_may_be_called_anything() -> None:
    (budget,) = parse_budgets(ACME.replace('customer = "acme"', 'agent = "Help desk"'), "b").budgets

    assert budget.name == "Help desk"


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    (tmp_path / "b.toml").write_bytes(b"\xef\xbb\xbf" + ACME.encode())

    assert read_budgets(tmp_path / "b.toml") == parse_budgets(ACME, "")


def test_a_number_without_an_end_is_told() -> None:
    with pytest.raises(BudgetsRefused, match=r"^b: "):
        parse_budgets(ACME.replace("50", "1" * 5_000), "b")

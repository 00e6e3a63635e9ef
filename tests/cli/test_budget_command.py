"""`stepfold budget`: a file is checked, put in force, and its accounts are shown."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from stepfold import settings
from stepfold.app import opened
from stepfold.cli import exits
from stepfold.cli.budget import standings
from stepfold.events.event import ConversationStarted, Generated, Reasoned
from stepfold.events.values import Text
from stepfold.handlers.budgets import Keeper
from stepfold.policy.budget import Budget
from stepfold.streams.log import Balance, Hold
from stepfold.streams.memory import utc_now
from tests.cli.commands import records, run, spawn
from tests.cli.paid import paid_events
from tests.projections.made import DIGEST

NOW = datetime(2026, 11, 5, 12, tzinfo=UTC)
TEN, CENT = Decimal(10), Decimal("0.01")
TOML = '[[budget]]\ncustomer = "*"\nlimit_usd = 10\nperiod = "ever"\n'


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return paid_events(tmp_path_factory.mktemp("log"), [ConversationStarted("help-desk", DIGEST)])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "budgets.toml"
    file.write_text(TOML)
    return file


def reserve(here: Path, usd: Decimal) -> None:
    """As a worker does before it asks a model."""

    async def run() -> None:
        async with opened(settings.read(folder=here)) as found:
            keeper = Keeper(found.budgets, found.balances, found.log, utc_now)
            await keeper.look()
            await keeper.reserve(("acme", "c1"), "help-desk", "r1", usd)

    asyncio.run(run())


def settle(here: Path, account: str, usd: Decimal) -> None:
    """As if only this had been spent."""

    async def run() -> None:
        async with opened(settings.read(folder=here)) as found:
            balance = await found.balances.get(account)
            await found.balances.put(account, Balance(usd, seq=balance.seq))

    asyncio.run(run())


def shown(here: Path) -> Any:
    return records(run("budget", "show", "--json", data=here))[0]


def test_a_file_that_is_right_is_explained(file: Path) -> None:
    ended = run("budget", "check", file)

    assert ended.exit_code == 0
    assert "each customer: $10 in all; warns at 80%" in ended.stdout
    assert "1 budget, nothing is wrong" in " ".join(ended.stdout.split())


def test_budgets_may_come_from_a_pipe(here: Path) -> None:
    checked = spawn("budget", "check", "-", input=TOML, STEPFOLD_DATA_DIR=str(here))
    wrong = spawn("budget", "check", "-", input=TOML + "x = 1\n", STEPFOLD_DATA_DIR=str(here))

    assert "stdin: 1 budget, nothing is wrong" in checked.stdout
    assert wrong.stderr.startswith("stepfold: stdin:5: unknown key `x`")


def test_a_file_without_a_budget_is_right_and_said_to_limit_nothing(
    file: Path, tmp_path: Path
) -> None:
    file.write_text("# none\n")
    paid_events(tmp_path, [ConversationStarted("help-desk", DIGEST)])

    checked, applied = (run("budget", each, file, data=tmp_path) for each in ("check", "apply"))

    assert (checked.exit_code, applied.exit_code) == (0, 0)
    assert checked.stderr == "stepfold: there is no budget in it: in force, it limits nothing\n"
    assert applied.stderr == "stepfold: there is no budget in it: nothing is limited any more\n"


@pytest.mark.parametrize("command", ["check", "apply"])
def test_a_file_that_is_wrong_is_refused_with_its_lines(
    here: Path, file: Path, command: str
) -> None:
    file.write_text(TOML + "warn_at = 2\n[[budget]]\n")
    before = shown(here)

    ended = run("budget", command, file, data=here)

    assert ended.exit_code == exits.REFUSED
    first, second, *_ = ended.stderr.splitlines()
    assert "budgets.toml:5: warn_at = 2" in first
    assert "budgets.toml:6: a budget names nobody" in second
    assert shown(here) == before


def test_what_is_applied_is_what_workers_keep_to(here: Path, file: Path) -> None:
    (done,) = records(run("budget", "apply", file, "--json", data=here))
    (before,) = shown(here)

    reserve(here, Decimal("8.5"))

    (after,) = shown(here)
    assert done["digest"].startswith("sha256:")
    assert (before["name"], before["held_usd"], before["step"]) == ("*", "0", "")
    assert (after["name"], after["held_usd"], after["step"]) == ("acme", "8.5", "warn")
    assert (after["spent_usd"], after["left_usd"]) == ("0", "1.5")


def test_small_amounts_are_shown_in_digits(here: Path, file: Path) -> None:
    file.write_text('[[budget]]\ncustomer = "small"\nlimit_usd = 0.0000001\nperiod = "ever"\n')

    (done,) = records(run("budget", "apply", file, "--json", data=here))
    (shown_now,) = shown(here)

    assert done["budgets"][0]["limit_usd"] == "0.0000001"
    assert (shown_now["limit_usd"], shown_now["left_usd"]) == ("0.0000001", "0.0000001")


def spent_before(folder: Path) -> Path:
    """Three paid calls of acme/c1, one of them without a price, and a generation."""
    folder.mkdir()
    paid = [
        Reasoned(f"r{number}", 1, "m", (Text("hi"),), provider="p", cost_usd=usd)
        for number, usd in enumerate((CENT, CENT, None))
    ]
    generated = Generated("g1", {}, "m", cost_usd=Decimal("0.5"))
    return paid_events(folder, (ConversationStarted("help-desk", DIGEST), *paid, generated))


WHOLE, OF_THE_AGENT = "0.52", "0.02"


@pytest.mark.parametrize(
    ("budget", "usd"),
    [
        ('customer = "*"', WHOLE),
        ('customer = "acme"', WHOLE),
        ('agent = "*"', OF_THE_AGENT),
        ('agent = "help-desk"', OF_THE_AGENT),
        ('conversation = "*"', WHOLE),
        ('conversation = "acme/c1"', WHOLE),
    ],
)
def test_a_new_account_begins_with_what_was_spent_in_its_period(
    tmp_path: Path, file: Path, budget: str, usd: str
) -> None:
    folder = spent_before(tmp_path / "log")
    file.write_text(f'[[budget]]\n{budget}\nlimit_usd = 1\nperiod = "ever"\n')

    (done,) = records(run("budget", "apply", file, "--json", data=folder))
    (one,) = shown(folder)
    records(run("budget", "apply", file, "--json", data=folder))

    assert [(each["spent_usd"], each["unpriced"]) for each in done["opening"]] == [(usd, 1)]
    assert (one["spent_usd"], one["held_usd"]) == (usd, "0")
    assert shown(folder) == [one]


@pytest.mark.parametrize("period", ["day", "month"])
def test_what_was_spent_before_the_period_is_in_no_account(
    tmp_path: Path, file: Path, period: str
) -> None:
    """The calls are of 2026-03-01."""
    folder = spent_before(tmp_path / "log")
    file.write_text(f'[[budget]]\ncustomer = "acme"\nlimit_usd = 1\nperiod = "{period}"\n')

    (done,) = records(run("budget", "apply", file, "--json", data=folder))

    assert done["opening"] == []
    assert [each["spent_usd"] for each in shown(folder)] == ["0"]


def test_an_account_that_is_there_already_is_left_as_it_is(tmp_path: Path, file: Path) -> None:
    folder = spent_before(tmp_path / "log")
    file.write_text(TOML.replace("10", "1"))
    run("budget", "apply", file, data=folder)
    reserve(folder, CENT)
    before = shown(folder)
    file.write_text(TOML)

    (done,) = records(run("budget", "apply", file, "--json", data=folder))

    assert done["opening"] == []
    assert [(each["spent_usd"], each["held_usd"]) for each in before] == [("0.52", "0.01")]
    assert [(each["spent_usd"], each["held_usd"]) for each in shown(folder)] == [("0.52", "0.01")]


@pytest.mark.parametrize(("between", "usd"), [(TOML, "0.01"), ("", "0.52")])
def test_what_was_spent_while_a_budget_was_not_in_force_is_made_up_for(
    tmp_path: Path, file: Path, between: str, usd: str
) -> None:
    folder = spent_before(tmp_path / "log")
    run("budget", "apply", file, data=folder)
    settle(folder, "customer.each.acme.ever", CENT)

    for text in (between, TOML):
        file.write_text(text)
        run("budget", "apply", file, data=folder)

    assert [each["spent_usd"] for each in shown(folder)] == [usd]


def test_budgets_that_cannot_be_read_can_be_replaced(tmp_path: Path, file: Path) -> None:
    folder = spent_before(tmp_path / "log")

    async def appoint() -> None:
        async with opened(settings.read(folder=folder)) as found:
            await found.budgets.appoint(b'{"budgets":[{"scope":"planet"}]}')

    asyncio.run(appoint())

    assert run("budget", "apply", file, data=folder).exit_code == 0
    assert [each["spent_usd"] for each in shown(folder)] == ["0.52"]


def test_whoever_applies_a_budget_reads_what_its_accounts_begin_with(
    tmp_path: Path, file: Path
) -> None:
    folder = spent_before(tmp_path / "log")

    said = " ".join(run("budget", "apply", file, data=folder, columns=60).stdout.split())

    assert "1 new account begins with what was spent in this period: stepfold budget show" in said
    assert "1 new account lacks calls of this period that have no price" in said


def test_an_empty_file_ends_all_budgets(here: Path, file: Path) -> None:
    run("budget", "apply", file, data=here)
    file.write_text("")

    run("budget", "apply", file, data=here)

    assert shown(here) == []
    assert "there are no budgets" in run("budget", "show", data=here).stdout


@pytest.mark.parametrize("columns", [40, 60, 100, 120])
def test_it_fits_its_terminal(here: Path, file: Path, columns: int) -> None:
    run("budget", "apply", file, data=here)

    for words in (("show",), ("check", file)):
        lines = run("budget", *words, data=here, columns=columns).stdout.splitlines()

        assert lines
        assert max(map(len, lines[:-1] if words[0] == "check" else lines)) <= columns


def told(budget: Budget, balances: dict[str, Balance]) -> Sequence[tuple[str, Decimal]]:
    return [(each.name, each.left_usd) for each in standings([budget], balances, NOW)]


def test_a_budget_for_each_shows_the_accounts_of_this_period_the_most_used_first() -> None:
    balances = {
        "customer.each.acme.2026-11": Balance(Decimal(3)),
        "customer.each.beta.2026-11": Balance(Decimal(4), {"x": Hold(Decimal(7), NOW)}),
        "customer.each.acme.2026-10": Balance(TEN),
        "customer.one.acme.2026-11": Balance(CENT),
        "agent.each.acme.2026-11": Balance(CENT),
    }

    assert told(Budget("customer", TEN), balances) == [("beta", Decimal(0)), ("acme", Decimal(7))]
    assert told(Budget("customer", TEN, "acme"), balances) == [("acme", TEN - CENT)]
    assert told(Budget("agent", TEN), balances) == [("acme", TEN - CENT)]


@pytest.mark.parametrize(
    ("name", "account"),
    [
        ("acme/c1", "conversation.one.acme.c1.ever"),
        ("*", "conversation.each.acme.c1.ever"),
    ],
)
def test_a_conversation_is_shown_by_both_its_names(name: str, account: str) -> None:
    budget = Budget("conversation", TEN, name, "ever")

    assert told(budget, {account: Balance(CENT)}) == [("acme/c1", TEN - CENT)]


@pytest.mark.parametrize("scope", ["customer", "agent", "conversation"])
def test_a_budget_that_nobody_has_used_is_whole(scope: Any) -> None:
    assert told(Budget(scope, TEN), {}) == [("*", TEN)]

"""`stepfold cost`: every sum is that over the events, and the reader sees what it lacks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from stepfold.cli import exits
from stepfold.cli.costs import KEYS, short
from stepfold.events.event import ConversationStarted, Event, Reasoned, ReasonFailed
from stepfold.events.values import Text, Usage
from tests.cli.commands import records, run
from tests.cli.paid import Paid, model, paid, paid_events, paid_log, unpriced
from tests.projections.made import DIGEST, log

STEPS = log(21, 60)
PAID = tuple(paid(STEPS))
PARTS = (Text("hi"),)
MINE: dict[str, Callable[[Paid], str]] = {
    "model": model,
    "customer": lambda each: each.customer,
    "conversation": lambda each: f"{each.customer}/{each.conversation}",
    "day": lambda each: f"{each.at:%Y-%m-%d}",
}


@pytest.fixture(scope="module")
def spent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return paid_log(tmp_path_factory.mktemp("spent"), STEPS)


def told(spent: Path, *words: str) -> Any:
    (costs,) = records(run("cost", *words, "--json", data=spent))
    return costs


def usd(amount: str | None) -> Decimal:
    return Decimal(amount or 0)


@pytest.mark.parametrize("by", ["model", "customer", "conversation", "day", "model,customer"])
def test_every_sum_is_that_over_its_events(spent: Path, by: str) -> None:
    wanted: dict[tuple[str, ...], list[Paid]] = defaultdict(list)
    for each in PAID:
        wanted[tuple(MINE[key](each) for key in by.split(","))].append(each)

    sums = told(spent, "--by", by)["sums"]

    assert {tuple(row["by"]) for row in sums} == wanted.keys()
    for row in sums:
        mine = wanted[tuple(row["by"])]
        assert (row["calls"], row["unpriced"]) == (len(mine), sum(map(unpriced, mine)))
        assert usd(row["cost_usd"]) == sum(each.what.cost_usd or 0 for each in mine)


@pytest.mark.parametrize("by", [*KEYS, ",".join(KEYS)])
def test_the_sums_add_up_to_the_total_and_the_total_is_of_all_events(spent: Path, by: str) -> None:
    costs = told(spent, "--by", by)

    whole, sums = costs["total"], costs["sums"]
    assert whole["calls"] == len(PAID)
    assert whole["unpriced"] == sum(map(unpriced, PAID)) > 0
    assert usd(whole["cost_usd"]) == sum(each.what.cost_usd or 0 for each in PAID)
    assert whole["by"] == []
    for key in ("calls", "failed", "unsent", "unpriced"):
        assert sum(row[key] for row in sums) == whole[key]
    assert sum(usd(row["cost_usd"]) for row in sums) == usd(whole["cost_usd"])


def test_the_share_from_a_cache_is_of_the_input_of_those_who_tell_it(spent: Path) -> None:
    usages = [each.what.usage for each in PAID if each.what.usage]
    telling = [usage for usage in usages if usage.cached is not None]

    whole = told(spent)["total"]

    cached = sum(usage.cached for usage in telling)
    assert whole["cached_tokens"] == cached
    assert whole["cached_share"] == pytest.approx(cached / sum(usage.input for usage in telling))


def test_only_one_customer_and_only_from_a_time_on(spent: Path) -> None:
    middle = sorted(each.at for each in PAID)[len(PAID) // 2]
    mine = [each for each in PAID if each.customer == "customer-3" and each.at >= middle]

    one = told(spent, "--customer", "customer-3", "--since", middle.isoformat())
    none = told(spent, "--since", "2100-01-01")

    assert one["total"]["calls"] == len(mine) > 0
    assert (none["total"]["calls"], none["total"]["cost_usd"]) == (0, None)


def test_a_name_that_is_sql_finds_nobody(spent: Path) -> None:
    assert told(spent, "--customer", "x' OR 'a' = 'a")["total"]["calls"] == 0


@pytest.mark.parametrize("columns", [40, 60, 90, 120])
def test_it_fits_its_terminal_and_says_what_the_sums_lack(spent: Path, columns: int) -> None:
    lines = run("cost", "--by", "model", data=spent, columns=columns).stdout.splitlines()

    lacks = sum(map(unpriced, PAID))
    assert max(map(len, lines)) <= columns
    assert f"{lacks} calls have no price" in " ".join(" ".join(lines).split())
    assert any(line.startswith("all") and "$" in line for line in lines)


@pytest.mark.parametrize("words", [["--by", "colour"], ["--since", "noon"], ["--since", "7y"]])
def test_what_means_nothing_is_a_usage_error(spent: Path, words: list[str]) -> None:
    ended = run("cost", *words, data=spent)

    assert ended.exit_code == exits.USAGE
    assert words[1] in ended.stderr


@pytest.mark.parametrize(
    ("by", "why"),
    [
        ("", "'' names nothing to sum by"),
        ("model,,day", "'model,,day' names nothing"),
        ("model,model", "'model' is named 2 times"),
    ],
)
def test_keys_that_are_none_or_there_twice_are_a_usage_error(
    spent: Path, by: str, why: str
) -> None:
    ended = run("cost", "--by", by, data=spent)

    assert ended.exit_code == exits.USAGE
    assert why in " ".join(ended.stderr.replace("│", " ").split())


SMALL = Usage(1_000, 10)
ASKED: tuple[Event, ...] = (
    ConversationStarted("help-desk", DIGEST),
    Reasoned("r1", 1, "small", PARTS, provider="ours", usage=SMALL, cost_usd=Decimal("0.5")),
    ReasonFailed("r2", 1, "ours/small", "timeout"),
    Reasoned("r3", 1, "small", PARTS, provider="theirs", usage=SMALL, cost_usd=Decimal("0.25")),
    Reasoned("r4", 1, "extractive", PARTS, provider="extractive", cost_usd=Decimal(0)),
    ReasonFailed("r5", 1, "extractive", "bug"),
    ReasonFailed("r6", 1, "busy/x", "rate_limit", provider="busy"),
    ReasonFailed("r7", 1, "gone/x", "cut", provider="gone"),
    *(ReasonFailed(f"u{n}", 1, "far/x", "budget", provider="far") for n in range(3)),
    ReasonFailed("u4", 1, "far/x", "circuit_open", provider="far"),
)


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return paid_events(tmp_path_factory.mktemp("asked"), ASKED)


def test_a_model_has_the_name_of_its_provider_before_it_however_its_call_ended(
    asked: Path,
) -> None:
    rows = told(asked)["sums"]

    assert {row["by"][0]: (row["calls"], row["failed"], row["unpriced"]) for row in rows} == {
        "ours/small": (2, 1, 1),
        "theirs/small": (1, 0, 0),
        "extractive": (2, 1, 0),
        "busy/x": (1, 1, 0),
        "gone/x": (1, 1, 1),
        "far/x": (0, 0, 0),
    }


def test_what_never_went_out_is_counted_beside_the_calls(asked: Path) -> None:
    costs = told(asked, "--by", "customer")

    (row,) = costs["sums"]
    assert (row["calls"], row["failed"], row["unsent"]) == (7, 4, 4)
    assert "4 unsent" in run("cost", data=asked, columns=60).stdout


def test_what_cost_nothing_is_shown_as_nothing_and_what_nobody_knows_as_unknown(
    asked: Path,
) -> None:
    lines = run("cost", data=asked, columns=60).stdout.splitlines()

    shown = dict(line.rsplit(" ", 1) for line in lines if "/" in line and "$" in line)
    assert shown["busy/x"] == "$0"
    assert shown["gone/x"] == "$?"


@pytest.mark.parametrize(
    ("tokens", "said"),
    [(None, "?"), (0, "0"), (999, "999"), (1_000, "1k"), (70_934, "70.9k"), (2_500_000, "2.5M")],
)
def test_tokens_are_short(tokens: int | None, said: str) -> None:
    assert short(tokens) == said

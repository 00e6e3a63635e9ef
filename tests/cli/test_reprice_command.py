"""`stepfold reprice`: three prices of the same history, and a log that stays as it was."""

from __future__ import annotations

from datetime import UTC
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from stepfold.cli import exits
from stepfold.events.event import ConversationStarted, Reasoned, ReasonFailed, RetrievalReturned
from stepfold.events.values import Spend, Text, Usage
from stepfold.providers.prices import load_prices
from tests.cli.commands import records, run
from tests.cli.paid import paid_events
from tests.projections.made import BEGIN, DIGEST

BOOK = '[[price]]\nprovider = "openai"\nmodel = "gpt-4o"\ninput = 1\ncached = 0.5\noutput = 2\n'
LARGE, SMALL = Usage(1_000_000, 100_000, cached=400_000), Usage(1_000, 10)
SEARCH = Usage(billed={"search_units": 2})
PARTS = (Text("hi"),)


def priced(usage: Usage, model: str) -> dict[str, Any]:
    told = load_prices(None).price(usage, provider="openai", model=model, at=BEGIN)
    assert told is not None
    return {"provider": "openai", "usage": usage, "cost_usd": told[0], "price": told[1]}


EVENTS = (
    ConversationStarted("help-desk", DIGEST),
    Reasoned("r1", 1, "gpt-4o-2024-08-06", PARTS, **priced(LARGE, "gpt-4o")),
    Reasoned("r2", 1, "gpt-4o", PARTS, **priced(SMALL, "gpt-4o")),
    Reasoned("r3", 1, "gpt-unheard-of", PARTS, provider="openai", usage=SMALL),
    Reasoned("r4", 1, "extractive", PARTS, usage=SMALL, cost_usd=Decimal(0)),
    ReasonFailed("r5", 1, "openai/gpt-4o", "rate_limit", provider="openai"),
    RetrievalReturned(
        "s1", 1, (), 1.0, (Spend("rerank", "rerank-x", "cohere", SEARCH, Decimal("9")),)
    ),
    ReasonFailed("r6", 1, "openai/gpt-lost", "cut", provider="openai"),
    ReasonFailed("r7", 1, "openai/gpt-lost", "timeout"),
    ReasonFailed("r8", 1, "openai/gpt-lost", "budget"),
)
"""Sums in the given book: 600,000 x 1 + 400,000 x 0.5 + 100,000 x 2 and 1,000 x 1 + 10 x 2."""


@pytest.fixture(scope="module")
def spent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return paid_events(tmp_path_factory.mktemp("spent"), EVENTS)


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("book") / "next.toml"
    file.write_text(BOOK)
    return file


def repriced(spent: Path, book: Path, *words: str) -> Any:
    (done,) = records(run("reprice", "--book", book, "--json", *words, data=spent))
    return done


def test_each_model_has_three_prices(spent: Path, book: Path) -> None:
    rows = {row["model"]: row for row in repriced(spent, book, "--dry-run")["rows"]}

    def usd(model: str) -> tuple[str | None, ...]:
        return tuple(rows[model][which]["usd"] for which in ("recorded", "current", "given"))

    assert usd("gpt-4o-2024-08-06") == ("3", "3", "1")
    assert usd("gpt-4o") == ("0.0026", "0.0026", "0.00102")
    assert usd("extractive") == ("0", "0", "0")
    assert usd("gpt-unheard-of") == (None, None, None)


def test_unpriced_is_counted_in_each_book_and_what_was_never_used_in_none(
    spent: Path, book: Path
) -> None:
    done = repriced(spent, book, "--dry-run")

    rows = {row["model"]: row for row in done["rows"]}
    assert [done["total"][which]["unpriced"] for which in ("recorded", "current", "given")] == [
        3
    ] * 3
    assert rows["gpt-4o"]["calls"] == 2
    assert rows["gpt-lost"]["calls"] == 2
    assert rows["gpt-unheard-of"]["given"]["unpriced"] == 1


def test_what_may_have_been_charged_for_is_never_said_to_cost_nothing(
    spent: Path, book: Path
) -> None:
    rows = {row["model"]: row for row in repriced(spent, book, "--dry-run")["rows"]}
    table = run("reprice", "--book", book, "--dry-run", data=spent, columns=120).stdout

    lost = rows["gpt-lost"]
    for which in ("recorded", "current", "given"):
        assert lost[which] == {"usd": None, "unpriced": 2}
    (line,) = (line for line in table.splitlines() if "gpt-lost" in line)
    assert line.count("$?") == 3
    assert "$0" not in line


def test_the_book_of_the_folder_is_the_current_one(spent: Path, book: Path) -> None:
    own = spent / "prices.toml"
    own.write_text(BOOK)
    try:
        done = repriced(spent, book, "--dry-run")
    finally:
        own.unlink()

    assert done["total"]["current"] == done["total"]["given"] != done["total"]["recorded"]
    assert len(set(done["books"])) == 1


def test_the_log_stays_as_it_was(spent: Path, book: Path) -> None:
    before = run("export", data=spent).stdout

    repriced(spent, book)

    assert run("export", data=spent).stdout == before


def test_every_paid_thing_is_kept_with_its_prices(spent: Path, book: Path) -> None:
    done = repriced(spent, book)

    rows = pyarrow.parquet.read_table(done["file"]).to_pylist()
    assert [(row["position"], row["item"]) for row in rows] == [(n, 1) for n in range(2, 10)]
    assert rows[0]["recorded_at"].astimezone(UTC) > BEGIN
    for which in ("recorded", "current", "given"):
        known = [row[f"{which}_usd"] for row in rows if row[f"{which}_usd"] is not None]
        assert sum(known) == Decimal(done["total"][which]["usd"])


def test_a_dry_run_keeps_nothing(tmp_path: Path, book: Path) -> None:
    paid_events(tmp_path, EVENTS)

    done = repriced(tmp_path, book, "--dry-run")

    assert done["file"] == ""
    assert not (tmp_path / "repriced").exists()


def test_only_from_a_time_on(spent: Path, book: Path) -> None:
    done = repriced(spent, book, "--dry-run", "--since", "2100-01-01")

    assert (done["rows"], done["total"]["calls"]) == ([], 0)


def test_pages_are_joined_without_a_seam(
    spent: Path, book: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = repriced(spent, book, "--dry-run")
    monkeypatch.setattr("stepfold.cli.ledger.PAGE", 2)

    assert repriced(spent, book, "--dry-run") == whole


def test_a_book_that_means_nothing_is_refused_with_its_line(spent: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text(BOOK + "colour = 1\n")

    ended = run("reprice", "--book", wrong, data=spent)

    assert ended.exit_code == exits.REFUSED
    assert "wrong.toml:7" in ended.stderr


@pytest.mark.parametrize("columns", [40, 60, 100, 120])
def test_it_fits_its_terminal(spent: Path, book: Path, columns: int) -> None:
    ended = run("reprice", "--book", book, "--dry-run", data=spent, columns=columns)

    assert max(map(len, ended.stdout.splitlines())) <= columns
    assert "$0.00102" in ended.stdout

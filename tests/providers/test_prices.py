"""The price book: every amount as by hand, and none where something is not known."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime
from decimal import Decimal, localcontext
from pathlib import Path
from random import Random

import pytest
from genai_prices import Usage as TheirUsage
from genai_prices.data_snapshot import get_snapshot

from stepfold.events.values import Price, Usage
from stepfold.providers.models import Prices
from stepfold.providers.prices import load_prices
from stepfold.providers.rates import PARTS
from tests.providers.priced import LISTED, NOW, OURS, OVERRIDDEN, UNKNOWN, Case, Unknown

BOOK = load_prices(None)


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Prices:
    """The book with the overrides above it."""
    path = tmp_path_factory.mktemp("prices") / "prices.toml"
    path.write_text(OURS)
    return load_prices(path)


def asked(book: Prices, case: Case | Unknown) -> tuple[Decimal, Price] | None:
    provider, _, model = case.model.partition("/")
    return book.price(case.usage, provider=provider, model=model, at=case.at, tier=case.tier)


def rates(text: str) -> dict[str, str]:
    words = text.split()
    return dict(zip(words[::2], words[1::2], strict=True))


@pytest.mark.parametrize("case", LISTED, ids=lambda case: case.name)
def test_an_amount_is_what_a_hand_reckons(case: Case) -> None:
    told = asked(BOOK, case)

    assert told is not None
    assert (told[1].rates, told[0]) == (rates(case.rates), Decimal(case.amount))
    assert (told[1].book, told[1].currency) == ("genai-prices 0.2.3", "USD")


@pytest.mark.parametrize("case", OVERRIDDEN, ids=lambda case: case.name)
def test_an_override_is_reckoned_with_by_hand(ours: Prices, case: Case) -> None:
    told = asked(ours, case)

    assert told is not None
    assert (told[1].rates, told[0]) == (rates(case.rates), Decimal(case.amount))
    assert told[1].book.startswith("genai-prices 0.2.3 prices.toml sha256:")


@pytest.mark.parametrize("case", UNKNOWN, ids=lambda case: case.name)
def test_what_is_not_known_is_no_price_and_never_zero(case: Unknown) -> None:
    assert asked(BOOK, case) is None


def test_a_time_without_a_zone_is_utc() -> None:
    naive = BOOK.price(Usage(1_000, 100), provider="openai", model="o3", at=datetime(2025, 6, 10))

    assert naive is not None
    assert naive[0] == Decimal("0.0028")


def test_a_day_begins_in_utc_wherever_the_clock_stands() -> None:
    elsewhere = datetime.fromisoformat("2025-06-09T19:30:00-05:00")

    told = BOOK.price(Usage(1_000, 100), provider="openai", model="o3", at=elsewhere)

    assert told is not None
    assert told[1].rates["input"] == "2"


def test_amounts_are_exact_whatever_the_context_of_the_caller() -> None:
    with localcontext() as context:
        context.prec = 3
        told = BOOK.price(Usage(123_457, 7_919), provider="openai", model="gpt-4o", at=NOW)

    assert told is not None
    assert told[0] == Decimal("0.3878325")  # 123457 x 2.5 + 7919 x 10 = 308642.5 + 79190


def test_two_files_that_say_the_same_are_one_version(tmp_path: Path) -> None:
    paths = one, two, other = [tmp_path / f"{name}.toml" for name in ("one", "two", "other")]
    one.write_text('[[price]]\nprovider = "a"\nmodel = "b"\ninput = 1.50\n')
    two.write_text('# why\n[[price]]\nmodel = "b"\nprovider = "a"\ninput = 1.50 # per million\n')
    other.write_text('[[price]]\nprovider = "a"\nmodel = "b"\ninput = 1.51\n')

    asked = (load_prices(path).price(Usage(1), provider="a", model="b", at=NOW) for path in paths)
    books = [told[1].book for told in asked if told is not None]

    assert books[0] == books[1] != books[2]


def test_loading_a_book_imports_nothing_heavy() -> None:
    code = (
        "import sys; from stepfold.providers.prices import load_prices; load_prices(None);"
        " print([name for name in ('genai_prices', 'pydantic', 'httpx2') if name in sys.modules])"
    )

    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert told.stdout.strip() == "[]"


@pytest.mark.parametrize("provider", ["openai", "anthropic", "google"])
def test_the_arithmetic_agrees_with_that_of_genai_prices(provider: str) -> None:
    theirs = next(each for each in get_snapshot().providers if each.id == provider)
    chance, compared = Random(3), 0

    for model in theirs.models:
        usage = _usage(chance)
        told = BOOK.price(usage, provider=provider, model=model.id, at=NOW)
        known = theirs.find_model(model.id)
        if told is not None and known is not None:
            counted = {name: getattr(usage, ours) for name, ours in THEIRS.items()}
            counts = TheirUsage(**counted, web_searches=2)
            price = known.calc_price(counts, theirs, genai_request_timestamp=NOW)
            assert told[0] == price.total_price, model.id
            compared += 1

    assert compared > 15


THEIRS = {
    "input_tokens": "input",
    "output_tokens": "output",
    "cache_read_tokens": "cached",
    "cache_write_tokens": "cache_write",
    "cache_write_1h_tokens": "cache_write_1h",
    "output_reasoning_tokens": "thinking",
}


def _usage(chance: Random) -> Usage:
    cached, write = chance.randrange(200_000), chance.randrange(100_000)
    return Usage(
        input=cached + write + chance.randrange(100_000),
        output=5_000 + chance.randrange(9_000),
        cached=cached,
        thinking=chance.randrange(5_000),
        cache_write=write,
        cache_write_1h=chance.randrange(write),
        billed={"web_search": 2},
    )


def test_every_kind_of_token_is_a_field_of_a_usage() -> None:
    assert set(PARTS) <= set(Usage.__struct_fields__)

"""`prices.toml`: what it may say, and that every mistake in it is told at once, with its line."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from stepfold.providers.overrides import Overrides, PricesRefused, read_overrides
from stepfold.providers.rates import Card, Rate
from stepfold.providers.toml_lines import Lines

ROOT = Path(__file__).parents[2]
PRICE = '[[price]]\nprovider = "a"\nmodel = "b"\n'
TODAY = date(2026, 11, 1)


def read(path: Path, text: str) -> Overrides:
    path.write_text(text)
    return read_overrides(path)


def refused(path: Path, text: str) -> tuple[str, ...]:
    """The problems, each without the path of the test."""
    with pytest.raises(PricesRefused) as told:
        read(path, text)
    return tuple(problem.removeprefix(f"{path.parent}/") for problem in told.value.problems)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "prices.toml"


def test_the_example_of_the_page_is_read(file: Path) -> None:
    page = (ROOT / "docs" / "ledger.md").read_text()
    examples = re.findall(r"^```toml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    (example,) = [each for each in examples if "[[price]]" in each]

    found = read(file, example)

    assert len(found.entries) == example.count("[[price]]")


def test_every_rate_is_read_as_it_is_written(file: Path) -> None:
    text = PRICE + "input = 1.10\ncached = 0.000000000001\noutput = 4\neach.web_search = 0.01\n"

    card = read(file, text).find("a", "b", TODAY, "")

    assert card == Card(
        {
            "input": Rate(Decimal("1.10")),
            "cached": Rate(Decimal("0.000000000001")),
            "output": Rate(Decimal(4)),
        },
        {"web_search": Decimal("0.01")},
    )


def test_a_rate_that_does_not_change_above_a_size_stays(file: Path) -> None:
    text = PRICE + "input = 1\noutput = 2\n[[price.above]]\ntokens = 200_000\ninput = 3\n"

    card = read(file, text).find("a", "b", TODAY, "")

    assert card is not None
    assert [card.tokens["input"].at(Decimal(n)) for n in (200_000, 200_001)] == [1, 3]
    assert card.tokens["output"].at(Decimal(200_001)) == 2


@pytest.mark.parametrize(
    ("model", "wins"),
    [
        ("m-large-2026-01-01", 5),  # its own name
        ("m-large-2026-02-02", 4),  # the name without the date
        ("m-large", 4),
        ("m-large-v2", 3),  # the longer pattern
        ("m-small", 2),
        ("n", 1),
        ("other", None),
    ],
)
def test_the_narrowest_entry_wins(file: Path, model: str, wins: int | None) -> None:
    names = ("n*", "m-*", "m-large*", "m-large", "m-large-2026-01-01")
    text = "".join(
        f'[[price]]\nprovider = "a"\nmodel = "{name}"\ninput = {number}\n'
        for number, name in enumerate(names, start=1)
    )

    card = read(file, text).find("a", model, TODAY, "")

    assert (card.tokens["input"].base if card else None) == wins


@pytest.mark.parametrize(
    ("day", "wins"),
    [(date(2025, 12, 31), 1), (date(2026, 1, 1), 2), (date(2026, 5, 31), 2), (date(2026, 6, 1), 3)],
)
def test_of_one_name_the_latest_that_has_begun_wins(file: Path, day: date, wins: int) -> None:
    text = f"{PRICE}input = 1\n{PRICE}from = 2026-06-01\ninput = 3\n{PRICE}from = 2026-01-01\ninput = 2\n"  # fmt: skip # noqa: E501

    card = read(file, text).find("a", "b", day, "")

    assert card is not None
    assert card.tokens["input"].base == wins


def test_a_price_of_one_tier_is_of_no_other(file: Path) -> None:
    found = read(file, f'{PRICE}tier = "flex"\ninput = 1\n{PRICE}tier = "Standard"\ninput = 2\n')

    assert [found.find("a", "b", TODAY, tier) is None for tier in ("flex", "", "batch")] == [
        False,
        False,
        True,
    ]


def test_an_empty_file_overrides_nothing(file: Path) -> None:
    assert read(file, "# later\n") == Overrides((), read(file, "").digest)


MISTAKES = """\
currency = "EUR"
prices = 1

[[price]]
provider = "openai"
modle = "gpt-4o"
input = "2.5"

[[price]]
provider = 5
model = "gpt-4o"
from = "2026-01-01"
input = -1
output = 1e-13
cached = true
thinking = nan

[[price]]
provider = "cohere"
model = "rerank-v3.5"
currency = "GBP"
[price.each]
search_units = 0.002
"Web Search" = 1
input_tokens = 1

[[price]]
provider = "google"
model = "gemini-2.5-pro"
input = 1
[[price.above]]
tokens = 200_000
input = 2
output = 3
[[price.above]]
tokens = 100_000
input = 3
[[price.above]]
input = 3
[[price.above]]
tokens = 0

[[price]]
provider = "a"
model = "b"

[[price]]
provider = "a"
model = "c"
input = 1

[[price]]
provider = "A"
model = "C"
input = 2
each = 3
above = 4

[[price]]
provider = "A"
model = "C"
input = 2
"""


EXPECTED = {
    1: 'currency = "EUR": amounts are in USD only; give the rates in it',
    2: "unknown key 'prices' (did you mean 'price'? known: currency, price)",
    4: 'model is missing: write model = "gpt-5-mini"',
    6: "unknown key 'modle' (did you mean 'model'? known: provider, model, from,",
    7: 'input = "2.5" is no rate: write US dollars, from 0, with at most 12 decimals, such as 2.5',
    10: 'provider = 5 is none: write provider = "openai"',
    12: 'from = "2026-01-01" is no day: write 2026-01-31, without quotes',
    13: "input = -1 is no rate",
    14: "output = 1E-13 is no rate",
    15: "cached = true is no rate",
    16: "thinking = NaN is no rate",
    21: 'currency = "GBP": amounts are in USD only',
    24: "'Web Search' is no name of a unit, as request, search_units or web_search are",
    25: "'input_tokens' is a token: give its rate as `input`, per million",
    34: "'output' has no rate below: give one in [[price]]",
    36: "tokens = 100000 is none: write a number above 200000",
    38: "tokens is missing: write a number above 200000",
    41: "tokens = 0 is none: write a number above 200000",
    43: "it names no rate: give one of input, cached,",
    56: "`each` is a table: write [price.each], one unit a line",
    57: "`above` is a list of tables: write [[price.above]]",
    59: "line 47 has a price of this model from this day already: leave one out, or give another",
}


def test_all_mistakes_are_told_at_once_each_with_its_line_and_the_way_out(file: Path) -> None:
    found = refused(file, MISTAKES)

    places = [f"prices.toml:{line}: {words}" for line, words in EXPECTED.items()]
    assert [problem[: len(place)] for problem, place in zip(found, places, strict=True)] == places


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[[price]\n", "prices.toml:1: it is not TOML"),
        ("a = 1\nb = \n", "prices.toml:2: it is not TOML"),
        ("price = 3\n", "prices.toml:1: `price` is a list: write [[price]]"),
        ("\nprice = [3]\n", "prices.toml:2: a price is a table"),
    ],
)
def test_what_is_no_list_of_prices_is_refused(file: Path, text: str, problem: str) -> None:
    (found,) = refused(file, text)

    assert found.startswith(problem)


def test_a_file_that_is_not_there_or_no_text_is_refused(tmp_path: Path) -> None:
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe")

    with pytest.raises(PricesRefused, match=r"none\.toml: No such file"):
        read_overrides(tmp_path / "none.toml")
    with pytest.raises(PricesRefused, match="not UTF-8"):
        read_overrides(binary)


@pytest.mark.parametrize(
    ("place", "line"),
    [
        (("a",), 1),
        (("t",), 2),
        (("t", "b.c", "d"), 3),
        (("list", 0), 4),
        (("list", 0, "x"), 5),
        (("list", 0, "sub", "y"), 7),
        (("list", 1), 8),
        (("list", 1, "deep", 0, "z"), 10),
        (("list", 1, "inline", "w"), 8),
        (("nothing",), 1),
    ],
)
def test_a_key_is_found_on_its_line(place: tuple[str | int, ...], line: int) -> None:
    text = (
        "a = 1\n[t] # a table\n'b.c'.d = 2\n[[list]]\n  x = 3\n[ list . sub ]\ny = 4\n"
        "[[list]]\n[[list.deep]]\nz = 5\n"
    )

    assert Lines(text).of(place) == line

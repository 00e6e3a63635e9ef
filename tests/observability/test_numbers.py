"""Numbers with labels: counts that only grow, gauges, buckets; and words that are bounded."""

from __future__ import annotations

import pytest

from stepfold.observability.numbers import OTHER, SECONDS, Family, Numbers, Words

COUNTER = Family("made", "counter", "Made.", ("what",))
GAUGE = Family("there", "gauge", "There.", ("where",))
HISTOGRAM = Family("took_seconds", "histogram", "Took.", ("what",))


def numbers() -> Numbers:
    return Numbers((COUNTER, GAUGE, HISTOGRAM))


def test_a_counter_adds_up_by_its_labels() -> None:
    kept = numbers()

    kept.add(COUNTER, ("a",))
    kept.add(COUNTER, ("a",), 2.5)
    kept.add(COUNTER, ("b",))

    assert kept.values[COUNTER] == {("a",): 3.5, ("b",): 1}


@pytest.mark.parametrize("number", [0, -1, float("nan")])
def test_a_counter_never_falls(number: float) -> None:
    kept = numbers()

    kept.add(COUNTER, ("a",), number)

    assert kept.values[COUNTER] == {}


def test_a_gauge_is_what_is_there_now() -> None:
    kept = numbers()

    kept.set(GAUGE, {("a",): 1, ("b",): 2})
    kept.set(GAUGE, {("b",): 3})

    assert kept.values[GAUGE] == {("b",): 3}


def test_a_bucket_holds_what_is_at_most_its_limit() -> None:
    kept = numbers()

    for seconds in (-1.0, SECONDS[0], SECONDS[0] + 0.001, SECONDS[-1] + 1):
        kept.observe(HISTOGRAM, ("a",), seconds)

    buckets = kept.buckets[HISTOGRAM]["a",]
    assert buckets.counts == [2, 1, *[0] * (len(SECONDS) - 2), 1]
    assert buckets.sum == pytest.approx(SECONDS[0] * 2 + 0.001 + SECONDS[-1] + 1)


def test_words_beyond_the_limit_are_other_and_those_before_stay() -> None:
    words = Words(2)

    assert [words.known(word) for word in ("a", "b", "c", "a", "")] == ["a", "b", OTHER, "a", ""]


@pytest.mark.parametrize("word", ["a b", "a\nb", 'a"b', "x" * 129])
def test_what_is_no_word_is_other(word: str) -> None:
    assert Words(2).known(word) == OTHER


@pytest.mark.parametrize("word", ["meta/llama-3:8b", "ada@acme", "a=b~c+d", "x" * 128])
def test_names_as_they_are_used_are_words(word: str) -> None:
    assert Words(2).known(word) == word

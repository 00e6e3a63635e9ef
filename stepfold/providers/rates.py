"""What a usage costs at given rates: for each kind of token and each unit, a count times a rate.

Usage is inclusive; here it is taken apart, so that a token is paid for once, at the narrowest rate
there is: a cached one at `cached`, and where that has no rate at `input`. Nothing is rounded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Context, Decimal, Inexact, InvalidOperation

from msgspec import Struct

from stepfold.events.values import Usage

PARTS: Mapping[str, str] = {
    "input": "",
    "cached": "input",
    "cache_write": "input",
    "cache_write_1h": "cache_write",
    "audio_in": "input",
    "output": "",
    "thinking": "output",
    "audio_out": "output",
}
"""The kinds of tokens, by their names in `Usage`, and what each is a part of."""
BILLED_TOKENS: Mapping[str, str] = {"input_tokens": "input", "output_tokens": "output"}
"""Units that are tokens, where a provider bills others than it counts."""
REQUEST = "request"
"""The unit of which every call is one."""
MILLION_DIGITS = 6

_CACHE = frozenset({"cached", "cache_write", "cache_write_1h"})
_EXACT = Context(prec=200, traps=[Inexact, InvalidOperation])
_ZERO = Decimal(0)

Counts = Mapping[str, Decimal]


class Rate(Struct, frozen=True):
    """US dollars per million tokens. With more tokens of input than the first number of a pair in
    `above`, all of them cost the second.
    """

    base: Decimal
    above: tuple[tuple[int, Decimal], ...] = ()

    def at(self, tokens: Decimal) -> Decimal:
        return next((rate for start, rate in reversed(self.above) if tokens > start), self.base)


class Card(Struct, frozen=True):
    """The rates of a model: `tokens` by kind, `each` in US dollars for one of a unit. `unseen`: it
    has other rates for tokens that a `Usage` does not tell from the rest (of images, of video).
    """

    tokens: Mapping[str, Rate] = {}
    each: Mapping[str, Decimal] = {}
    unseen: bool = False

    def over(self, other: Card) -> Card:
        """These rates, and where there are none those of `other`."""
        unseen = other.unseen and not self.tokens
        return Card({**other.tokens, **self.tokens}, {**other.each, **self.each}, unseen)


def reckon(card: Card, usage: Usage) -> tuple[Decimal, dict[str, str]] | None:
    """The amount, and the rates that made it. None when something was used that has no rate, when
    what has a rate is not told, or when the counts contradict each other.
    """
    counts, units = _counts(usage), _units(card, usage)
    if not _told(card, counts, units):
        return None
    leaves = _leaves(card, counts)
    if leaves is None or leaves.keys() - card.tokens.keys() or units.keys() - card.each.keys():
        return None
    size = counts.get("input", _ZERO)
    rates = {kind: card.tokens[kind].at(size) for kind in leaves}
    millionths = total(_EXACT.multiply(leaves[kind], rate) for kind, rate in rates.items())
    each = total(_EXACT.multiply(count, card.each[unit]) for unit, count in units.items())
    amount = _EXACT.add(_EXACT.scaleb(millionths, -MILLION_DIGITS), each)
    rates |= {f"per_{unit}": card.each[unit] for unit in units}
    return plain(amount), {name: format(plain(rate), "f") for name, rate in rates.items()}


def plain(amount: Decimal) -> Decimal:
    """The same amount without an exponent, and without zeros at its end."""
    return Decimal(format(_EXACT.normalize(amount), "f"))


def _counts(usage: Usage) -> Counts:
    """The kinds of tokens that were told, as they are billed."""
    billed = usage.billed or {}
    if billed.keys() & BILLED_TOKENS.keys():
        return {
            kind: _exact(billed[unit]) for unit, kind in BILLED_TOKENS.items() if unit in billed
        }
    told = {kind: getattr(usage, kind) for kind in PARTS}
    return {kind: Decimal(count) for kind, count in told.items() if count is not None}


def _units(card: Card, usage: Usage) -> Counts:
    """What is paid by the piece, one request among it where that has a price."""
    units = {
        unit: _exact(count)
        for unit, count in (usage.billed or {}).items()
        if count and unit not in BILLED_TOKENS
    }
    return units | {REQUEST: Decimal(1)} if REQUEST in card.each else units


def _exact(count: float) -> Decimal:
    return Decimal(str(count))


def _told(card: Card, counts: Counts, units: Counts) -> bool:
    """Is all told that must be? Where images cost otherwise, only of an embedding, which is of text
    here, is it known that there were none.
    """
    if card.unseen and "output" in card.tokens:
        return False
    sane = all(each.is_finite() and each >= 0 for each in (*counts.values(), *units.values()))
    whole = all(kind in counts for kind in BILLED_TOKENS.values() if kind in card.tokens)
    return sane and whole and bool(counts or units)


def _leaves(card: Card, counts: Counts) -> Counts | None:
    """How many tokens are paid for at each rate. None when parts are more than their whole, and
    when audio and cached tokens, which may be the same ones, have rates of their own.
    """
    paid = {
        kind: count
        for kind, count in counts.items()
        if count and (kind in card.tokens or not PARTS[kind])
    }
    if "audio_in" in paid and paid.keys() & _CACHE:
        return None
    leaves = dict(paid)
    for kind, count in paid.items():
        whole = PARTS[kind]
        while whole and whole not in paid:
            whole = PARTS[whole]
        if whole:
            leaves[whole] -= count
        elif PARTS[kind]:
            return None
    if any(count < 0 for count in leaves.values()):
        return None
    return {kind: count for kind, count in leaves.items() if count}


def total(amounts: Iterable[Decimal]) -> Decimal:
    """Exact, whatever the digits."""
    whole = _ZERO
    for amount in amounts:
        whole = _EXACT.add(whole, amount)
    return whole

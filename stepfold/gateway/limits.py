"""How much one caller may ask: buckets that fill again with time, in this process only.

With N gateways a caller may ask N times as much: the limits keep one process from being drowned,
budgets (`stepfold budget`) keep the money.
"""

from __future__ import annotations

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable

from msgspec import Struct

from stepfold.gateway.principal import Principal
from stepfold.gateway.problems import TooMany

CALLERS_MAX = 50_000
"""How many callers are remembered; one that is forgotten begins with a full bucket."""
ADDRESS_CHARS_MAX = 64
"""Of an address that is none, or that has a long zone: a proxy may pass on what a stranger said."""
PREFIX_V6 = 64
"""Whoever has one IPv6 address has so many bits of them."""


class Rate(Struct, frozen=True):
    """`per_s` for long, `burst` at once."""

    per_s: float
    burst: float


class Limits(Struct, frozen=True):
    """Of requests by address (before anybody knows who it is), by key, by visitor; of wrong keys by
    address; of streams that are open at a time by key and by visitor.
    """

    address: Rate = Rate(200, 400)
    key: Rate = Rate(100, 200)
    visitor: Rate = Rate(2, 20)
    wrong: Rate = Rate(1, 20)
    streams: int = 2_000
    visitor_streams: int = 8


class Buckets:
    def __init__(self, rate: Rate, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._clock = clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, who: str) -> None:
        """TooMany when the bucket of `who` is empty."""
        left = self._now(who)
        if left < 1:
            self._put(who, left)
            raise self._too_many(left)
        self._put(who, left - 1)

    def _now(self, who: str) -> float:
        left, at = self._left.get(who, (self._rate.burst, 0.0))
        return min(self._rate.burst, left + (self._clock() - at) * self._rate.per_s)

    def _put(self, who: str, left: float) -> None:
        self._left[who] = left, self._clock()
        self._left.move_to_end(who)
        if len(self._left) > CALLERS_MAX:
            self._left.popitem(last=False)

    def _too_many(self, left: float) -> TooMany:
        again_s = max(1, math.ceil((1 - left) / self._rate.per_s))
        why = f"{self._rate.per_s:g} requests a second for long, {self._rate.burst:g} at once"
        return TooMany(f"{why}: ask again in {again_s} s", again_s)


class Limiting:
    """All buckets of one process."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._addresses = Buckets(limits.address, clock)
        self._wrong = Buckets(limits.wrong, clock)
        self._keys = Buckets(limits.key, clock)
        self._visitors = Buckets(limits.visitor, clock)
        self._open: dict[str, int] = {}

    def arrived(self, address: str) -> None:
        """A request from `address`. TooMany."""
        self._addresses.take(network(address))

    def refused(self, address: str) -> None:
        """It showed a key that is none. TooMany, which shuts out no good key of that address."""
        self._wrong.take(network(address))

    def admitted(self, who: Principal) -> None:
        """It is known who asks. TooMany."""
        (self._visitors if who.contact else self._keys).take(name(who))

    def open(self, who: Principal) -> Callable[[], None]:
        """A stream more; call what is returned when it is closed. TooMany."""
        most = self._limits.visitor_streams if who.contact else self._limits.streams
        one = name(who)
        if self._open.get(one, 0) >= most:
            raise TooMany(f"{most} streams are open already: close one", 1)
        self._open[one] = self._open.get(one, 0) + 1
        return lambda: self._close(one)

    def _close(self, one: str) -> None:
        self._open[one] -= 1
        if not self._open[one]:
            del self._open[one]

    @property
    def streams(self) -> int:
        """How many are open."""
        return sum(self._open.values())


def name(who: Principal) -> str:
    return f"{who.customer}/{who.key}/{who.contact}"


def network(address: str) -> str:
    """Whose an address is, as far as that shows."""
    address = address[:ADDRESS_CHARS_MAX]
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if found.version == 6:  # noqa: PLR2004
        mapped = found.ipv4_mapped
        return str(mapped or ipaddress.ip_network((found, PREFIX_V6), strict=False))
    return str(found)

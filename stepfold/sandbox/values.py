"""A value of the code's as plain JSON, whatever it was built to do to its reader.

A small program can name a huge value: ten lists, each ten times in the next. So it is walked with
a budget, and never printed or compared before.
"""

from __future__ import annotations

import math
from typing import Any

DEPTH_MAX = 100
INTEGER_BITS_MAX = 64
DIGITS_BITS_MAX = 14_000
"""Longer ones Python itself does not write in digits."""

PER_VALUE = 2
"""Bytes that the smallest value takes in JSON, with its comma."""


class TooLarge(Exception):
    """The value does not fit; the text says in what."""


def plain(value: Any, *, bytes_max: int) -> Any:
    """`value` as JSON of about `bytes_max` at most; what JSON cannot say comes as its text."""
    return _Walk(bytes_max).walk(value, 0)


class _Walk:
    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._left = bytes_max

    def walk(self, value: Any, depth: int) -> Any:
        self._take(PER_VALUE)
        if depth > DEPTH_MAX:
            raise TooLarge(f"the result is nested deeper than {DEPTH_MAX}")
        match value:
            case None | bool():
                return value
            case int():
                return self._integer(value)
            case float():
                return value if math.isfinite(value) else str(value)
            case str():
                return self._text(value)
            case bytes():
                self._take(len(value))
                return self._text(repr(value))
            case dict():
                return {self._key(key): self.walk(each, depth + 1) for key, each in value.items()}
            case list() | tuple() | set() | frozenset():
                return [self.walk(each, depth + 1) for each in value]
            case _:
                return f"<{type(value).__name__}>"

    def _integer(self, value: int) -> int | str:
        if value.bit_length() <= INTEGER_BITS_MAX:
            return value
        self._take(value.bit_length() // 4)
        return str(value) if value.bit_length() <= DIGITS_BITS_MAX else hex(value)

    def _text(self, value: str) -> str:
        self._take(len(value))
        return value.encode("utf-8", "replace").decode()

    def _key(self, key: Any) -> str:
        self._take(PER_VALUE)
        match key:
            case str():
                return self._text(key)
            case bool() | None | int() | float():
                return str(self._integer(key) if isinstance(key, int) else key)
            case _:
                return f"<{type(key).__name__}>"

    def _take(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise TooLarge(f"the result is larger than {self._bytes_max} bytes")

"""An observing hook: one more consumer. It is told of every step of its kinds, at least once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from msgspec import Struct

from stepfold.events.envelope import Entry


class Observer(Struct, frozen=True):
    """`name` is its durable place in the log: a new name starts from the first step.

    What it raises is logged, and the step is told again later.
    """

    name: str
    kinds: tuple[str, ...]
    see: Callable[[Entry], Awaitable[None]]

"""Many generations at once, each a conversation of its own whose name follows from what is asked:
a second run finds what is done, waits for what is under way, and asks only for the rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from itertools import islice

from msgspec import Struct

from stepfold.handlers.generation import (
    TIMEOUT_S,
    GenerationError,
    Generations,
    Made,
    conversation_of,
)
from stepfold.tasks import Brief

AT_ONCE = 8


class Unmade(Struct, frozen=True):
    """A brief without an output, and why."""

    conversation: str
    reason: str
    detail: str = ""


Placed = tuple[int, Made | Unmade]


async def generate_many(
    generations: Generations,
    briefs: Iterable[Brief],
    *,
    customer: str,
    batch: str = "",
    at_once: int = AT_ONCE,
    timeout_s: float = TIMEOUT_S,
) -> AsyncGenerator[Placed, None]:
    """(the place of the brief, from 0; what became of it), as each is done. An error that is not
    about one brief, such as a log that is away, ends all; what was asked for goes on.
    """

    async def one(place: int, brief: Brief) -> Placed:
        name = conversation_of(brief, batch)
        make = generations.make(brief, customer=customer, conversation=name, timeout_s=timeout_s)
        try:
            return place, await make
        except GenerationError as error:
            return place, Unmade(name, error.reason, error.detail)

    todo = enumerate(briefs)
    running: set[asyncio.Task[Placed]] = set()
    try:
        while True:
            for place, brief in islice(todo, at_once - len(running)):
                running.add(asyncio.create_task(one(place, brief)))
            if not running:
                return
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                yield task.result()
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

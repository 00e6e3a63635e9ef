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
    """A brief without an output, and why. Where nothing was asked there is no conversation."""

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
    trace: str = "",
) -> AsyncGenerator[Placed, None]:
    """(the place of the brief, from 0; what became of it), as each is done. An error that is not
    about one brief, such as a log that is away, ends all; what was asked for goes on.
    """

    async def one(place: int, brief: Brief) -> Placed:
        try:
            name = conversation_of(brief, batch)
            return place, await generations.make(
                brief, customer=customer, conversation=name, trace=trace, timeout_s=timeout_s
            )
        except GenerationError as error:
            return place, Unmade(error.conversation, error.reason, error.detail)

    if at_once < 1:
        raise ValueError(f"at_once={at_once}: nothing would ever be asked: give 1 or more")
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

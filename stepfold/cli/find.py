"""A conversation by what a person types: `customer/conversation`, or its own name alone."""

from __future__ import annotations

from stepfold.app import Opened
from stepfold.cli.exits import CommandRefused
from stepfold.events.envelope import Entry

Key = tuple[str, str]


async def find(found: Opened, name: str) -> Key:
    """(customer, conversation); refused when it is not in the log, or not one alone."""
    customer, slash, conversation = name.partition("/")
    if slash:
        if not (await found.log.tail(customer, conversation)).position:
            raise CommandRefused(_missing(name))
        return customer, conversation
    customers = await found.log.locate(name)
    if not customers:
        raise CommandRefused(_missing(name))
    if len(customers) > 1:
        names = ", ".join(f"{customer}/{name}" for customer in customers)
        raise CommandRefused(f"conversation {name!r} is not one alone; name one of: {names}")
    return customers[0], name


async def read(found: Opened, name: str) -> list[Entry]:
    return await found.log.read(*await find(found, name))


def _missing(name: str) -> str:
    return f"conversation {name!r} is not in this log; `stepfold tail --after 0` shows what is"

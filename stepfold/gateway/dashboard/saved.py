"""Questions that are kept under a name, each on a shelf of its own: two who save at once lose none.

shelves.dashboards.<hash of the name>.current    the question as it is now, an empty one is gone
"""

from __future__ import annotations

import hashlib

import msgspec
from msgspec import Struct

from stepfold.streams.config import SHELVES
from stepfold.streams.jetstream import Connection, JetStreamShelf
from stepfold.streams.jetstream.connection import TIMEOUT_S
from stepfold.streams.jetstream.gets import Gets

DASHBOARDS = "shelves.dashboards"
NAME_HASH_CHARS = 16


class Saved(Struct, frozen=True):
    """`person` saved it last."""

    name: str
    sql: str
    person: str = ""


async def keep(client: Connection, saved: Saved) -> None:
    """LogUnavailable."""
    name = hashlib.sha256(saved.name.encode()).hexdigest()[:NAME_HASH_CHARS]
    shelf = JetStreamShelf(client, SHELVES, f"{DASHBOARDS}.{name}")
    await shelf.appoint(msgspec.json.encode(saved))


async def all_saved(client: Connection) -> list[Saved]:
    """By name. LogUnavailable."""
    gets = Gets(client, TIMEOUT_S)
    found = [
        msgspec.json.decode(message.data, type=Saved)
        async for message in gets.all(SHELVES, f"{DASHBOARDS}.*.current", 0)
    ]
    return sorted((each for each in found if each.sql), key=lambda each: each.name.lower())

"""What decisions know of the world follows the shelf, and nothing that is wrong there stops it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from decimal import Decimal

import pytest

from stepfold.handlers.budgets import Keeper
from stepfold.handlers.choosing import World
from stepfold.handlers.worlds import Worlds
from stepfold.policy.budget import Budget, Budgets, encode_budgets
from stepfold.routing import Candidate, Route, Routes, digest, encode_routes
from stepfold.streams.log import LogUnavailable, ShelfUnreadable
from stepfold.streams.memory import MemoryBalances, MemoryLog, MemoryShelf
from stepfold.testing import Clock
from tests.waiting import eventually

LOOK_S = 0.005
OLD, NEW = (Routes((Route("converse", (Candidate(name),)),)) for name in ("a/old", "a/new"))
LIMIT = Budget("customer", Decimal(10), "acme")
NEWER = b'{"routes":[{"task":"converse","candidates":[],"attempts_max":"many"}]}'


class Shelf(MemoryShelf):
    """A shelf that can be away; it counts the looks."""

    def __init__(self) -> None:
        super().__init__()
        self.away = False
        self.looks = 0

    async def appointed(self) -> bytes | None:
        self.looks += 1
        if self.away:
            raise LogUnavailable("the server is away")
        return await super().appointed()

    async def looked(self) -> None:
        """A look that began now has ended."""
        enough = self.looks + 2
        await eventually(lambda: self.looks >= enough)


@pytest.fixture
async def shelf() -> Shelf:
    shelf = Shelf()
    await shelf.appoint(encode_routes(OLD))
    return shelf


@asynccontextmanager
async def kept(shelf: Shelf) -> AsyncIterator[Worlds]:
    worlds = Worlds(shelf, Clock(), look_s=LOOK_S)
    await worlds.look()
    keeping = asyncio.create_task(worlds.keep())
    try:
        yield worlds
    finally:
        keeping.cancel()
        with suppress(asyncio.CancelledError):
            await keeping


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]


async def test_a_world_has_the_current_routes_their_digest_and_the_hour(shelf: Shelf) -> None:
    async with kept(shelf) as worlds:
        world = worlds("acme", "c1", "desk")

    assert world == World("acme", OLD, digest(OLD), hour=Clock()().hour, conversation="c1")


async def test_where_there_are_no_routes_a_world_has_none() -> None:
    async with kept(Shelf()) as worlds:
        world = worlds("acme", "c1", "desk")

    assert (world.routes, world.table) == (Routes(), "")


async def test_a_change_is_taken_over_and_named_in_the_log(
    shelf: Shelf, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "stepfold.worlds")
    async with kept(shelf) as worlds:
        await shelf.appoint(encode_routes(NEW))
        await eventually(lambda: worlds.routes == NEW)

        assert worlds("acme", "c1", "desk").table == digest(NEW)
    assert [each.getMessage() for each in caplog.records] == [
        f"routes {digest(OLD)}",
        f"routes {digest(NEW)}",
    ]


async def test_while_the_shelf_is_away_the_routes_stay_and_that_is_told_once_each_time(
    shelf: Shelf, caplog: pytest.LogCaptureFixture
) -> None:
    async with kept(shelf) as worlds:
        for _ in range(2):
            shelf.away = True
            await shelf.looked()
            await shelf.looked()
            assert worlds.routes == OLD
            shelf.away = False
            await shelf.looked()
        await shelf.appoint(encode_routes(NEW))
        await eventually(lambda: worlds.routes == NEW)

    assert told(caplog) == ["the routes stay as they are: the server is away"] * 2


async def test_routes_that_cannot_be_read_change_nothing_and_the_next_ones_are_taken_over(
    shelf: Shelf, caplog: pytest.LogCaptureFixture
) -> None:
    async with kept(shelf) as worlds:
        await shelf.appoint(NEWER)
        await shelf.looked()
        await shelf.looked()
        assert worlds("acme", "c1", "desk").table == digest(OLD)
        await shelf.appoint(encode_routes(NEW))
        await eventually(lambda: worlds.routes == NEW)

    (warning,) = told(caplog)
    assert warning.startswith("the routes stay as they are: the routes on this log are of another")


async def test_who_begins_with_routes_that_cannot_be_read_does_not_begin(shelf: Shelf) -> None:
    await shelf.appoint(NEWER)

    with pytest.raises(ShelfUnreadable, match="`stepfold route apply FILE`"):
        await Worlds(shelf, Clock()).look()


async def test_budgets_that_cannot_be_read_or_reached_change_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    shelf = Shelf()
    await shelf.appoint(encode_budgets(Budgets((LIMIT,))))
    keeper = Keeper(shelf, MemoryBalances(), MemoryLog(), Clock(), look_s=LOOK_S)
    await keeper.look()
    keeping = asyncio.create_task(keeper.keep())
    await shelf.appoint(b'{"budgets": 7}')
    await shelf.looked()
    shelf.away = True
    await shelf.looked()
    await shelf.looked()
    keeping.cancel()

    unreadable, away = told(caplog)
    assert "another version of stepfold" in unreadable
    assert away == "the budgets stay as they are: the server is away"
    assert keeper.step("acme", "c1", "desk") == ("", Decimal(10))


async def test_a_world_says_how_far_the_budget_of_its_conversation_is_used_up(shelf: Shelf) -> None:
    budgets = MemoryShelf()
    await budgets.appoint(encode_budgets(Budgets((LIMIT,))))
    keeper = Keeper(budgets, MemoryBalances(), MemoryLog(), Clock())
    await keeper.look()
    await keeper.reserve(("acme", "c1"), "desk", "r1", Decimal("8.5"))

    worlds = Worlds(shelf, Clock(), keeper)

    world, other = worlds("acme", "c1", "desk"), worlds("beta", "c1", "desk")
    assert (world.budget, world.budget_left_usd) == ("warn", Decimal("1.5"))
    assert (other.budget, other.budget_left_usd) == ("", None)

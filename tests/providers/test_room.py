"""Room for so many at once, in the order in which they came, however much there is meanwhile."""

from __future__ import annotations

import asyncio

import pytest

from stepfold.providers.room import Room


class Guests:
    """Tasks that want to enter; `inside` are those that did, in their order."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self.inside: list[str] = []

    async def come(self, *names: str) -> list[asyncio.Task[None]]:
        tasks = [asyncio.create_task(self._enter(name)) for name in names]
        await settled()
        return tasks

    async def _enter(self, name: str) -> None:
        await self._room.enter()
        self.inside.append(name)


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_only_so_many_enter_and_the_first_in_line_is_the_next() -> None:
    room = Room(2)
    guests = Guests(room)
    waiting = await guests.come("a", "b", "c", "d")
    assert guests.inside == ["a", "b"]

    room.leave()
    await settled()
    assert guests.inside == ["a", "b", "c"]

    room.leave()
    await asyncio.gather(*waiting)
    assert guests.inside == ["a", "b", "c", "d"]


async def test_more_room_lets_those_in_who_wait() -> None:
    room = Room(1)
    guests = Guests(room)
    waiting = await guests.come("a", "b", "c")

    room.size = 3
    await asyncio.gather(*waiting)

    assert guests.inside == ["a", "b", "c"]


async def test_with_less_room_nobody_enters_until_enough_have_left() -> None:
    room = Room(3)
    guests = Guests(room)
    await guests.come("a", "b", "c")
    room.size = 1
    (waiting,) = await guests.come("d")

    room.leave()
    room.leave()
    await settled()
    assert guests.inside == ["a", "b", "c"]

    room.leave()
    await waiting
    assert guests.inside == ["a", "b", "c", "d"]


async def test_who_goes_away_while_waiting_takes_no_room() -> None:
    room = Room(1)
    guests = Guests(room)
    _, gone, last = await guests.come("a", "b", "c")
    gone.cancel()
    await settled()

    room.leave()
    await last

    assert guests.inside == ["a", "c"]


async def test_who_goes_away_just_when_let_in_gives_the_room_to_the_next() -> None:
    room = Room(1)
    guests = Guests(room)
    _, gone, last = await guests.come("a", "b", "c")

    room.leave()
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    await last

    assert guests.inside == ["a", "c"]


async def test_who_goes_away_and_is_passed_over_at_once_takes_no_room() -> None:
    room = Room(1)
    guests = Guests(room)
    _, gone, last = await guests.come("a", "b", "c")

    gone.cancel()
    room.leave()
    await last

    assert guests.inside == ["a", "c"]

"""Every log fulfils the contract, and the memory log what only it promises."""

from __future__ import annotations

import pytest

from stepfold.events.event import Unreadable
from stepfold.streams.memory import MemoryLog
from tests.streams.log_contract import LogContract


class TestLog(LogContract):
    pass


async def test_the_memory_log_can_be_handed_what_a_stranger_would_publish() -> None:
    log = MemoryLog()

    position = log.inject("steps.acme.c1.message.received", b"{junk")

    (entry,) = await log.read("acme", "c1")
    assert (entry.position, (await log.tail("acme", "c1")).position) == (position, position)
    assert isinstance(entry.event, Unreadable)


async def test_the_memory_log_says_that_it_cannot_be_followed() -> None:
    with pytest.raises(ValueError, match="scan it again instead"):
        await anext(aiter(MemoryLog().scan(follow=True)))

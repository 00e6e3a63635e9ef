"""Seeded random worlds: whatever comes twice, late or never, and whoever dies, the laws hold.

The full number: python -m tests.worlds --worlds 20000
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

import pytest

from stepfold.events.envelope import Draft, Entry
from stepfold.events.steps import Stored
from stepfold.handlers.shell import Shell
from stepfold.streams.memory import MemoryLog
from tests.worlds.world import World

WORLDS = 300
CHUNKS = 10


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_in_every_world_the_laws_hold(chunk: int) -> None:
    for seed in range(chunk, WORLDS, CHUNKS):
        report = World(seed).run()

        assert not report.violations, (
            f"python -m tests.worlds --seed {seed}: {report.violations[0]}"
        )


@pytest.mark.parametrize("seed", [3, 17, 42])
def test_a_world_is_the_same_whenever_it_runs(seed: int) -> None:
    one, other = World(seed), World(seed)

    assert one.run().counts == other.run().counts
    assert story(one) == story(other)


def test_the_worlds_are_not_idle() -> None:
    reports = [World(seed).run() for seed in range(100)]

    counts = sum((report.counts for report in reports[1:]), reports[0].counts)
    for what in ("crashes", "conflicts", "redeliveries", "log away", "tool runs"):
        assert counts[what] >= 10, f"{counts[what]} {what}"


class UnfencedLog(MemoryLog):
    """Takes whatever comes, wherever its writer thought the end was."""

    async def append(self, drafts: Sequence[Draft], *, after: int) -> tuple[Entry, ...]:
        key = drafts[0].customer, drafts[0].conversation
        return await super().append(drafts, after=(await self.tail(*key)).position)


class ForgetfulLog(MemoryLog):
    """Acknowledges every eleventh step and does not keep it."""

    async def append(self, drafts: Sequence[Draft], *, after: int) -> tuple[Entry, ...]:
        entries = await super().append(drafts, after=after)
        if len(self.steps) % 11 == 0 and self.steps[-1].position == entries[-1].position:
            lost: Stored = self.steps.pop()
            self._of[entries[-1].key].remove(lost.position)
        return entries


@pytest.mark.parametrize("log", [UnfencedLog, ForgetfulLog])
def test_a_log_that_breaks_its_contract_breaks_the_laws(log: type[MemoryLog]) -> None:
    assert any(broken(seed, log) for seed in range(60))


def broken(seed: int, kind: type[MemoryLog]) -> bool:
    world = World(seed)
    log = kind(world.clock)
    world.log = log
    return bool(world.run().violations)


def test_a_shell_that_trusts_its_cache_breaks_the_laws(monkeypatch: pytest.MonkeyPatch) -> None:
    handle = Shell.handle

    async def trusting(self: Shell, entry: Entry, *, deliveries: int = 1) -> None:
        await handle(self, entry, deliveries=1)

    monkeypatch.setattr(Shell, "handle", trusting)

    assert any(World(seed).run().violations for seed in range(120))


def story(world: World) -> list[tuple[int, str]]:
    return [(stored.position, stored.subject) for stored in world.log.steps]

"""The people of a world, who are asked about calls: they agree, or not, or too late, or twice, and
somebody forges what they say.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from stepfold.events.envelope import Entry
from stepfold.events.event import ApprovalDenied, ApprovalGranted, ApprovalRequested
from stepfold.handlers.approvals import ApprovalRefused, Approvals
from stepfold.streams.log import LogUnavailable
from tests.worlds.doubles import WorldLog

if TYPE_CHECKING:
    from tests.worlds.world import World

NAMES = ("ann", "bob", "cid")


class People:
    """They sit at one desk, which never dies, and look at the log as a process does."""

    name = "people"
    alive = True

    def __init__(self, world: World) -> None:
        self.world = world
        self._approvals = Approvals(WorldLog(self), world.clock)
        self._tasks: set[asyncio.Task[None]] = set()

    async def gate(self, what: str) -> bool:
        return await self.world.park(self, what)

    def asked(self, entry: Entry, request: ApprovalRequested) -> None:
        """As many as are needed get to see it, or one more, each in their own time."""
        chance = self.world.chance
        late_s = request.expires_s * 1.01
        for _ in range(request.people + (chance.random() < 0.2)):
            delay_s = chance.choice((0.0, 0.0, 1.0, 20.0, late_s))
            act = chance.choices(("grant", "deny", "nothing", "forge"), (70, 10, 10, 10))[0]
            person = chance.choice(NAMES)
            self.world.loop.call_later(delay_s, self._begin, entry, request, person, act)

    def _begin(self, entry: Entry, request: ApprovalRequested, person: str, act: str) -> None:
        if act == "forge":
            self._forge(entry, request, person)
        elif act != "nothing":
            task = self.world.loop.create_task(self._answer(entry, request, person, act))
            self._tasks.add(task)
            task.add_done_callback(self._ended)

    async def _answer(
        self, entry: Entry, request: ApprovalRequested, person: str, act: str
    ) -> None:
        answer = self._approvals.grant if act == "grant" else self._approvals.deny
        try:
            await answer(entry.key, request.call, digest=request.digest, person=person)
        except ApprovalRefused:
            self.world.counts["answers refused"] += 1
        except LogUnavailable:
            self.world.counts["answers lost"] += 1
        else:
            self.world.counts["answers"] += 1

    def _forge(self, entry: Entry, request: ApprovalRequested, person: str) -> None:
        """Written past the front door: about another call than the one that waits."""
        kind = self.world.chance.choice((ApprovalGranted, ApprovalDenied))
        event = kind(request.call, request.turn, "sha256:" + "0" * 64, person)
        self.world.counts["answers forged"] += 1
        self.world.put(entry.conversation, event, f"forged {len(self.world.log.steps)}")

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.world.violations.append(f"somebody was told {task.exception()!r}")

    def leave(self) -> None:
        for task in self._tasks:
            task.cancel()

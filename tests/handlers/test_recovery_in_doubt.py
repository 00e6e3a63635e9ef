"""What a second try may say of the first: that nothing happened now proves nothing of before."""

from __future__ import annotations

from typing import Any

import pytest

from stepfold.events.event import Event, ToolFailed, ToolReturned, ToolUnknown
from stepfold.events.values import Arguments
from stepfold.policy.agent import Agent
from stepfold.policy.effect import Effect, Recovery
from stepfold.providers.model import Call, Reply
from stepfold.testing import Arrangement
from stepfold.tools.tool import ToolError, ToolSpec

PAY = Reply(calls=(Call("pay", {}),))
DONE = Reply("Done.")
AGENT = Agent("desk", models=("scripted",), tools=("pay",))
AWAY = ToolError("the bank cannot be reached")


class Dies(BaseException):
    """The process that did this is no more."""


class Bank:
    """It pays, and the process that asked dies; then it does what `then` says, one by one."""

    def __init__(self, recovery: Recovery, *then: Any, effect: Effect = "write") -> None:
        self.spec = ToolSpec("pay", effect=effect, recovery=recovery, trusted=True)
        self.paid: list[str] = []
        self.runs = 0
        self._then = list(then)

    async def run(self, arguments: Arguments, *, call: str) -> Any:
        self.runs += 1
        if self.runs > 1 and self._then and isinstance(error := self._then.pop(0), Exception):
            raise error
        self.paid.append(call)
        if self.runs == 1:
            raise Dies
        return "paid"


async def outcome(bank: Bank) -> Event:
    arrangement = Arrangement(replies=(PAY, DONE), tools=[bank])
    await arrangement.start(AGENT)
    await arrangement.say("Pay.")
    with pytest.raises(Dies):
        await arrangement.run_to_rest()
    arrangement.restart()
    await arrangement.run_to_rest()
    ends = (ToolReturned, ToolFailed, ToolUnknown)
    (found,) = [each for each in (await arrangement.rest()).events if isinstance(each, ends)]
    return found


async def test_a_server_that_is_away_at_the_second_try_is_asked_again() -> None:
    bank = Bank("idempotent", AWAY)

    assert isinstance(await outcome(bank), ToolReturned)
    assert bank.runs == 3
    assert set(bank.paid) == {"acme/c1/r1.1"}


async def test_and_one_that_stays_away_leaves_it_unknown() -> None:
    bank = Bank("idempotent", *[AWAY] * 30)

    found = await outcome(bank)

    assert isinstance(found, ToolUnknown)
    assert found.reason == (
        "it had started before, and now it could not be done: the bank cannot be reached"
    )
    assert bank.paid == ["acme/c1/r1.1"]


async def test_what_only_reads_has_failed() -> None:
    assert isinstance(await outcome(Bank("idempotent", AWAY, effect="read")), ToolFailed)


async def test_what_reconciles_by_name_and_has_no_lookup_is_not_tried_again() -> None:
    bank = Bank("reconcile")

    assert isinstance(await outcome(bank), ToolUnknown)
    assert bank.runs == 1

"""The laws of effects and of agreement can be broken: each by a core that is wrong in one place."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from stepfold.events.event import ApprovalDenied, Event, Request, ToolFailed
from stepfold.handlers import decide, tool
from stepfold.handlers.tool import RunTool
from stepfold.policy.agent import Agent
from stepfold.projections import agreements
from stepfold.projections.state import Agreement
from stepfold.tools.unsure import Unsure
from tests.worlds.world import World

SEEDS = 600


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def test_the_worlds_leave_effects_in_doubt_and_ask_people() -> None:
    reports = [World(seed).run() for seed in range(150)]

    counts = sum((report.counts for report in reports[1:]), reports[0].counts)
    for what in ("effects", "taken up", "people asked", "answers", "answers forged"):
        assert counts[what] >= 5, f"{counts[what]} {what}"


def breaks(law: str) -> bool:
    """Is there a world in which this law does not hold?"""
    return any(law in how for seed in range(SEEDS) for how in World(seed).run().violations)


def always(answer: bool) -> Callable[..., bool]:
    def recovers(self: RunTool, request: Request, agent: Agent, reason: str) -> bool:
        return answer

    return recovers


def test_to_repeat_whatever_had_started_breaks_a_law(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RunTool, "recovers", always(True))

    assert breaks("what must never repeat is asked once")


def test_to_repeat_nothing_breaks_a_law(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RunTool, "recovers", always(False))

    assert breaks("what is idempotent is done unless it is given up")


def test_to_repeat_without_a_lookup_breaks_a_law(monkeypatch: pytest.MonkeyPatch) -> None:
    async def blind(self: RunTool, entry: Any, state: Any, agent: Agent) -> Event:
        return await self.run(entry, state, agent)

    monkeypatch.setattr(RunTool, "recover", blind)

    assert breaks("of found returned, it was done 2 times")


def test_to_believe_that_nothing_happened_because_nothing_did_now_breaks_a_law(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recover = RunTool.recover

    async def hasty(self: RunTool, entry: Any, state: Any, agent: Agent) -> Event:
        try:
            return await recover(self, entry, state, agent)
        except Unsure as error:
            return ToolFailed(entry.event.call, entry.event.turn, str(error))

    monkeypatch.setattr(RunTool, "recover", hasty)

    assert breaks("of keyed is ToolFailed, it was done 1 times")


def test_to_ask_nobody_breaks_a_law(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(*_: Any) -> None:
        return None

    for room in (decide, tool):
        monkeypatch.setattr(room, "rule_for", nobody)

    assert breaks("nothing is done without agreement")


@pytest.mark.parametrize("fault", ["deaf to a no", "blind to the digest"])
def test_to_hear_what_nobody_said_breaks_a_law(monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    agreed = agreements._agreed

    def wrong(asked: Agreement, event: Any) -> Agreement:
        if fault == "deaf to a no" and isinstance(event, ApprovalDenied):
            return asked
        if fault == "blind to the digest" and hasattr(event, "digest"):
            event = replace(event, digest=asked.request.digest)
        return agreed(asked, event)

    monkeypatch.setattr(agreements, "_agreed", wrong)

    assert breaks("nothing is done without agreement")

"""What a call that had started must survive: rivals, a first run that lives, another contact, a
gate that changed, a turn that is over; and that whatever came of it can be written down.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from stepfold.events.event import (
    Event,
    MessageReceived,
    ReasonRequested,
    ToolFailed,
    ToolRequested,
    ToolReturned,
    ToolStarted,
    ToolUnknown,
    TurnExpired,
)
from stepfold.events.values import Arguments
from stepfold.handlers.work import BUSY_S
from stepfold.policy.effect import Effect, Recovery
from stepfold.policy.grant import Grant
from stepfold.providers.model import Reply
from stepfold.testing import Arrangement
from stepfold.tools.tool import FunctionTool, ToolError, ToolSpec, caller
from stepfold.tools.unsure import Unsure
from tests.handlers.delivering import forge, happened, until
from tests.handlers.test_recovery import (
    AGENT,
    DONE,
    PAY,
    Dies,
    Payments,
    Reconciled,
    again,
    crashed,
    outcomes,
)

ADA = MessageReceived("Pay.", contact="ada", message="m1")
BOB = MessageReceived("Hello.", contact="bob", message="m2")
OVER = "it had started, and is not tried again: its turn is over"


class Watched(Reconciled):
    """Its lookups wait for `go`, which a second one gives; it remembers for whom it did what."""

    def __init__(self, *ends: Any, recovery: Recovery = "reconcile") -> None:
        super().__init__(*ends, recovery=recovery)
        self.go = asyncio.Event()
        self.looking = asyncio.Event()
        self.contacts: list[str] = []

    async def run(self, arguments: Arguments, *, call: str) -> Any:
        self.contacts.append(caller().contact)
        return await super().run(arguments, call=call)

    async def reconcile(self, arguments: Arguments, *, call: str) -> Any:
        self.contacts.append(caller().contact)
        found = await super().reconcile(arguments, call=call)
        self.looking.set()
        if self.looked > 1:
            self.go.set()
        await self.go.wait()
        return found


class Lives(Reconciled):
    """Its first run takes as long as it likes."""

    def __init__(self) -> None:
        super().__init__(recovery="reconcile")
        self.go = asyncio.Event()
        self.started = asyncio.Event()

    async def run(self, arguments: Arguments, *, call: str) -> Any:
        self.started.set()
        await self.go.wait()
        return await super().run(arguments, call=call)


async def asked(tool: Any, *replies: Reply) -> Arrangement:
    """Ada has asked for a payment that nobody has taken on yet."""
    arrangement = Arrangement(replies=replies or (PAY, DONE, DONE), tools=[tool])
    await arrangement.start(AGENT)
    await arrangement.append("c1", ADA, key="m1")
    await until(arrangement, ToolRequested)
    return arrangement


async def died(tool: Any, *replies: Reply) -> Arrangement:
    """The process that paid for ada is dead, another one is there, and its time is not yet over."""
    arrangement = await asked(tool, *replies)
    with pytest.raises(Dies):
        await arrangement.shell.take(await until(arrangement, ToolRequested))
    arrangement.restart()
    return arrangement


def later(arrangement: Arrangement, seconds: float) -> None:
    arrangement.clock.wait_until(arrangement.clock.at + timedelta(seconds=seconds))


# -- rivals -----------------------------------------------------------------------------------


async def test_of_two_that_take_up_a_call_at_once_one_goes_on() -> None:
    tool = Watched(Dies())
    arrangement = await died(tool)
    request = await until(arrangement, ToolRequested)
    one, other = arrangement.shell, arrangement.restart()
    assert await other.take(request, deliveries=2) is not None  # it has read the log by now
    later(arrangement, 20)
    winner = asyncio.create_task(one.take(request, deliveries=2))
    await tool.looking.wait()

    put_off = await other.take(request)

    tool.go.set()
    assert (put_off, await winner) == (BUSY_S, None)
    assert (tool.looked, len(tool.paid)) == (1, 1)


async def test_who_comes_while_another_takes_it_up_leaves_it_alone() -> None:
    tool = Watched(Dies())
    arrangement = await died(tool)
    request = await until(arrangement, ToolRequested)
    later(arrangement, 20)
    winner = asyncio.create_task(arrangement.shell.take(request, deliveries=2))
    await tool.looking.wait()

    put_off = await arrangement.restart().take(request, deliveries=3)

    tool.go.set()
    await winner
    assert put_off == pytest.approx(20, abs=0.1)
    assert (tool.looked, len(tool.paid)) == (1, 1)


async def test_a_first_run_that_still_lives_is_left_alone_until_its_time_is_over() -> None:
    tool = Lives()
    arrangement = await asked(tool)
    request = await until(arrangement, ToolRequested)
    living = asyncio.create_task(arrangement.shell.take(request))
    await tool.started.wait()

    put_off = await arrangement.restart().take(request, deliveries=2)

    assert put_off == pytest.approx(20, abs=0.1)
    assert tool.looked == 0
    tool.go.set()
    await living
    await again(arrangement)
    assert len(tool.paid) == 1
    assert await outcomes(arrangement) == [ToolReturned("r1.1", 1, "paid")]


@pytest.mark.parametrize(("timeout_s", "rests_s"), [(0, 20), (5, 5), (90, 20)])
async def test_its_time_is_the_tools_own_and_no_longer_than_a_call_may_take(
    timeout_s: float, rests_s: float
) -> None:
    tool = Reconciled(Dies(), recovery="reconcile")
    tool.spec = replace(tool.spec, timeout_s=timeout_s)
    arrangement = await died(tool)
    request = await until(arrangement, ToolRequested)

    put_off = await arrangement.shell.take(request, deliveries=2)
    assert put_off == pytest.approx(rests_s, abs=0.1)
    later(arrangement, rests_s)

    assert await arrangement.shell.take(request, deliveries=3) is None
    assert (tool.looked, len(tool.paid)) == (1, 1)


async def test_a_process_looks_again_soon_at_what_it_did_itself() -> None:
    tool = Reconciled(Unsure("cut"), recovery="reconcile")
    arrangement = await asked(tool)
    request = await until(arrangement, ToolRequested)

    assert await arrangement.shell.take(request) == BUSY_S
    assert await arrangement.shell.take(request, deliveries=2) is None

    assert (tool.runs, tool.looked, len(tool.paid)) == (2, 1, 1)


# -- the gate is asked again ------------------------------------------------------------------

CHANGES: dict[str, dict[str, Any]] = {
    "does more than this version of the agent allows": {"effect": "external"},
    "'iban' is a required property": {"parameters": {"type": "object", "required": ["iban"]}},
}


@pytest.mark.parametrize(("why", "changes"), CHANGES.items(), ids=["effect", "schema"])
async def test_what_the_gate_forbids_by_now_is_unknown_and_not_run_again(
    why: str, changes: dict[str, Any]
) -> None:
    tool = Payments(Dies(), recovery="idempotent")
    arrangement = await died(tool)
    tool.spec = replace(tool.spec, **changes)

    await again(arrangement)

    (outcome,) = await outcomes(arrangement)
    assert isinstance(outcome, ToolUnknown)
    assert why in outcome.reason
    assert (tool.runs, tool.paid) == (1, [])


@pytest.mark.parametrize("changes", CHANGES.values(), ids=["effect", "schema"])
@pytest.mark.parametrize("end", ["dies", Dies()], ids=["happened", "did not"])
async def test_and_is_looked_up_where_that_can_be(end: Any, changes: dict[str, Any]) -> None:
    tool = Reconciled(end, recovery="reconcile")
    arrangement = await died(tool)
    tool.spec = replace(tool.spec, **changes)

    await again(arrangement)

    (outcome,) = await outcomes(arrangement)
    assert (tool.runs, tool.looked) == (1, 1)
    if end == "dies":
        assert outcome == ToolReturned("r1.1", 1, "paid before")
    else:
        assert isinstance(outcome, ToolFailed)
        assert outcome.reason.startswith("it did not happen, and is not tried again: ")


@pytest.mark.parametrize(("amount", "runs"), [(5, 1), (5_000, 0)])
async def test_a_start_that_was_forged_does_not_pass_by_a_constraint(
    amount: int, runs: int
) -> None:
    tool = Payments(recovery="idempotent")
    arrangement = Arrangement(replies=(PAY, DONE), tools=[tool])
    await arrangement.start(
        replace(AGENT, grants={"pay": Grant(arguments={"amount": {"maximum": 50}})})
    )
    await arrangement.say("Pay.")
    await until(arrangement, ReasonRequested)
    await forge(arrangement, ToolRequested("r1.1", 1, "pay", {"amount": amount}))
    await forge(arrangement, ToolStarted("r1.1", 1, "nobody"))

    await again(arrangement)

    (outcome,) = await outcomes(arrangement)
    assert isinstance(outcome, ToolReturned if runs else ToolUnknown)
    assert tool.runs == runs


# -- for whom ---------------------------------------------------------------------------------


@pytest.mark.parametrize("recovery", ["idempotent", "reconcile"])
async def test_it_is_taken_up_for_the_contact_who_asked(recovery: Recovery) -> None:
    tool = Watched(Dies(), recovery=recovery)
    tool.go.set()
    arrangement = await died(tool)
    await arrangement.append("c1", BOB, key="m2")

    await again(arrangement)

    assert len(tool.paid) == 1
    assert set(tool.contacts) == {"ada"}


async def test_also_when_another_contacts_turn_runs_by_then() -> None:
    tool = Watched("dies")
    tool.go.set()
    arrangement = await died(tool)
    request = await until(arrangement, ToolRequested)
    await arrangement.cancel()
    asks = await arrangement.append("c1", BOB, key="m2")
    await arrangement.shell.take(asks)
    later(arrangement, 20)

    await arrangement.shell.take(request, deliveries=2)

    state = (await arrangement.rest()).state
    assert state.turn is not None
    assert (state.turn.number, state.turn.contact) == (2, "bob")
    assert tool.contacts == ["ada", "ada"]


# -- when its turn is over --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("end", "outcome"),
    [
        ("dies", ToolReturned("r1.1", 1, "paid before")),
        (
            Dies(),
            ToolFailed("r1.1", 1, "it did not happen, and is not tried again: its turn is over"),
        ),
    ],
    ids=["happened", "did not"],
)
async def test_after_its_turn_it_is_only_looked_up(end: Any, outcome: Event) -> None:
    tool = Reconciled(end, recovery="reconcile")
    arrangement = await died(tool)
    await arrangement.cancel()

    await again(arrangement)

    assert (tool.runs, tool.looked) == (1, 1)
    assert await outcomes(arrangement) == [outcome]


async def test_after_its_turn_it_is_unknown_where_it_cannot_be_looked_up() -> None:
    tool = Payments(Dies(), recovery="idempotent")
    arrangement = await died(tool)
    await arrangement.cancel()

    await again(arrangement)

    assert (tool.runs, tool.paid) == (1, [])
    assert await outcomes(arrangement) == [ToolUnknown("r1.1", 1, OVER)]


async def test_what_is_delivered_again_days_later_is_not_done_then() -> None:
    tool = Payments(Dies(), recovery="idempotent")
    arrangement = await died(tool)
    request = await until(arrangement, ToolRequested)
    later(arrangement, 2 * 86_400)

    await arrangement.shell.take(request, deliveries=2)

    assert tool.paid == []
    assert await happened(arrangement, TurnExpired) == [TurnExpired(1)]
    assert await outcomes(arrangement) == [ToolUnknown("r1.1", 1, OVER)]


# -- what came of it can be written down ------------------------------------------------------

HALF = "\ud83d"
ODD: dict[str, Any] = {
    "text": f"a{HALF}b",
    "text inside": {"x": [HALF]},
    "name": {HALF: 1},
    "large": {"a": 2**70},
    "endless": float("inf"),
    "no name": {(1, 2): 3},
    "says no": ToolError(HALF),
    "is unsure": Unsure(HALF),
    "is broken": RuntimeError(HALF),
}


@pytest.mark.parametrize("effect", ["read", "write"])
@pytest.mark.parametrize("said", ODD.values(), ids=ODD.keys())
async def test_whatever_a_tool_says_the_conversation_goes_on(said: Any, effect: Effect) -> None:
    async def says(arguments: Arguments, call: str) -> Any:
        if isinstance(said, Exception):
            raise said
        return said

    tool = FunctionTool(ToolSpec("pay", effect=effect, trusted=True), says)
    arrangement = await asked(tool)

    await arrangement.run_to_rest()

    rest = await arrangement.rest()
    assert (rest.state.stopped, rest.answer) == ("", "Paid.")
    assert len(await outcomes(arrangement)) == 1


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        (ODD["text"], ToolReturned("r1.1", 1, "a?b")),
        (ODD["says no"], ToolFailed("r1.1", 1, "?")),
    ],
)
async def test_half_a_character_in_a_text_becomes_a_question_mark(
    said: Any, outcome: Event
) -> None:
    async def says(arguments: Arguments, call: str) -> Any:
        if isinstance(said, Exception):
            raise said
        return said

    arrangement = await asked(FunctionTool(ToolSpec("pay", effect="write", trusted=True), says))

    await arrangement.run_to_rest()

    assert await outcomes(arrangement) == [outcome]


async def test_an_effect_whose_outcome_cannot_be_written_down_is_unknown() -> None:
    async def says(arguments: Arguments, call: str) -> Any:
        return ODD["text inside"]

    arrangement = await asked(FunctionTool(ToolSpec("pay", effect="write", trusted=True), says))

    await arrangement.run_to_rest()

    (outcome,) = await outcomes(arrangement)
    assert isinstance(outcome, ToolUnknown)


async def test_a_process_that_gets_every_step_again_does_nothing() -> None:
    tool = Payments(recovery="never_repeat")
    arrangement = await crashed(tool)
    before = (await arrangement.rest()).entries

    for entry in before:
        assert await arrangement.restart().take(entry, deliveries=2) is None

    assert len(tool.paid) == 1
    assert (await arrangement.rest()).entries == before

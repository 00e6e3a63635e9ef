"""What an agreement of people must hold against: timers that are old or early, questions that were
altered, other spellings of a name, conversations that stopped; and that its log replays.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from msgspec.structs import replace

from stepfold.evaluation.replay import replay_log
from stepfold.events.event import (
    ApprovalDenied,
    ApprovalExpired,
    ApprovalGranted,
    ApprovalRequested,
    ConversationStopped,
    Reasoned,
    ReasonRequested,
    ToolRefused,
    ToolRequested,
    TurnExpired,
)
from stepfold.events.values import ToolCall
from stepfold.handlers.approvals import ApprovalRefused
from stepfold.handlers.decide import BY
from stepfold.handlers.shell import Shell
from stepfold.policy.agent import Agent, Limits
from stepfold.policy.gate import Who, digest_of_call
from stepfold.providers.model import Call, Reply
from stepfold.testing import Arrangement
from tests.handlers.delivering import KEY, forge, happened, until
from tests.handlers.test_approvals import DONE, REFUND, Refunds, agent, asked, grant, only

TURN = (*KEY, 1)


def patient(arrangement: Arrangement) -> Shell:
    """A process that sets a turn's durable timer only after an hour of its own."""
    arrangement.shell = Shell(
        arrangement.log,
        arrangement.agents,
        arrangement.timers,
        arrangement.workers,
        name="patient",
        clock=arrangement.clock,
        desk=arrangement.desk,
        grace_s=3_600.0,
    )
    return arrangement.shell


async def waited(by: Agent, refunds: Refunds | None = None) -> Arrangement:
    """A patient process has asked people, and still watches the turn."""
    refunds = refunds or Refunds()
    arrangement = Arrangement(replies=(REFUND, DONE), tools=[refunds.tool])
    patient(arrangement)
    await arrangement.start(by)
    await arrangement.say("Refund me.")
    await arrangement.run_to_rest()
    return arrangement


def after(arrangement: Arrangement, seconds: float) -> datetime:
    arrangement.clock.wait_until(arrangement.clock.at + timedelta(seconds=seconds))
    return arrangement.clock.at


# -- timers ----------------------------------------------------------------------------------


async def test_the_old_timer_of_a_question_does_not_end_a_turn_that_went_on() -> None:
    by = replace(agent(expires_s=100.0), limits=Limits(turn_s=600))
    arrangement = await waited(by)
    asked_until = (await only(arrangement)).due
    after(arrangement, 97)
    await grant(arrangement)
    await until(arrangement, ReasonRequested, call="r2")
    arrangement.clock.wait_until(asked_until)

    await arrangement.shell.expire(*TURN)

    assert await happened(arrangement, TurnExpired, ApprovalExpired) == []
    await arrangement.shell.close()


async def test_once_people_have_answered_the_turn_has_its_own_timer_again() -> None:
    by = replace(agent(expires_s=100.0), limits=Limits(turn_s=600))
    arrangement = await waited(by)
    answered = after(arrangement, 97)
    await grant(arrangement)

    await until(arrangement, ToolRequested)

    (due,) = arrangement.timers.due.values()
    assert due - answered == pytest.approx(timedelta(seconds=600), abs=timedelta(seconds=1))
    await arrangement.shell.close()


async def test_a_timer_that_fires_too_early_is_set_again() -> None:
    arrangement = await asked(by=agent(expires_s=100.0))
    due = (await only(arrangement)).due
    arrangement.timers.due.clear()

    await arrangement.shell.expire(*TURN)

    assert await happened(arrangement, ApprovalExpired) == []
    assert arrangement.timers.due == {TURN: due}


async def test_so_is_one_of_a_turn_that_nobody_is_asked_about() -> None:
    arrangement = Arrangement(replies=(DONE,))
    await arrangement.start(Agent("desk", models=("scripted",), limits=Limits(turn_s=60)))
    await arrangement.say("Hello.")
    asks = await until(arrangement, ReasonRequested)
    arrangement.timers.due.clear()

    await arrangement.shell.expire(*TURN)

    assert await happened(arrangement, TurnExpired) == []
    assert arrangement.timers.due == {TURN: asks.at + timedelta(seconds=60)}


async def test_a_timer_that_was_set_again_counts() -> None:
    arrangement = await asked(by=agent(expires_s=100.0))
    arrangement.timers.due.clear()
    await arrangement.shell.expire(*TURN)

    await arrangement.run_to_rest(past_approvals=True)

    assert await happened(arrangement, ApprovalExpired) == [ApprovalExpired("r1.1", 1)]


async def test_people_are_timed_while_the_turn_is_still_watched() -> None:
    arrangement = await waited(agent(expires_s=100.0))
    question = await until(arrangement, ApprovalRequested)
    set_by_now = dict(arrangement.timers.due)

    await arrangement.shell.close()

    ((turn, due),) = set_by_now.items()
    assert turn == TURN
    assert due - question.at == pytest.approx(timedelta(seconds=100), abs=timedelta(seconds=1))
    assert arrangement.timers.due == set_by_now


async def test_and_their_end_comes_without_anybody_who_watches() -> None:
    refunds = Refunds()
    arrangement = await waited(agent(expires_s=100.0), refunds)
    arrangement.restart()

    await arrangement.run_to_rest(past_approvals=True)

    assert await happened(arrangement, ApprovalExpired) == [ApprovalExpired("r1.1", 1)]
    assert (await arrangement.rest()).answer == "It is refunded."
    assert refunds.paid == []


# -- questions that were altered -----------------------------------------------------------------


async def altered(refunds: Refunds, *, shown: int = 8) -> Arrangement:
    """People are shown another refund than the one of 8000 that is wanted, under its digest."""
    arrangement = Arrangement(replies=(DONE,), tools=[refunds.tool])
    await arrangement.start(agent())
    await arrangement.say("Refund me.")
    await until(arrangement, ReasonRequested)
    wanted = ToolCall("r1.1", "refund", {"amount": 8_000})
    await forge(arrangement, Reasoned("r1", 1, "scripted", (wanted,)))
    question = ApprovalRequested("r1.1", 1, "refund", {"amount": shown}, OF_8000, "always", 3600.0)
    await forge(arrangement, question)
    return arrangement


OF_8000 = digest_of_call(Who(KEY[0], "", KEY[1]), "r1.1", "refund", {"amount": 8_000})
OPS = ApprovalGranted("r1.1", 1, OF_8000, "ops")


async def test_nobody_can_agree_to_a_question_under_the_digest_of_another_call() -> None:
    arrangement = await altered(Refunds())

    with pytest.raises(ApprovalRefused, match="tampered with the log; nothing was recorded"):
        await grant(arrangement)
    with pytest.raises(ApprovalRefused, match="tampered with the log; nothing was recorded"):
        await arrangement.approvals.deny(KEY, "r1.1", digest=OF_8000, person="ops")

    assert await happened(arrangement, ApprovalGranted, ApprovalDenied) == []


@pytest.mark.parametrize(("shown", "paid"), [(8, []), (8_000, [8_000])])
async def test_and_where_somebody_did_the_worker_refuses(shown: int, paid: list[int]) -> None:
    refunds = Refunds()
    arrangement = await altered(refunds, shown=shown)
    await arrangement.append("c1", OPS)

    await arrangement.run_to_rest()

    assert refunds.paid == paid
    why = "tool 'refund': what was approved is another call than this"
    told = [ToolRefused("r1.1", 1, "refund", why)] if not paid else []
    assert await happened(arrangement, ToolRefused) == told


async def test_an_agreement_is_of_the_contact_for_whom_it_was_wanted() -> None:
    """The digest has no contact in it, and the request names one: it is refused all the same."""
    refunds = Refunds()
    arrangement = await altered(refunds, shown=8_000)
    await arrangement.append("c1", OPS)
    await forge(
        arrangement, ToolRequested("r1.1", 1, "refund", {"amount": 8_000}, OF_8000, contact="eve")
    )

    await arrangement.run_to_rest()

    assert refunds.paid == []


# -- people ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ann", " ann", "ann ", "ann\n", "\tANN "])
async def test_one_person_in_another_spelling_counts_once(name: str) -> None:
    refunds = Refunds()
    arrangement = await asked(refunds=refunds, by=agent(people=2))
    await grant(arrangement, "ann")

    with pytest.raises(ApprovalRefused, match=r"(?i)ann approved it already"):
        await grant(arrangement, name)
    await arrangement.run_to_rest()

    assert refunds.paid == []


async def test_a_name_is_recorded_with_single_spaces() -> None:
    arrangement = await asked()

    await grant(arrangement, "  Ann \t Smith\n")

    (granted,) = await happened(arrangement, ApprovalGranted)
    assert isinstance(granted, ApprovalGranted)
    assert granted.person == "Ann Smith"


@pytest.mark.parametrize("name", ["", " ", "\n\t"])
async def test_nobody_is_no_person(name: str) -> None:
    arrangement = await asked()

    with pytest.raises(ApprovalRefused, match="nobody says who agrees: name the person"):
        await grant(arrangement, name)


async def test_one_who_agreed_may_still_say_no() -> None:
    refunds = Refunds()
    arrangement = await asked(refunds=refunds, by=agent(people=2))
    await grant(arrangement, "ann")
    request = (await only(arrangement)).agreement.request

    await arrangement.approvals.deny(KEY, request.call, digest=request.digest, person="ann")
    await arrangement.run_to_rest()

    (refused,) = await happened(arrangement, ToolRefused)
    assert isinstance(refused, ToolRefused)
    assert refused.reason == "ann denied it"
    assert refunds.paid == []


async def test_a_stopped_conversation_waits_for_nobody() -> None:
    refunds = Refunds()
    arrangement = await asked(refunds=refunds)
    request = (await only(arrangement)).agreement.request
    await arrangement.append("c1", ConversationStopped("poison"))

    assert await arrangement.waiting() == ()
    with pytest.raises(ApprovalRefused, match="its turn is over, so nothing waits for it"):
        await arrangement.approvals.grant(KEY, request.call, digest=request.digest, person="ops")
    await arrangement.run_to_rest(past_approvals=True)
    assert refunds.paid == []


# -- from the log alone ------------------------------------------------------------------------


async def answers(arrangement: Arrangement, how: str) -> None:
    """What people do about the refund that waits."""
    request = (await only(arrangement)).agreement.request
    await grant(arrangement, "ann")
    if how == "agreed":
        await grant(arrangement, "bob")
    if how == "denied":
        await arrangement.approvals.deny(KEY, request.call, digest=request.digest, person="bob")
    if how == "cancelled":
        await arrangement.cancel()
    await arrangement.run_to_rest(past_approvals=how == "late")


@pytest.mark.parametrize("how", ["agreed", "denied", "late", "cancelled", "open"])
async def test_a_log_with_people_in_it_replays_without_a_difference(how: str) -> None:
    wanted = Reply(calls=(Call("refund", {"amount": 80.0, "reference": 2**60}),))
    arrangement = await asked(wanted, DONE, by=agent(people=2))
    await answers(arrangement, how)

    report = await replay_log(arrangement.log, arrangement.agents, arrangement.routes)

    assert (report.differences, report.pending) == (0, 0), report.first
    assert report.decisions == len([e for e in (await arrangement.rest()).entries if e.by == BY])


async def test_a_process_that_dies_after_every_step_pays_once() -> None:
    refunds = Refunds()
    arrangement = Arrangement(replies=(REFUND, DONE), tools=[refunds.tool])
    await arrangement.start(agent(people=2))
    await arrangement.say("Refund me.")
    for person in ("ann", "bob", ""):
        await twice(arrangement)
        await arrangement.approve(person) if person else None

    assert refunds.paid == [80]
    assert (await arrangement.rest()).answer == "It is refunded."


async def twice(arrangement: Arrangement) -> None:
    """Every step so far and to come is taken by two new processes."""
    taken = 0
    while taken < len(entries := (await arrangement.rest()).entries):
        for deliveries in (1, 2):
            await arrangement.restart().take(entries[taken], deliveries=deliveries)
        taken += 1

"""A timer that is handed out again finishes what its first handling left."""

from __future__ import annotations

from stepfold.events.event import (
    ConversationStopped,
    MessageReceived,
    ReasonFailed,
    ReasonRequested,
    TurnAbandoned,
    TurnExpired,
)
from stepfold.policy.agent import Agent
from stepfold.providers.model import Reply
from stepfold.testing import CUSTOMER, Arrangement

AGENT = Agent("desk", models=("scripted",))


async def test_who_ended_a_turn_and_died_left_a_message_unheard() -> None:
    arrangement = Arrangement(replies=[Reply("Hello.")])
    await arrangement.start(AGENT)
    for event in (
        MessageReceived("one"),
        ReasonRequested("r1", 1, "scripted", heard=1),
        MessageReceived("two"),
        TurnExpired(1),
        TurnAbandoned(1, "time"),
        ReasonFailed("r1", 1, "scripted", "over"),
    ):
        await arrangement.append("c1", event)

    await arrangement.shell.expire(CUSTOMER, "c1", 1)

    assert ReasonRequested("r2", 2, "scripted", heard=1) in (await arrangement.rest()).events


async def test_a_timer_of_a_conversation_that_cannot_be_read_stops_it() -> None:
    arrangement = Arrangement()
    await arrangement.start(AGENT)
    await arrangement.append("c1", MessageReceived("one"))
    await arrangement.append("c1", ReasonRequested("r1", 1, "scripted", heard=1))
    arrangement.log.inject(f"steps.{CUSTOMER}.c1.dance.danced", b"\xff{")

    assert await arrangement.shell.fire(CUSTOMER, "c1", 1) is None

    assert any(isinstance(e, ConversationStopped) for e in (await arrangement.rest()).events)

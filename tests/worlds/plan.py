"""What a world is made of, drawn from its seed: an agent, its contacts, and what goes wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from random import Random
from typing import Literal

from msgspec import Struct

from stepfold.events.event import (
    Event,
    ReasonRequested,
    ResponseGiven,
    RetrievalRequested,
    ToolRequested,
)
from stepfold.handlers.decide import Veto
from stepfold.policy.agent import Agent, Limits, SecondMessage
from stepfold.policy.grant import Approval, Grant
from stepfold.policy.grants import resolve
from stepfold.policy.toolspec import ToolSpec
from stepfold.projections.state import Conversation
from tests.worlds.tools import specs

SECOND: tuple[SecondMessage, ...] = ("wait", "merge", "supersede")
Move = Literal["say", "repeat", "cancel", "generate", "expire", "garbage", "stranger", "unfenced"]
POISON = frozenset({"garbage", "stranger", "unfenced"})
TOOLS = ("t1", "t2", "keyed", "keyed", "found", "found", "look", "ghost")


class Plan(Struct, frozen=True):
    """`moves` come from outside, in this order; `faults` is how many things may go wrong."""

    agent: Agent
    specs: Mapping[str, ToolSpec]
    vetoes: tuple[Veto, ...]
    moves: tuple[tuple[str, Move], ...]
    processes: int
    faults: int
    trouble: float
    grace_s: float


def draw(chance: Random) -> Plan:
    made = specs(chance)
    agent = _agent(chance)
    return Plan(
        agent=resolve(agent, made) if agent.grants else agent,
        specs=made,
        vetoes=(_veto,) if chance.random() < 0.15 else (),
        moves=tuple(_moves(chance)),
        processes=chance.choice((1, 2, 2, 3)),
        faults=chance.choice((0, 1, 2, 4, 8)),
        trouble=chance.choice((0.0, 0.1, 0.3)),
        grace_s=chance.choice((0, 0, 3.0)),
    )


def _agent(chance: Random) -> Agent:
    """One in seven has no grants: its tools are as they were before there were any."""
    tools = tuple(dict.fromkeys(chance.sample(TOOLS, chance.choice((0, 1, 2, 3, 3)))))
    governed = chance.random() < 0.85
    return Agent(
        name="worldly",
        models=("m1", "m2")[: chance.choice((1, 1, 2))],
        tools=tools,
        grants={name: _grant(chance) for name in tools} if governed else {},
        collections=("facts",) if chance.random() < 0.4 else (),
        trusted=("facts",) if chance.random() < 0.5 else (),
        second_message=chance.choice(SECOND),
        limits=Limits(
            steps_max=chance.choice((1, 3, 5, 8)),
            calls_max=chance.choice((1, 2, 3)),
            attempts_max=chance.choice((1, 2, 3)),
            cost_usd_max=Decimal("0.05") if chance.random() < 0.2 else None,
            call_s=chance.choice((5.0, 60.0)),
            turn_s=chance.choice((20.0, 180.0)),
        ),
    )


def _grant(chance: Random) -> Grant:
    """One in three needs people, some of them not for `n` = 1; few must not have a greater one."""
    rule = None
    if chance.random() < 0.33:
        rule = Approval(
            people=chance.choice((1, 1, 2)),
            expires_s=chance.choice((30.0, 600.0)),
            unless={"n": {"const": 1}} if chance.random() < 0.25 else {},
        )
    most = {"n": {"maximum": 1}} if chance.random() < 0.1 else {}
    return Grant(safe=chance.random() < 0.3, arguments=most, approval=rule)


def _moves(chance: Random) -> list[tuple[str, Move]]:
    moves: list[tuple[str, Move]] = []
    for number in range(chance.choice((1, 1, 2, 2, 3))):
        conversation = f"v{number}"
        moves += [(conversation, "say")] * chance.choice((1, 2, 2, 3))
        others: Sequence[Move] = ("repeat", "cancel", "cancel", "expire", "generate")
        moves += [(conversation, chance.choice(others)) for _ in range(chance.choice((0, 0, 1, 2)))]
        if chance.random() < 0.04:
            moves.append((conversation, chance.choice(("garbage", "stranger", "unfenced"))))
    chance.shuffle(moves)
    return moves


def _veto(state: Conversation, event: Event) -> str | None:
    """A rule of the house that has something against every kind of step, now and then."""
    match event:
        case ToolRequested(call=call) | RetrievalRequested(call=call) if call.endswith("2"):
            return "no second call"
        case ReasonRequested(call=call) if call.endswith("4"):
            return "no fourth question"
        case ResponseGiven(text=text) if "bad" in text:
            return "no bad words"
        case _:
            return None

"""An agent without models of its own, the routes that choose for it, and what is decided so."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from stepfold.events.event import ConversationStarted, Event, ReasonFailed, ReasonRequested
from stepfold.handlers.choosing import World
from stepfold.handlers.decide import decide
from stepfold.policy.agent import Agent, digest
from stepfold.projections.conversation import evolve, replay
from stepfold.projections.state import Conversation
from stepfold.routing import Can, Candidate, Route, Routes

AGENT = Agent("desk", instructions="Be kind.", models=(), tools=("refund",), collections=("faq",))
STARTED = ConversationStarted("desk", digest(AGENT), channel="web")
SMALL, LARGE, FAR = Candidate("a/small"), Candidate("a/large"), Candidate("b/far")


def world(*candidates: Candidate, shadow: Sequence[Candidate] = (), **more: object) -> World:
    routes = Routes(
        (Route("converse", candidates, tuple(shadow), attempts_max=2),),
        {"b/far": Can(vision=True, context=1_000)},
    )
    return replace(World("acme", routes, "sha256:t", hour=9), **more)


class Given:
    """A conversation that is decided on with one world after the other."""

    def __init__(self, *events: Event, agent: Agent = AGENT) -> None:
        self._agent = agent
        self.state: Conversation = replay((STARTED, *events))

    def when(self, world: World, *events: Event) -> tuple[Event, ...]:
        self.state = replay(events, self.state)
        done: list[Event] = []
        while missing := decide(self._agent, self.state, (), world):
            done.append(missing[0])
            self.state = evolve(self.state, missing[0])
        return tuple(done)


def asked(events: Sequence[Event]) -> ReasonRequested:
    (request,) = events
    assert isinstance(request, ReasonRequested)
    return request


def failed(request: ReasonRequested, reason: str = "busy", *, again: bool = True) -> ReasonFailed:
    return ReasonFailed(
        request.call, request.turn, request.model, reason, retryable=again, attempt=request.attempt
    )

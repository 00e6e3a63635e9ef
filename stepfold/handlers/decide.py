"""What an agent does next. Pure, and convergent: it asks the state what is missing, so that
deciding twice, or after a crash between two appends, gives what is still missing and no more.

    after                            the agent
    a message                        asks the model, unless it is thinking or waiting
    an answer with calls             requests each permitted call, refuses the others, asks people
                                     first where they must agree
    an answer of text only           responds, as its rules have it; or asks again if a message is
                                     to be merged
    the last tool outcome            asks the model
    a model failure, retryable       asks the next model on its list, in the end the same again
    a model failure, not retryable   asks the next model on its route, else abandons the turn
    a prompt that was too long       asks the same model once more, with less
    a response, an abandoned turn    asks again if a message is still unheard
    any ask at a limit               abandons the turn, with the reason
    a generation that failed         mends it, asks the next model, or abandons it
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from msgspec.structs import replace

from stepfold.events.citation import refusal
from stepfold.events.event import (
    ApprovalRequested,
    CodeRequested,
    Event,
    Reasoned,
    ReasonFailed,
    ReasonRequested,
    ResponseGiven,
    RetrievalRequested,
    ToolRefused,
    ToolRequested,
    TurnAbandoned,
    TurnCancelled,
)
from stepfold.events.transcript import files_of
from stepfold.events.values import (
    Arguments,
    Choice,
    Citation,
    Refusal,
    RefusedCitation,
    Text,
    ToolCall,
)
from stepfold.handlers.answering import given_by
from stepfold.handlers.choosing import World, after, backoff_s, choice, listed, routing_of, shown
from stepfold.handlers.jobs import next_attempts, rounds_max
from stepfold.policy.agent import RUN_CODE, SEARCH, Agent, offered
from stepfold.policy.gate import Who, approval_for, digest_of_call, why_not
from stepfold.policy.grant import Approval
from stepfold.policy.taint import tainted
from stepfold.projections.conversation import OVERFLOW, evolve
from stepfold.projections.state import Agreement, Conversation, Turn
from stepfold.routing import Pick, Routing

BY = "agent"

Veto = Callable[[Conversation, Event], str | None]
"""A vetoing hook: why this step must not be taken, or None. Pure, because replay asks it again."""

BUDGET = "budget"
"""The reason of a call that did not go out, because no budget has room for it."""
NOTHING: tuple[Event, ...] = ()
NOWHERE = World()


def decide(
    agent: Agent, state: Conversation, vetoes: Sequence[Veto] = (), world: World = NOWHERE
) -> tuple[Event, ...]:
    """The steps that are missing in `state`, in order; empty when it is somebody else's move."""
    if state.stopped or state.unreadable:
        return NOTHING
    missing = _next(agent, state, world) if state.agent else NOTHING
    return (*_permitted(missing, state, vetoes), *next_attempts(state, world))


def _next(agent: Agent, state: Conversation, world: World) -> tuple[Event, ...]:
    turn = state.turn
    if turn is None:
        return _open(agent, state, world) if state.unheard else NOTHING
    if turn.expired:
        return _abandon(turn, "time", f"the turn took longer than {agent.limits.turn_s:g} s")
    if state.unheard and agent.second_message == "supersede":
        return (TurnCancelled(turn.number, "superseded by a newer message"),)
    if turn.thinking:
        return tuple(_shadows(agent, state, world))
    if turn.failure:
        return _after_failure(agent, state, turn, turn.failure, world)
    if turn.waiting:
        return tuple(_request(agent, state, turn, world))
    if turn.answer is None or (state.unheard and agent.second_message == "merge"):
        return _ask(agent, state, turn, world)
    return _respond(agent, state, turn, turn.answer)


def _open(agent: Agent, state: Conversation, world: World) -> tuple[Event, ...]:
    turn = Turn(state.turns + 1)
    if agent.channels and state.channel not in agent.channels:
        told = f"{state.channel or 'no channel'}: not one of {', '.join(agent.channels)}"
        return _abandon(turn, "channel", told)
    return _ask(agent, state, turn, world)


# -- asking -------------------------------------------------------------------------------------


def _ask(agent: Agent, state: Conversation, turn: Turn, world: World) -> tuple[Event, ...]:
    if turn.asks >= agent.limits.steps_max:
        return _abandon(turn, "steps", f"the model was asked {turn.asks} times in this turn")
    routing = routing_of(agent, state, world)
    if spent := _spent(agent, turn, routing, world):
        return spent
    if not routing.picks:
        told = "; ".join((f"{routing.route}: no model fits", *routing.passed))
        return _abandon(turn, "model", told, choice(routing, None, world, "none fits"))
    why = choice(routing, routing.picks[0], world, "the first that fits")
    asked = _asked(agent, state, turn, world, routing.picks[0], why)
    return (asked, *_shadows(agent, evolve(state, asked), world))


def _spent(agent: Agent, turn: Turn, routing: Routing, world: World) -> tuple[Event, ...]:
    """The end of a turn that has no money left, else nothing."""
    most = agent.limits.cost_usd_max
    if most is not None and turn.spent_usd >= most:
        return _abandon(turn, "cost", f"{turn.spent_usd} of {most} USD are spent")
    if world.budget == "refuse":
        told = f"{world.budget_left_usd} USD of the budget are left"
        return _abandon(turn, BUDGET, told, choice(routing, None, world, "no budget"))
    return NOTHING


def _after_failure(
    agent: Agent, state: Conversation, turn: Turn, failure: ReasonFailed, world: World
) -> tuple[Event, ...]:
    told = f"{failure.model}: {failure.reason}" + (f": {failure.detail}" if failure.detail else "")
    routing = routing_of(agent, state, world)
    left = [pick for pick in routing.picks if pick.model not in turn.ruled_out]
    if not left or (listed(routing) and turn.ruled_out):
        reason = failure.reason if failure.reason == BUDGET else "model"
        return _abandon(turn, reason, told, choice(routing, None, world, told))
    if turn.attempt >= rounds_max(routing.attempts_max, failure.reason) * len(routing.picks):
        detail = f"{turn.attempt} attempts failed, the last: {told}"
        return _abandon(turn, "model", detail, choice(routing, None, world, told))
    if spent := _spent(agent, turn, routing, world):
        return spent
    pick = after(turn.model, routing.picks, left)
    compact = state.compact
    if failure.reason == OVERFLOW and not turn.compacted:
        compact = max(1, min(state.characters, compact or state.characters) // 2)
        pick = next((each for each in left if each.model == turn.model), pick)
    rounds = turn.attempt // len(routing.picks) if compact == state.compact else 0
    asked_s = failure.delay_s if pick.model == turn.model or listed(routing) else 0
    why = choice(routing, pick, world, f"after {told}")
    again = replace(
        _asked(agent, state, turn, world, pick, why),
        attempt=turn.attempt + 1,
        delay_s=backoff_s(agent.limits, rounds, asked_s),
        compact=compact,
    )
    return (again,)


def _asked(
    agent: Agent, state: Conversation, turn: Turn, world: World, pick: Pick, why: Choice | None
) -> ReasonRequested:
    opens = state.turn is None or agent.second_message == "merge"
    return ReasonRequested(
        call=f"r{state.asked + 1}",
        turn=turn.number,
        model=pick.model,
        tools=shown(agent, world),
        heard=len(state.unheard) if opens else 0,
        choice=why,
        options=pick.options,
        compact=state.compact,
    )


def _shadows(agent: Agent, state: Conversation, world: World) -> Iterator[Event]:
    """Models that are asked beside the one that is, once for each ask."""
    turn = state.turn
    assert turn is not None
    if turn.attempt > 1:
        return
    routing = routing_of(agent, state, world)
    for number, pick in enumerate(routing.shadow[turn.shadows :], start=turn.shadows + 1):
        why = choice(routing, pick, world, "a shadow")
        yield replace(
            _asked(agent, state, turn, world, pick, why),
            call=f"{turn.thinking}s{number}",
            heard=0,
            shadow=True,
            upto=len(state.transcript),
        )


# -- what an answer calls for -------------------------------------------------------------------


def _request(agent: Agent, state: Conversation, turn: Turn, world: World) -> Iterator[Event]:
    """For each wanted call that is neither requested nor settled, the step that takes it on, unless
    it waits for people.
    """
    for index, call in enumerate(turn.wanted):
        if call.call in turn.settled or call.call in state.open:
            continue
        agreement = turn.agreements.get(call.call)
        why = _forbidden(agent, turn, call, index, world)
        if why is None and agreement is not None:
            why = agreement.refused or None
        if why is not None:
            yield ToolRefused(call.call, turn.number, call.name, why)
        elif agreement is None and (asked := _approval(agent, turn, call, world)):
            yield asked
        elif agreement is None or agreement.complete:
            yield _requested(agent, state, turn, call, agreement)


def _requested(
    agent: Agent, state: Conversation, turn: Turn, call: ToolCall, agreement: Agreement | None
) -> Event:
    if call.name in agent.tools:
        agreed = agreement.request.digest if agreement else ""
        contact = turn.contact if agent.grants else ""
        return ToolRequested(call.call, turn.number, call.name, call.arguments, agreed, contact)
    if call.name == RUN_CODE:
        files = tuple(files_of(state.transcript))[-CODE_FILES_MAX:]
        return CodeRequested(call.call, turn.number, call.arguments["code"], agent.sandbox, files)
    return RetrievalRequested(
        call=call.call,
        turn=turn.number,
        query=call.arguments["query"],
        collections=agent.collections,
        passages_max=agent.passages_max,
    )


def _forbidden(agent: Agent, turn: Turn, call: ToolCall, index: int, world: World) -> str | None:
    permitted = tuple(name for name in offered(agent) if name in turn.offered)
    if call.name not in permitted:
        known = ", ".join(permitted) or "none"
        return f"tool {call.name!r} is not allowed for agent {agent.name!r} (allowed: {known})"
    if index >= agent.limits.calls_max:
        return f"an answer may make {agent.limits.calls_max} calls, this is number {index + 1}"
    needs = NEEDS.get(call.name) if call.name not in agent.tools else None
    if needs is not None:
        name, what = needs
        given = call.arguments.get(name)
        if not given or not isinstance(given, str):
            return f"{call.name} needs {what}"
    return why_not(agent, call.name, call.arguments, who(turn, world))


CODE_FILES_MAX = 32
"""So many of the conversation's last files lie in the folder of code that runs."""
NEEDS = {
    SEARCH: ("query", 'an argument "query" with the words to search for'),
    RUN_CODE: ("code", 'an argument "code" with the Python to run'),
}
"""What the calls that are ours must have."""


def _approval(agent: Agent, turn: Turn, call: ToolCall, world: World) -> ApprovalRequested | None:
    """The question to people, where this call needs their agreement."""
    rule = rule_for(agent, turn, call.name, call.arguments, who(turn, world))
    if rule is None:
        return None
    approval, why = rule
    return ApprovalRequested(
        call=call.call,
        turn=turn.number,
        name=call.name,
        arguments=call.arguments,
        digest=digest_of_call(who(turn, world), call.call, call.name, call.arguments),
        reason=why,
        expires_s=approval.expires_s,
        people=approval.people,
    )


def rule_for(
    agent: Agent, turn: Turn, name: str, arguments: Arguments, asks: Who
) -> tuple[Approval, str] | None:
    """Who must agree to a call that is wanted in this turn, and why; None = nobody."""
    strange = tainted(agent, turn.read, turn.contact)
    return approval_for(agent, name, arguments, asks, tainted=strange)


def who(turn: Turn, world: World) -> Who:
    """For whom the turn runs."""
    return Who(world.customer, turn.contact, world.conversation)


def _respond(agent: Agent, state: Conversation, turn: Turn, answer: Reasoned) -> tuple[Event, ...]:
    text = "".join(part.text for part in answer.parts if isinstance(part, Text | Refusal))
    if not text.strip():
        return _abandon(turn, "empty", f"the model's answer has no text (finish: {answer.finish})")
    given = [c for part in answer.parts if isinstance(part, Text) for c in part.citations]
    accepted, refused = _check(given, state)
    if agent.answers is None:
        return (ResponseGiven(turn.number, text, accepted, refused),)
    return (given_by(agent.answers, turn.number, text, accepted, refused),)


def _check(
    citations: Sequence[Citation], state: Conversation
) -> tuple[tuple[Citation, ...], tuple[RefusedCitation, ...]]:
    why = [(citation, refusal(citation, state.passages)) for citation in citations]
    return (
        tuple(citation for citation, reason in why if reason is None),
        tuple(RefusedCitation(citation, reason) for citation, reason in why if reason),
    )


def _abandon(turn: Turn, reason: str, detail: str, why: Choice | None = None) -> tuple[Event, ...]:
    return (TurnAbandoned(turn.number, reason, detail, why),)


def _permitted(
    events: Sequence[Event], state: Conversation, vetoes: Sequence[Veto]
) -> Iterator[Event]:
    """What vetoes leave of `events`, or put in their place. After an ask that must not be there is
    no shadow of it, and after a shadow that must not be no other, since they are numbered.
    """
    for event in events:
        permitted = _permit(event, state, vetoes)
        if isinstance(event, ReasonRequested) and permitted is not event:
            yield from () if event.shadow else (permitted,)
            return
        yield permitted


def _permit(event: Event, state: Conversation, vetoes: Sequence[Veto]) -> Event:
    why = next((reason for veto in vetoes if (reason := veto(state, event))), None)
    if why is None:
        return event
    match event:
        case ToolRequested() | ApprovalRequested():
            return ToolRefused(event.call, event.turn, event.name, why)
        case CodeRequested():
            return ToolRefused(event.call, event.turn, RUN_CODE, why)
        case RetrievalRequested():
            return ToolRefused(event.call, event.turn, SEARCH, why)
        case ReasonRequested():
            return TurnAbandoned(event.turn, "vetoed", why, event.choice)
        case ResponseGiven():
            return TurnAbandoned(event.turn, "vetoed", why)
        case _:
            return event

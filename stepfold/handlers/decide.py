"""What an agent does next. Pure, and convergent: it asks the state what is missing, so that
deciding twice, or after a crash between two appends, gives what is still missing and no more.

    after                            the agent
    a message                        asks the model, unless it is thinking or waiting
    an answer with calls             requests each permitted call, refuses the others
    an answer of text only           responds; or asks again if a message is to be merged
    the last tool outcome            asks the model
    a model failure, retryable       asks the next model on its list
    a model failure, not retryable   abandons the turn
    a response, an abandoned turn    asks again if a message is still unheard
    any ask at a limit               abandons the turn, with the reason
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from stepfold.events.citation import refusal
from stepfold.events.event import (
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
from stepfold.events.values import Citation, Refusal, RefusedCitation, Text, ToolCall
from stepfold.policy.agent import SEARCH, Agent, offered
from stepfold.projections.conversation import Conversation, Turn

BY = "agent"

Veto = Callable[[Conversation, Event], str | None]
"""A vetoing hook: why this step must not be taken, or None. Pure, because replay asks it again."""

NOTHING: tuple[Event, ...] = ()


def decide(agent: Agent, state: Conversation, vetoes: Sequence[Veto] = ()) -> tuple[Event, ...]:
    """The steps that are missing in `state`, in order; empty when it is somebody else's move."""
    if not state.agent or state.stopped or state.unreadable:
        return NOTHING
    return tuple(_permit(event, state, vetoes) for event in _next(agent, state))


def _next(agent: Agent, state: Conversation) -> tuple[Event, ...]:
    turn = state.turn
    if turn is None:
        return _ask(agent, state, Turn(state.turns + 1)) if state.unheard else NOTHING
    if turn.expired:
        return _abandon(turn, "time", f"the turn took longer than {agent.limits.turn_s:g} s")
    if state.unheard and agent.second_message == "supersede":
        return (TurnCancelled(turn.number, "superseded by a newer message"),)
    if turn.thinking:
        return NOTHING
    if turn.failure:
        return _after_failure(agent, state, turn, turn.failure)
    if turn.waiting:
        return tuple(_request(agent, state, turn))
    if turn.answer is None or (state.unheard and agent.second_message == "merge"):
        return _ask(agent, state, turn)
    return _respond(state, turn, turn.answer)


def _ask(
    agent: Agent, state: Conversation, turn: Turn, *, attempt: int = 1, delay_s: float = 0
) -> tuple[Event, ...]:
    limits = agent.limits
    if attempt == 1 and turn.asks >= limits.steps_max:
        return _abandon(turn, "steps", f"the model was asked {turn.asks} times in this turn")
    if limits.cost_usd_max is not None and turn.spent_usd >= limits.cost_usd_max:
        return _abandon(turn, "cost", f"{turn.spent_usd} of {limits.cost_usd_max} USD are spent")
    if not agent.models:
        return _abandon(turn, "model", f"agent {agent.name!r} has no model")
    opens = state.turn is None or agent.second_message == "merge"
    return (
        ReasonRequested(
            call=f"r{state.asked + 1}",
            turn=turn.number,
            model=agent.models[(attempt - 1) % len(agent.models)],
            tools=offered(agent),
            heard=len(state.unheard) if opens else 0,
            attempt=attempt,
            delay_s=delay_s,
        ),
    )


def _after_failure(
    agent: Agent, state: Conversation, turn: Turn, failure: ReasonFailed
) -> tuple[Event, ...]:
    told = f"{failure.model}: {failure.reason}" + (f": {failure.detail}" if failure.detail else "")
    if not failure.retryable:
        return _abandon(turn, "model", told)
    if turn.attempt >= agent.limits.attempts_max * len(agent.models):
        return _abandon(turn, "model", f"{turn.attempt} attempts failed, the last: {told}")
    rounds = turn.attempt // len(agent.models)
    backoff = agent.limits.backoff_s * 2 ** (rounds - 1) if rounds else 0
    delay_s = min(max(backoff, failure.delay_s), agent.limits.backoff_s_max)
    return _ask(agent, state, turn, attempt=turn.attempt + 1, delay_s=delay_s)


def _request(agent: Agent, state: Conversation, turn: Turn) -> Iterator[Event]:
    """Each wanted call that is neither requested nor settled: a request, or a refusal."""
    for index, call in enumerate(turn.wanted):
        if call.call in turn.settled or call.call in state.open:
            continue
        why = _forbidden(agent, call, index)
        if why:
            yield ToolRefused(call.call, turn.number, call.name, why)
        elif call.name == SEARCH and SEARCH not in agent.tools:
            yield RetrievalRequested(
                call=call.call,
                turn=turn.number,
                query=call.arguments["query"],
                collections=agent.collections,
                passages_max=agent.passages_max,
            )
        else:
            yield ToolRequested(call.call, turn.number, call.name, call.arguments)


def _forbidden(agent: Agent, call: ToolCall, index: int) -> str | None:
    permitted = offered(agent)
    if call.name not in permitted:
        known = ", ".join(permitted) or "none"
        return f"tool {call.name!r} is not allowed for agent {agent.name!r} (allowed: {known})"
    if index >= agent.limits.calls_max:
        return f"an answer may make {agent.limits.calls_max} calls, this is number {index + 1}"
    query = call.arguments.get("query")
    if call.name == SEARCH and SEARCH not in agent.tools and not (query and isinstance(query, str)):
        return 'search needs an argument "query" with the words to search for'
    return None


def _respond(state: Conversation, turn: Turn, answer: Reasoned) -> tuple[Event, ...]:
    text = "".join(part.text for part in answer.parts if isinstance(part, Text | Refusal))
    if not text.strip():
        return _abandon(turn, "empty", f"the model's answer has no text (finish: {answer.finish})")
    given = [c for part in answer.parts if isinstance(part, Text) for c in part.citations]
    accepted, refused = _check(given, state)
    return (ResponseGiven(turn.number, text, accepted, refused),)


def _check(
    citations: Sequence[Citation], state: Conversation
) -> tuple[tuple[Citation, ...], tuple[RefusedCitation, ...]]:
    why = [(citation, refusal(citation, state.passages)) for citation in citations]
    return (
        tuple(citation for citation, reason in why if reason is None),
        tuple(RefusedCitation(citation, reason) for citation, reason in why if reason),
    )


def _abandon(turn: Turn, reason: str, detail: str) -> tuple[Event, ...]:
    return (TurnAbandoned(turn.number, reason, detail),)


def _permit(event: Event, state: Conversation, vetoes: Sequence[Veto]) -> Event:
    why = next((reason for veto in vetoes if (reason := veto(state, event))), None)
    if why is None:
        return event
    match event:
        case ToolRequested():
            return ToolRefused(event.call, event.turn, event.name, why)
        case RetrievalRequested():
            return ToolRefused(event.call, event.turn, SEARCH, why)
        case ReasonRequested() | ResponseGiven():
            return TurnAbandoned(event.turn, "vetoed", why)
        case _:
            return event

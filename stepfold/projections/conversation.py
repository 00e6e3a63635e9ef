"""The conversation as a fold over its steps. Pure and total: any step, in any state, has a meaning.

What belongs to a turn that is over changes only what was spent and what is still open; it never
reaches into the running turn.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import assert_never

from msgspec.structs import replace

from stepfold.events.event import (
    ApprovalDenied,
    ApprovalExpired,
    ApprovalGranted,
    ApprovalRequested,
    CodeRequested,
    ConversationStarted,
    ConversationStopped,
    Event,
    FeedbackGiven,
    Generated,
    GenerationAbandoned,
    GenerationFailed,
    GenerationRequested,
    MessageReceived,
    Reasoned,
    ReasonFailed,
    ReasonRequested,
    ResponseDelivered,
    ResponseGiven,
    RetrievalFailed,
    RetrievalRequested,
    RetrievalReturned,
    ToolFailed,
    ToolRefused,
    ToolRequested,
    ToolReturned,
    ToolStarted,
    ToolUnknown,
    TurnAbandoned,
    TurnCancelled,
    TurnExpired,
    Unreadable,
)
from stepfold.events.transcript import Heard, Thought, sources
from stepfold.events.values import Text
from stepfold.projections.agreements import agree
from stepfold.projections.outcomes import settle
from stepfold.projections.state import (
    EMPTY,
    Conversation,
    Job,
    Turn,
    close,
    current,
    in_turn,
    spend,
)

MESSAGES_MAX = 64
"""How many of the last message ids are remembered, to hear a repeated one only once."""

OVERFLOW = "context_overflow"
"""The reason of a failure that a shorter prompt may mend."""


def replay(events: Iterable[Event], state: Conversation = EMPTY) -> Conversation:
    for event in events:
        state = evolve(state, event)
    return state


def evolve(state: Conversation, event: Event) -> Conversation:  # noqa: PLR0911, PLR0912
    match event:
        case ConversationStarted():
            return _start(state, event)
        case MessageReceived():
            return _hear(state, event)
        case ReasonRequested():
            return _ask(state, event)
        case Reasoned():
            return _reasoned(state, event)
        case ReasonFailed():
            return _reason_failed(state, event)
        case ToolRequested() | CodeRequested() | RetrievalRequested():
            return replace(state, open={**state.open, event.call: event})
        case GenerationRequested():
            return _generate(state, event)
        case ToolStarted():
            return replace(state, begun=state.begun | ({event.call} & state.open.keys()))
        case ToolReturned() | ToolFailed() | ToolRefused() | ToolUnknown():
            return settle(state, event)
        case RetrievalReturned() | RetrievalFailed():
            for paid in event.spent:
                state = spend(state, paid.cost_usd, turn=event.turn)
            return settle(state, event)
        case ApprovalRequested() | ApprovalGranted() | ApprovalDenied() | ApprovalExpired():
            return agree(state, event)
        case Generated() | GenerationFailed():
            return _generated(state, event)
        case GenerationAbandoned():
            return replace(state, jobs=_without(state.jobs, event.call))
        case ResponseGiven():
            return _respond(state, event)
        case TurnExpired():
            return in_turn(state, event.turn, expired=True)
        case TurnAbandoned():
            return _abandon(state, event)
        case TurnCancelled():
            return replace(state, turn=None) if current(state, event.turn) else state
        case ConversationStopped():
            return replace(state, stopped=event.reason)
        case Unreadable():
            return replace(state, unreadable=state.unreadable or event)
        case ResponseDelivered() | FeedbackGiven():
            return state
        case _:
            assert_never(event)


def _start(state: Conversation, event: ConversationStarted) -> Conversation:
    if state.agent:
        return state
    return replace(
        state,
        agent=event.agent,
        digest=event.digest,
        origin=event.origin,
        channel=event.channel,
    )


def _hear(state: Conversation, event: MessageReceived) -> Conversation:
    if event.message in state.messages:
        return state
    messages = (*state.messages, event.message)[-MESSAGES_MAX:] if event.message else state.messages
    return replace(
        state,
        unheard=(*state.unheard, Heard(event.text, event.files, event.contact)),
        messages=messages,
        language=event.language or state.language,
        characters=state.characters + len(event.text),
        files=state.files or bool(event.files),
    )


def _ask(state: Conversation, event: ReasonRequested) -> Conversation:
    if event.shadow:
        return _shadow(state, event)
    running = state.turn if current(state, event.turn) else None
    turn = running or Turn(event.turn)
    again = event.attempt > 1
    heard, unheard = state.unheard[: event.heard], state.unheard[event.heard :]
    contacts = {item.contact for item in heard} | ({running.contact} if running else set())
    return replace(
        state,
        transcript=state.transcript + heard,
        unheard=unheard,
        turn=Turn(
            number=turn.number,
            asks=turn.asks + (event.attempt == 1),
            attempt=event.attempt,
            thinking=event.call,
            model=event.model,
            offered=event.tools,
            shadows=turn.shadows if again else 0,
            ruled_out=turn.ruled_out if again else frozenset(),
            compacted=again and (turn.compacted or event.compact != state.compact),
            spent_usd=turn.spent_usd,
            expired=turn.expired,
            contact=contacts.pop() if len(contacts) == 1 else "",
        ),
        read=state.read | sources(heard),
        turns=event.turn,
        asked=state.asked + 1,
        compact=event.compact,
        open={**state.open, event.call: event},
    )


def _shadow(state: Conversation, event: ReasonRequested) -> Conversation:
    state = replace(state, open={**state.open, event.call: event})
    if state.turn is None or state.turn.number != event.turn:
        return state
    return replace(state, turn=replace(state.turn, shadows=state.turn.shadows + 1))


def _reasoned(state: Conversation, event: Reasoned) -> Conversation:
    mine = state.turn is not None and state.turn.thinking == event.call
    state = spend(close(state, event.call), event.cost_usd, turn=event.turn)
    if not mine:
        return state
    thought = Thought(event.parts, event.state)
    read = state.read | sources((thought,))
    state = replace(state, characters=state.characters + thought.characters, read=read)
    if not thought.calls:
        return in_turn(state, event.turn, thinking="", answer=event)
    state = replace(state, transcript=(*state.transcript, thought))
    return in_turn(state, event.turn, thinking="", wanted=thought.calls, read=read)


def _reason_failed(state: Conversation, event: ReasonFailed) -> Conversation:
    mine = state.turn is not None and state.turn.thinking == event.call
    state = spend(close(state, event.call), event.cost_usd, turn=event.turn)
    if not mine or state.turn is None:
        return state
    may = event.retryable or (event.reason == OVERFLOW and not state.turn.compacted)
    ruled_out = state.turn.ruled_out if may else state.turn.ruled_out | {state.turn.model}
    return in_turn(state, event.turn, thinking="", failure=event, ruled_out=ruled_out)


def _generate(state: Conversation, event: GenerationRequested) -> Conversation:
    name = event.job or event.call
    job = state.jobs.get(name)
    now = Job(event, ruled_out=job.ruled_out if job else frozenset())
    return replace(
        state,
        open={**state.open, event.call: event},
        jobs={**state.jobs, name: now},
    )


def _generated(state: Conversation, event: Generated | GenerationFailed) -> Conversation:
    request = state.open.get(event.call)
    state = spend(close(state, event.call), event.cost_usd)
    if not isinstance(request, GenerationRequested):
        return state
    name = request.job or request.call
    job = state.jobs.get(name)
    if job is None or isinstance(event, Generated):  # None: it was given up meanwhile
        return replace(state, jobs=_without(state.jobs, name))
    ruled_out = job.ruled_out if event.retryable else job.ruled_out | {request.model}
    return replace(state, jobs={**state.jobs, name: Job(request, event, ruled_out)})


def _without(jobs: Mapping[str, Job], name: str) -> Mapping[str, Job]:
    return {key: job for key, job in jobs.items() if key != name}


def _respond(state: Conversation, event: ResponseGiven) -> Conversation:
    """The answer joins the transcript when it is given: a draft that nobody saw is not said."""
    turn = state.turn
    if turn is not None and turn.number != event.turn:
        return state
    answer = turn.answer if turn else None
    if answer is None or event.reason:
        thought = Thought((Text(event.text, event.citations),))
    else:
        thought = Thought(answer.parts, answer.state)
    return replace(state, transcript=(*state.transcript, thought), turn=None)


def _abandon(state: Conversation, event: TurnAbandoned) -> Conversation:
    """A turn may be abandoned before its first ask; what it would have heard counts as heard."""
    if state.turn is None and event.turn == state.turns + 1:
        transcript = (*state.transcript, *state.unheard)
        read = state.read | sources(state.unheard)
        return replace(state, transcript=transcript, unheard=(), turns=event.turn, read=read)
    return replace(state, turn=None) if current(state, event.turn) else state

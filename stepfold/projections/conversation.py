"""The conversation as a fold over its steps. Pure and total: any step, in any state, has a meaning.

What belongs to a turn that is over changes only what was spent and what is still open; it never
reaches into the running turn.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, assert_never

import msgspec
from msgspec import Struct
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
    Request,
    ResponseDelivered,
    ResponseGiven,
    RetrievalFailed,
    RetrievalRequested,
    RetrievalReturned,
    ToolFailed,
    ToolOutcome,
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
from stepfold.events.transcript import Heard, Item, Result, Status, Thought, sources
from stepfold.events.values import Passage, Text, ToolCall

PASSAGES_MAX = 256
"""How many of the last retrieved passages a citation may rest on."""
MESSAGES_MAX = 64
"""How many of the last message ids are remembered, to hear a repeated one only once."""

OVERFLOW = "context_overflow"
"""The reason of a failure that a shorter prompt may mend."""
ZERO = Decimal(0)


class Agreement(Struct, frozen=True):
    """Whether people agree to a call: who did, or why it must not be (`refused`)."""

    request: ApprovalRequested
    people: tuple[str, ...] = ()
    refused: str = ""

    @property
    def complete(self) -> bool:
        return not self.refused and len(self.people) >= self.request.people

    @property
    def pending(self) -> bool:
        return not self.refused and not self.complete


class Turn(Struct, frozen=True):
    """The running turn. `thinking` is the call of the open ask; it goes to `model`, has `offered`
    these tools and has so many `shadows`. `wanted` is what its answer called, `agreements` are of
    those calls that need some; `read` is whose text had been read when they were wanted. `contact`
    is who is heard in it, empty when nobody told or several are. `ruled_out` are the models that
    cannot do this ask; `compacted` says that its prompt was cut.
    """

    number: int
    asks: int = 0
    attempt: int = 0
    thinking: str = ""
    wanted: tuple[ToolCall, ...] = ()
    settled: frozenset[str] = frozenset()
    answer: Reasoned | None = None
    failure: ReasonFailed | None = None
    spent_usd: Decimal = ZERO
    expired: bool = False
    model: str = ""
    offered: tuple[str, ...] = ()
    shadows: int = 0
    ruled_out: frozenset[str] = frozenset()
    compacted: bool = False
    agreements: Mapping[str, Agreement] = {}
    read: frozenset[str] = frozenset()
    contact: str = ""

    @property
    def pending(self) -> tuple[ApprovalRequested, ...]:
        """The calls that wait for people."""
        return tuple(each.request for each in self.agreements.values() if each.pending)

    @property
    def waiting(self) -> bool:
        return any(call.call not in self.settled for call in self.wanted)


class Job(Struct, frozen=True):
    """A generation without its end: the latest attempt, and how that failed. `ruled_out` are the
    models that cannot do it.
    """

    request: GenerationRequested
    failure: GenerationFailed | None = None
    ruled_out: frozenset[str] = frozenset()


class Conversation(Struct, frozen=True):
    """`open` holds every request without its outcome, of any turn; `begun` the tools that started.

    `turns` and `asked` count what there has been, so that the next turn and call can be named.
    `characters` is how much of it a model would be shown, of which the last `compact` are when that
    is not 0; `files` says whether an image or a document is among it. `read` is whose text stands
    in it: names of tools, and the sources of `events.transcript`.
    """

    agent: str = ""
    channel: str = ""
    language: str = ""
    characters: int = 0
    compact: int = 0
    files: bool = False
    digest: str = ""
    origin: str = ""
    transcript: tuple[Item, ...] = ()
    unheard: tuple[Heard, ...] = ()
    turn: Turn | None = None
    turns: int = 0
    asked: int = 0
    open: Mapping[str, Request] = {}
    jobs: Mapping[str, Job] = {}
    begun: frozenset[str] = frozenset()
    passages: tuple[Passage, ...] = ()
    messages: tuple[str, ...] = ()
    spent_usd: Decimal = ZERO
    stopped: str = ""
    unreadable: Unreadable | None = None
    read: frozenset[str] = frozenset()


EMPTY = Conversation()


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
            return _settle(state, event)
        case RetrievalReturned() | RetrievalFailed():
            for paid in event.spent:
                state = _spend(state, paid.cost_usd, turn=event.turn)
            return _settle(state, event)
        case ApprovalRequested() | ApprovalGranted() | ApprovalDenied() | ApprovalExpired():
            return _agree(state, event)
        case Generated() | GenerationFailed():
            return _generated(state, event)
        case GenerationAbandoned():
            return replace(state, jobs=_without(state.jobs, event.call))
        case ResponseGiven():
            return _respond(state, event)
        case TurnExpired():
            return _in_turn(state, event.turn, expired=True)
        case TurnAbandoned():
            return _abandon(state, event)
        case TurnCancelled():
            return replace(state, turn=None) if _current(state, event.turn) else state
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
    turn = state.turn
    if turn is None or turn.number != event.turn:
        turn = Turn(event.turn)
    again = event.attempt > 1
    heard, unheard = state.unheard[: event.heard], state.unheard[event.heard :]
    opens = state.turn is None or state.turn.number != event.turn
    contacts = {item.contact for item in heard} | (set() if opens else {turn.contact})
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
    state = _spend(_close(state, event.call), event.cost_usd, turn=event.turn)
    if not mine:
        return state
    thought = Thought(event.parts, event.state)
    read = state.read | sources((thought,))
    state = replace(state, characters=state.characters + thought.characters, read=read)
    if not thought.calls:
        return _in_turn(state, event.turn, thinking="", answer=event)
    state = replace(state, transcript=(*state.transcript, thought))
    return _in_turn(state, event.turn, thinking="", wanted=thought.calls, read=read)


def _reason_failed(state: Conversation, event: ReasonFailed) -> Conversation:
    mine = state.turn is not None and state.turn.thinking == event.call
    state = _spend(_close(state, event.call), event.cost_usd, turn=event.turn)
    if not mine or state.turn is None:
        return state
    may = event.retryable or (event.reason == OVERFLOW and not state.turn.compacted)
    ruled_out = state.turn.ruled_out if may else state.turn.ruled_out | {state.turn.model}
    return _in_turn(state, event.turn, thinking="", failure=event, ruled_out=ruled_out)


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
    state = _spend(_close(state, event.call), event.cost_usd)
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


def _settle(state: Conversation, event: ToolOutcome) -> Conversation:
    """The outcome of a call. A second outcome of the same call changes nothing."""
    turn = state.turn
    wanted = turn is not None and any(call.call == event.call for call in turn.wanted)
    if event.call not in state.open and not (wanted and isinstance(event, ToolRefused)):
        return state
    if turn is not None and event.call in turn.settled:
        return state
    result = _result(event, _name(state, event))
    transcript = (*state.transcript, result) if wanted else _late(state.transcript, result)
    state = replace(
        _close(state, event.call),
        transcript=transcript,
        passages=(state.passages + result.passages)[-PASSAGES_MAX:],
        characters=state.characters + result.characters,
        begun=state.begun - {event.call},
        read=state.read | sources((result,)),
    )
    if turn is None or not wanted:
        return state
    return _in_turn(state, turn.number, settled=turn.settled | {event.call})


def _agree(
    state: Conversation,
    event: ApprovalRequested | ApprovalGranted | ApprovalDenied | ApprovalExpired,
) -> Conversation:
    """What does not fit the call that waits, by turn or digest, changes nothing."""
    turn = state.turn
    if turn is None or turn.number != event.turn:
        return state
    asked = turn.agreements.get(event.call)
    if isinstance(event, ApprovalRequested):
        known = any(call.call == event.call for call in turn.wanted)
        now = Agreement(event) if asked is None and known else asked
    else:
        now = _agreed(asked, event) if asked is not None and asked.pending else asked
    if now is None or now is asked:
        return state
    return replace(state, turn=replace(turn, agreements={**turn.agreements, event.call: now}))


def _agreed(
    asked: Agreement, event: ApprovalGranted | ApprovalDenied | ApprovalExpired
) -> Agreement:
    if isinstance(event, ApprovalExpired):
        return replace(asked, refused=f"nobody approved it within {asked.request.expires_s:g} s")
    if event.digest != asked.request.digest or not event.person:
        return asked
    if isinstance(event, ApprovalDenied):
        why = f": {event.reason}" if event.reason else ""
        return replace(asked, refused=f"{event.person} denied it{why}")
    if any(same_person(event.person, each) for each in asked.people):
        return asked
    return replace(asked, people=(*asked.people, event.person))


def same_person(one: str, other: str) -> bool:
    """Two spellings of a name are one person."""
    return " ".join(one.split()).casefold() == " ".join(other.split()).casefold()


def _late(transcript: tuple[Item, ...], result: Result) -> tuple[Item, ...]:
    """The outcome of a turn that is over stands where its call does, not in the running turn."""
    for place in range(len(transcript), 0, -1):
        item = transcript[place - 1]
        if isinstance(item, Thought) and any(call.call == result.call for call in item.calls):
            return (*transcript[:place], result, *transcript[place:])
    return transcript


def _name(state: Conversation, event: ToolOutcome) -> str:
    if isinstance(event, ToolRefused):
        return event.name
    request = state.open[event.call]
    return request.name if isinstance(request, ToolRequested | CodeRequested) else "search"


def _result(event: ToolOutcome, name: str) -> Result:
    match event:
        case ToolReturned(result=told):
            text = told if isinstance(told, str) else msgspec.json.encode(told).decode()
            files = (event.file, *event.files) if event.file else event.files
            return Result(event.call, name, text, files=files)
        case RetrievalReturned():
            return Result(event.call, name, passages=event.passages)
        case _:
            status = _STATUS[type(event)]
            return Result(event.call, name, f"{status}: {event.reason}", status)


_STATUS: Mapping[type, Status] = {
    ToolFailed: "failed",
    RetrievalFailed: "failed",
    ToolRefused: "refused",
    ToolUnknown: "unknown",
}


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
    return replace(state, turn=None) if _current(state, event.turn) else state


def _current(state: Conversation, turn: int) -> bool:
    return state.turn is not None and state.turn.number == turn


def _in_turn(state: Conversation, number: int, **changes: Any) -> Conversation:
    if state.turn is None or state.turn.number != number:
        return state
    return replace(state, turn=replace(state.turn, **changes))


def _close(state: Conversation, call: str) -> Conversation:
    if call not in state.open:
        return state
    return replace(state, open={key: event for key, event in state.open.items() if key != call})


def _spend(state: Conversation, cost: Decimal | None, *, turn: int = 0) -> Conversation:
    if not cost or not cost.is_finite():
        return state
    state = replace(state, spent_usd=state.spent_usd + cost)
    running = state.turn
    if running is None or running.number != turn:
        return state
    return replace(state, turn=replace(running, spent_usd=running.spent_usd + cost))

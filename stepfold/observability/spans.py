"""The steps of one conversation as spans. Pure: a fold, like the conversation itself.

    a turn         a trace: from the message that is heard to the answer, the giving up, the cancel;
                   in the caller's trace, below the caller's span, when the message carried one
      a model's call, each attempt     from the request to its outcome
      a tool, a search                 the same; below a search what it bought
    a generation   a root for the job, below it each attempt

A receiver may keep the first span that it gets under an id and ignore the next. So a span is told
only when it is final: those of a turn when the turn ends; one whose outcome comes later (a shadow,
a tool that a cancel did not stop) when that comes; what never ends, never. A conversation that is
stopped ends what is open in it. Ids are those of steps: what a model was handed as its
`traceparent` names the span of its call.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from stepfold.events.envelope import Entry
from stepfold.events.event import (
    CodeRequested,
    ConversationStarted,
    ConversationStopped,
    Event,
    Generated,
    GenerationAbandoned,
    GenerationFailed,
    GenerationRequested,
    MessageReceived,
    Reasoned,
    ReasonFailed,
    ReasonRequested,
    ResponseGiven,
    RetrievalFailed,
    RetrievalRequested,
    RetrievalReturned,
    ToolFailed,
    ToolOutcome,
    ToolRefused,
    ToolRequested,
    ToolReturned,
    ToolUnknown,
    TurnAbandoned,
    TurnCancelled,
)
from stepfold.events.traces import span_id
from stepfold.observability import names, said
from stepfold.observability.roots import (
    Place,
    Root,
    ended,
    join,
    open_job,
    open_turn,
    place_of,
)
from stepfold.observability.said import Message, ModelOutcome
from stepfold.observability.span import Attributes, Kind, Span
from stepfold.projections.conversation import MESSAGES_MAX

Spans = tuple[Span, ...]
NONE: Spans = ()


class Asked(Struct, frozen=True):
    """A request without its outcome, where it belongs, and what a model was newly shown by it."""

    entry: Entry
    place: Place
    shown: tuple[Message, ...] = ()


class Tracing(Struct, frozen=True):
    """A conversation on its way to spans. `turns` is how many there have been; `heard` are the ids
    of the last messages.
    """

    started: ConversationStarted = ConversationStarted("", "")
    unheard: tuple[Entry, ...] = ()
    heard: tuple[str, ...] = ()
    turn: Root | None = None
    turns: int = 0
    jobs: Mapping[str, Root] = {}
    calls: Mapping[str, Asked] = {}

    @property
    def running(self) -> tuple[Root, ...]:
        """The turn and the jobs that have not ended."""
        return (*((self.turn,) if self.turn else ()), *self.jobs.values())


START = Tracing()
Told = tuple[Tracing, Spans]
"""What follows a step: the next state, and the spans that are final with it."""


def spans(entries: Iterable[Entry], state: Tracing = START) -> Spans:
    """All spans that are final after these steps of one conversation."""
    found: list[Span] = []
    for entry in entries:
        state, told = advance(state, entry)
        found += told
    return tuple(found)


def advance(state: Tracing, entry: Entry) -> Told:
    """The state after `entry`, and the spans that are final now. Total: any step, in any state."""
    state, told = _advance(state, entry, entry.event)
    return state, tuple(replace(span, position=entry.position) for span in told)


def _advance(state: Tracing, entry: Entry, event: Event) -> Told:  # noqa: PLR0911, PLR0912
    match event:
        case ConversationStarted():
            return (state if state.started.agent else replace(state, started=event)), NONE
        case MessageReceived():
            return _hear(state, entry, event), NONE
        case ReasonRequested():
            return _ask(state, entry, event), NONE
        case ToolRequested() | CodeRequested() | RetrievalRequested():
            return _request(state, entry, event), NONE
        case GenerationRequested():
            return _generate(state, entry, event), NONE
        case Reasoned() | ReasonFailed() | Generated() | GenerationFailed():
            return _model_outcome(state, entry, event)
        case ToolRefused() if event.call not in state.calls:
            return _refuse(state, entry, event)
        case (
            ToolReturned()
            | ToolFailed()
            | ToolRefused()
            | ToolUnknown()
            | RetrievalReturned()
            | RetrievalFailed()
        ):
            return _tool_outcome(state, entry, event)
        case ResponseGiven():
            ends = said.ends("answered", answer=event.text)
            return _end_turn(state, event.turn, entry.at, ends)
        case TurnAbandoned():
            why = _because(event.reason, event.detail)
            state = _unasked(state, entry, event)
            return _end_turn(state, event.turn, entry.at, said.ends("abandoned", reason=why), why)
        case TurnCancelled():
            ends = said.ends("cancelled", reason=event.reason)
            return _end_turn(state, event.turn, entry.at, ends)
        case GenerationAbandoned():
            why = _because(event.reason, event.detail)
            return _end_job(state, event.call, entry.at, said.ends("abandoned", reason=why), why)
        case ConversationStopped():
            return _stop(state, entry, _because("stopped", event.reason))
        case _:
            return state, NONE


def _because(reason: str, detail: str) -> str:
    return f"{reason}: {detail}" if detail else reason


# -- turns --------------------------------------------------------------------------------------


def _hear(state: Tracing, entry: Entry, event: MessageReceived) -> Tracing:
    if event.message in state.heard:
        return state
    heard = (*state.heard, event.message)[-MESSAGES_MAX:] if event.message else state.heard
    return replace(state, unheard=(*state.unheard, entry), heard=heard)


def _ask(state: Tracing, entry: Entry, event: ReasonRequested) -> Tracing:
    if event.shadow:
        return _request(state, entry, event, state.turn.shown if state.turn else ())
    heard, unheard = state.unheard[: event.heard], state.unheard[event.heard :]
    if state.turn is not None and state.turn.number == event.turn:
        turn = join(state.turn, heard)
    else:
        turn = open_turn(entry, event.turn, heard, state.started)
    shown = turn.fresh if event.attempt == 1 else turn.shown + turn.fresh
    turn = replace(turn, fresh=(), shown=shown)
    state = replace(state, turn=turn, turns=event.turn, unheard=unheard)
    return _request(state, entry, event, shown)


def _unasked(state: Tracing, entry: Entry, event: TurnAbandoned) -> Tracing:
    """A turn may be given up before its first ask; what it would have heard counts as heard."""
    if state.turn is not None or event.turn != state.turns + 1:
        return state
    turn = open_turn(entry, event.turn, state.unheard, state.started)
    return replace(state, turn=turn, turns=event.turn, unheard=())


def _end_turn(state: Tracing, number: int, at: datetime, ends: Attributes, error: str = "") -> Told:
    if state.turn is None or state.turn.number != number:
        return state, NONE
    return replace(state, turn=None), ended(state.turn, at, ends, error)


def _stop(state: Tracing, entry: Entry, why: str) -> Told:
    ends = said.ends("stopped", reason=why)
    told = [span for root in state.running for span in ended(root, entry.at, ends, why)]
    return replace(state, turn=None, jobs={}), tuple(told)


# -- what happens in them -----------------------------------------------------------------------


def _request(
    state: Tracing,
    entry: Entry,
    event: ReasonRequested | ToolRequested | CodeRequested | RetrievalRequested,
    shown: tuple[Message, ...] = (),
) -> Tracing:
    if state.turn is not None and state.turn.number == event.turn:
        place = state.turn.place
    else:
        place = place_of(entry, event.turn, state.started.contact)
    return replace(state, calls={**state.calls, event.call: Asked(entry, place, shown)})


def _without(state: Tracing, call: str) -> Tracing:
    left = {name: asked for name, asked in state.calls.items() if name != call}
    return replace(state, calls=left)


def _add(state: Tracing, number: int, below: Spans, fresh: tuple[Message, ...] = ()) -> Told:
    """Spans of a turn wait for its end; when that was before, they are final."""
    turn = state.turn
    if turn is None or turn.number != number:
        return state, below
    turn = replace(turn, below=turn.below + below, fresh=turn.fresh + fresh)
    return replace(state, turn=turn), NONE


def _model_outcome(state: Tracing, entry: Entry, event: ModelOutcome) -> Told:
    asked = state.calls.get(event.call)
    request = asked.entry.event if asked else None
    if asked is None or not isinstance(request, ReasonRequested | GenerationRequested):
        return state, NONE
    error = ""
    if isinstance(event, ReasonFailed | GenerationFailed):
        error = _because(event.reason, event.detail)
    attributes = said.model_call(request, event, asked.shown, entry.at)
    name = f"{names.CHAT} {said.at_provider(request.model)}"
    span = _span(asked, entry.at, name, attributes, kind="client", error=error)
    state = _without(state, event.call)
    if isinstance(request, ReasonRequested):
        return _add(state, request.turn, (span,))
    return _add_to_job(state, request.job or request.call, entry.at, event, span)


def _tool_outcome(state: Tracing, entry: Entry, event: ToolOutcome) -> Told:
    asked = state.calls.get(event.call)
    request = asked.entry.event if asked else None
    if asked is None or not isinstance(request, ToolRequested | CodeRequested | RetrievalRequested):
        return state, NONE
    error = "" if isinstance(event, ToolReturned | RetrievalReturned) else event.reason
    state = _without(state, event.call)
    if isinstance(request, ToolRequested | CodeRequested):
        name = f"{names.EXECUTE_TOOL} {request.name}"
        span = _span(asked, entry.at, name, said.tool(request, event), error=error)
        return _add(state, request.turn, (span,), (_result(request.name, event),))
    name = f"{names.RETRIEVAL} {', '.join(request.collections)}".strip()
    span = _span(asked, entry.at, name, said.search(request, event), error=error)
    below = (span, *_bought(asked, span, entry, event))
    return _add(state, request.turn, below, (_result("search", event),))


def _refuse(state: Tracing, entry: Entry, event: ToolRefused) -> Told:
    """A call that was never requested: it has no length."""
    if state.turn is None or state.turn.number != event.turn:
        return state, NONE
    asked = Asked(entry, state.turn.place)
    name = f"{names.EXECUTE_TOOL} {event.name}"
    span = _span(asked, entry.at, name, said.tool(event, event), error=event.reason)
    return _add(state, event.turn, (span,), (_result(event.name, event),))


def _result(name: str, event: ToolOutcome) -> Message:
    return Message("tool", said.result(event), name)


def _bought(asked: Asked, search: Span, entry: Entry, event: ToolOutcome) -> Iterable[Span]:
    """What a search paid for. How long each took is known, not when: they are laid end to end
    before the search's own end.
    """
    if not isinstance(event, RetrievalReturned | RetrievalFailed):
        return
    end = search.end
    for number, bought in reversed(list(enumerate(event.spent))):
        begin = max(search.begin, end - timedelta(milliseconds=bought.elapsed_ms))
        yield Span(
            trace=search.trace,
            id=span_id(f"{entry.id}/{number}"),
            parent=search.id,
            name=f"{bought.what} {said.at_provider(bought.model)}",
            kind="client",
            begin=begin,
            end=end,
            attributes=asked.place.says | said.spend(bought),
        )
        end = begin


def _span(
    asked: Asked,
    at: datetime,
    name: str,
    attributes: Attributes,
    *,
    kind: Kind = "internal",
    error: str = "",
) -> Span:
    """The span of a request. Two clocks may have told its ends."""
    return Span(
        trace=asked.place.trace,
        id=span_id(asked.entry.id),
        parent=asked.place.parent,
        name=name,
        kind=kind,
        begin=asked.entry.at,
        end=max(at, asked.entry.at),
        attributes=asked.place.says | attributes,
        error=error,
    )


# -- generations --------------------------------------------------------------------------------


def _generate(state: Tracing, entry: Entry, event: GenerationRequested) -> Tracing:
    name = event.job or event.call
    job = state.jobs.get(name) or open_job(entry, event, state.started)
    told = (Message("system", event.instructions),) if event.instructions else ()
    asked = Asked(entry, job.place, (*told, Message("user", said.text(event.input))))
    jobs, calls = {**state.jobs, name: job}, {**state.calls, event.call: asked}
    return replace(state, jobs=jobs, calls=calls)


def _add_to_job(state: Tracing, name: str, at: datetime, event: ModelOutcome, span: Span) -> Told:
    job = state.jobs.get(name)
    if job is None:
        return state, (span,)
    job = replace(job, below=(*job.below, span))
    state = replace(state, jobs={**state.jobs, name: job})
    if not isinstance(event, Generated):
        return state, NONE
    return _end_job(state, name, at, said.ends("generated") | said.output(event.output))


def _end_job(state: Tracing, name: str, at: datetime, ends: Attributes, error: str = "") -> Told:
    job = state.jobs.get(name)
    if job is None:
        return state, NONE
    left = {each: root for each, root in state.jobs.items() if each != name}
    return replace(state, jobs=left), ended(job, at, ends, error)

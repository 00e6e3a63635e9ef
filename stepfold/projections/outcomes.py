"""What becomes of calls: the outcome of each joins the transcript, once."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec.structs import replace

from stepfold.events.event import (
    CodeRequested,
    RetrievalFailed,
    RetrievalReturned,
    ToolFailed,
    ToolOutcome,
    ToolRefused,
    ToolRequested,
    ToolReturned,
    ToolUnknown,
)
from stepfold.events.transcript import Item, Result, Status, Thought, sources
from stepfold.projections.state import Conversation, close, in_turn

PASSAGES_MAX = 256
"""How many of the last retrieved passages a citation may rest on."""


def settle(state: Conversation, event: ToolOutcome) -> Conversation:
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
        close(state, event.call),
        transcript=transcript,
        passages=(state.passages + result.passages)[-PASSAGES_MAX:],
        characters=state.characters + result.characters,
        begun=state.begun - {event.call},
        read=state.read | sources((result,)),
    )
    if turn is None or not wanted:
        return state
    return in_turn(state, turn.number, settled=turn.settled | {event.call})


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

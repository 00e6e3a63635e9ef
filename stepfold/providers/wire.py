"""The contract of a dialect: two pure functions and a stream's assembly, without an SDK.

    request(prompt, stream=...)    a Prompt as the body that the API takes
    reply(raw)                     the API's answer, decoded JSON, as a Reply
    Assembly                       a stream's events, one by one, to deltas and to the same `raw`

A turn's own form goes along as `State` when the parts alone would not give it again: back to the
same API and model family it is sent as it was, to any other it is rebuilt from the parts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from stepfold.events.transcript import Result, Thought
from stepfold.events.values import Arguments, State
from stepfold.providers.model import Delta, Prompt, Reply

Json = dict[str, Any]
_NOT_ID = re.compile(r"[^A-Za-z0-9_-]")
ID_CHARS_MAX = 64


class Assembly(Protocol):
    """A stream on its way. Malformed when it ends without its terminal event."""

    def take(self, event: str, data: str) -> Sequence[Delta]:
        """What this event says. A ModelError when it says that the answer failed."""
        ...

    def whole(self) -> Json:
        """The answer in the form that `reply` reads: what the API had sent without a stream."""
        ...


class Dialect(Protocol):
    """A module that speaks one API."""

    API: str

    def request(self, prompt: Prompt, *, stream: bool = False) -> Json: ...

    def reply(self, raw: Json) -> Reply: ...


def replayable(thought: Thought, api: str, model: str) -> Any | None:
    """The turn as `api` gave it, if this model may be sent it; None: rebuild it from the parts."""
    state = thought.state
    if state is None or state.api != api or family(state.model) != family(model):
        return None
    return state.turn


def family(model: str) -> str:
    """What models share that understand each other's opaque state: the name without its date,
    version suffix and path (`models/gemini-2.5-pro-preview-05-06` is `gemini-2.5-pro`).
    """
    name = model.rpartition("/")[2].lower()
    name = re.sub(r"[@-](?:20\d{2}-?\d{2}-?\d{2}|\d{2}-\d{2,4}|\d{3,8}|0|latest)$", "", name)
    return re.sub(r"-(?:preview|exp|experimental)$", "", name)


def kept(api: str, model: str, turn: Any, rebuilt: Any) -> State | None:
    """The state of a turn, None when rebuilding it from its parts gives the very same."""
    return None if turn == rebuilt else State(api, model, turn)


def arguments(told: Any) -> Arguments | None:
    """Arguments as an object; None when they are none (a model wrote what is no JSON object)."""
    if told is None or told == "":
        return {}
    if isinstance(told, str):
        try:
            told = msgspec.json.decode(told)
        except (msgspec.DecodeError, RecursionError):
            return None
    if told is None:
        return {}
    return told if isinstance(told, dict) else None


def call_id(told: str, call: str) -> str:
    """An id that every provider takes: its own, or our name of the call."""
    return (_NOT_ID.sub("_", told) or _NOT_ID.sub("_", call))[:ID_CHARS_MAX]


def result_text(result: Result) -> str:
    """A call's outcome in words: its text, or its passages with what a citation needs of them."""
    if not result.passages:
        return result.text or f"({result.status}: nothing)"
    return msgspec.json.encode(
        [
            {"document": each.document, "title": each.title, "text": each.text}
            for each in result.passages
        ]
    ).decode()


def decoded(data: str | bytes) -> Json | None:
    """A JSON object; None when it is none."""
    try:
        told = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError):
        return None
    return told if isinstance(told, dict) else None

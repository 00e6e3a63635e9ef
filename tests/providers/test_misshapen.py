"""An answer with one thing in it of another shape than the API's: it is read, and then the log
gives it back as it was and the conversation goes on, or it is refused in words of ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stepfold.events.transcript import Heard, Result, Thought
from stepfold.providers import (
    anthropic_messages,
    cohere_chat,
    google_generate,
    openai_chat,
    openai_responses,
)
from stepfold.providers.model import ModelError, Prompt, Reply
from stepfold.providers.wire import Json
from tests.providers import anthropic_recordings as anthropic
from tests.providers import cohere_recordings as cohere
from tests.providers import google_recordings as google
from tests.providers import openai_recordings as openai
from tests.providers.logged import read, written
from tests.providers.spoken_of import ANSWERS

Event = tuple[str, str]
Path = tuple[str | int, ...]

DIALECTS: dict[str, Any] = {
    "anthropic": anthropic_messages,
    "cohere": cohere_chat,
    "google": google_generate,
    "openai_chat": openai_chat,
    "openai_responses": openai_responses,
}
IN_PIECES: dict[str, Callable[[Json], list[Event]]] = {
    "anthropic": anthropic.in_pieces,
    "cohere": cohere.in_pieces,
    "google": google.in_pieces,
    "openai_chat": partial(openai.in_pieces, "openai_chat"),
    "openai_responses": partial(openai.in_pieces, "openai_responses"),
}
every_api = pytest.mark.parametrize("api", sorted(DIALECTS))
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | FLOATS | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["a", "id", "text", "type"]), inner, max_size=2)
    ),
    max_leaves=3,
)


def places(told: Any, path: Path = ()) -> Iterator[Path]:
    """Where everything stands that is inside `told`."""
    inside = told.items() if isinstance(told, dict) else enumerate(told)
    for key, each in inside:
        yield (*path, key)
        if isinstance(each, dict | list):
            yield from places(each, (*path, key))


def with_(told: Any, path: Path, odd: Any) -> Any:
    """A copy in which `odd` stands there."""
    if not path:
        return odd
    copy = told.copy()
    copy[path[0]] = with_(told[path[0]], path[1:], odd)
    return copy


def replied(api: str, raw: Json) -> Reply | None:
    """None where it was refused; else the log gives it back, and the conversation goes on."""
    try:
        reply: Reply = DIALECTS[api].reply(raw)
    except ModelError:
        return None
    event = written(reply)
    assert read(event) == event
    turn = Thought(event.parts, event.state)
    results = [Result(call.call, call.name, "It is.") for call in turn.calls]
    DIALECTS[api].request(
        Prompt(
            instructions="",
            tools=(),
            transcript=(Heard("Hi"), turn, *results, Heard("And?")),
            call="r2",
            model=event.state.model if event.state else "m",
            blobs=reply.blobs,
        )
    )
    return reply


def heard(api: str, events: list[Event]) -> Json | None:
    """The answer of a stream; None where it was refused."""
    assembly = DIALECTS[api].Assembly()
    try:
        deltas = [delta for event in events for delta in assembly.take(*event)]
        assert all(isinstance(delta.text, str) for delta in deltas)
        return assembly.whole() if assembly.ended else None
    except ModelError:
        return None
    finally:
        spent(assembly)


def spent(assembly: Any) -> None:
    with suppress(ModelError):
        assert assembly.usage is None or msgspec.json.encode(assembly.usage)


@every_api
def test_the_answers_are_read_as_they_are_whole_and_in_pieces(api: str) -> None:
    raw = ANSWERS[api]

    assert replied(api, raw) is not None
    assert replied(api, heard(api, IN_PIECES[api](raw)) or {}) is not None


@every_api
@given(odd=ODD)
@example(odd=None)
@example(odd=7)
@example(odd="x")
@example(odd="é")
@example(odd=["x"])
@example(odd=[[None, None]])
@example(odd={"a": 7})
@example(odd=10**400)
@settings(max_examples=40, deadline=None)
def test_a_thing_of_another_shape_is_read_or_refused(api: str, odd: Any) -> None:
    for path in places(ANSWERS[api]):
        replied(api, with_(ANSWERS[api], path, odd))


@every_api
@given(odd=ODD)
@example(odd=None)
@example(odd=7)
@example(odd="x")
@example(odd="é")
@example(odd=["x"])
@example(odd={"a": 7})
@settings(max_examples=10, deadline=None)
def test_an_event_of_another_shape_is_read_or_refused(api: str, odd: Any) -> None:
    events = IN_PIECES[api](ANSWERS[api])
    for number, (event, data) in enumerate(events):
        told = msgspec.json.decode(data) if data.startswith("{") else {}
        for path in places(told):
            misshapen = event, msgspec.json.encode(with_(told, path, odd)).decode()
            raw = heard(api, [*events[:number], misshapen, *events[number + 1 :]])
            if raw is not None:
                replied(api, raw)

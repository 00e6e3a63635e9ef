"""Every recorded turn of the five APIs, sent to each of them: legal, whole, and without secrets."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest

from stepfold.events.transcript import Thought
from stepfold.events.values import FileRef, Refusal, Text
from stepfold.providers.wire import Json
from tests.providers.google_recordings import WIRE
from tests.providers.recorded import APIS, Turn, after, turns
from tests.providers.sent import Answered, Called, Said, sent

pytestmark = pytest.mark.skipif(not WIRE.is_dir(), reason=f"{WIRE} is absent; set STEPFOLD_DATA")

PAIRS = tuple(product(APIS, APIS))
pairs = pytest.mark.parametrize(("source", "target"), PAIRS)
SECRETS = ("signature", "encrypted_content", "thoughtSignature", "encrypted_index", "data")
"""Fields of what only its own API understands."""
SECRET_CHARS_MIN = 40


def rebuilt(source: str, target: str) -> Iterator[tuple[Turn, Json]]:
    """Each turn as it is sent to a model that did not say it."""
    for turn in turns(source):
        yield turn, APIS[target].ask(*after(turn.thought))


def test_all_of_them_are_there() -> None:
    assert {name: (len(list(api.replies())), len(turns(name))) for name, api in APIS.items()} == {
        "openai_responses": (141, 141),
        "openai_chat": (102, 102),
        "anthropic": (156, 156),
        "google": (173, 172),
        "cohere": (8, 8),
    }


@pytest.mark.parametrize("api", APIS)
def test_the_model_that_said_a_turn_is_sent_what_the_sdk_knows(api: str) -> None:
    kept = 0
    for turn in turns(api):
        body = APIS[api].ask(*after(turn.thought), model=turn.model)
        kept += turn.thought.state is not None and _holds(body, turn.thought.state.turn)

    assert kept == sum(turn.thought.state is not None for turn in turns(api))
    assert kept > 0


@pairs
def test_to_another_model_each_turn_says_and_calls_the_same(source: str, target: str) -> None:
    for turn, body in rebuilt(source, target):
        told = sent(target, body)

        words = "".join(each.text for each in told if isinstance(each, Said))
        calls = [(each.name, each.arguments) for each in told if isinstance(each, Called)]
        assert calls == [(call.name, call.arguments) for call in turn.thought.calls], turn.name
        if not any(isinstance(part, FileRef) for part in turn.thought.parts):
            assert words == said(turn.thought), turn.name


@pairs
def test_each_call_is_answered_under_its_own_name(source: str, target: str) -> None:
    for turn, body in rebuilt(source, target):
        told = sent(target, body)

        names = [each.id for each in told if isinstance(each, Called)]
        assert names == [each.id for each in told if isinstance(each, Answered)], turn.name
        assert len(set(names)) == len(names), turn.name
        assert all(names), turn.name


@pairs
def test_what_only_its_own_api_understands_is_not_sent_to_another_model(
    source: str, target: str
) -> None:
    for turn, body in rebuilt(source, target):
        strings = set(_strings(body))

        secrets = set(_secrets(turn.thought.state.turn)) if turn.thought.state else set()
        assert not secrets & strings, turn.name


@pytest.mark.parametrize("target", APIS)
def test_one_conversation_that_all_of_them_had_a_part_in_is_legal_for_each(target: str) -> None:
    everything = [turn.thought for source in APIS for turn in turns(source)]

    told = sent(target, APIS[target].ask(*after(*everything)))

    names = [each.id for each in told if isinstance(each, Called)]
    assert names == [each.id for each in told if isinstance(each, Answered)]
    assert len(set(names)) == len(names) == sum(len(each.calls) for each in everything)


def said(thought: Thought) -> str:
    return "".join(part.text for part in thought.parts if isinstance(part, Text | Refusal))


def _holds(body: Json, turn: Any) -> bool:
    """Is all that is secret in the turn in the body?"""
    return set(_secrets(turn)) <= set(_strings(body))


def _secrets(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, each in value.items():
            if key in SECRETS and isinstance(each, str) and len(each) >= SECRET_CHARS_MIN:
                yield each
            yield from _secrets(each)
    if isinstance(value, list):
        for each in value:
            yield from _secrets(each)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    if isinstance(value, dict):
        for each in value.values():
            yield from _strings(each)
    if isinstance(value, list):
        for each in value:
            yield from _strings(each)

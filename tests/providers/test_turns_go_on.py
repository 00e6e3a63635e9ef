"""Every trouble of every provider ends as a recorded event, and the turn goes on where it can."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest

from stepfold.events.envelope import Entry
from stepfold.events.event import Reasoned, ReasonFailed, ReasonRequested, ResponseGiven
from stepfold.events.values import Delta, Text
from stepfold.handlers.asking import Asker, Speaking
from stepfold.handlers.reason import Reason
from stepfold.policy.agent import Agent
from stepfold.providers.model import Reply
from stepfold.providers.scripted import ScriptedModel
from stepfold.routing import Candidate, Route, Routes
from stepfold.testing import Arrangement, Rest
from tests.providers.raw_server import Answer, json, serving, stream
from tests.providers.spoken import SAID, SPOKEN, Spoken

DESK = Agent(name="desk", instructions="Be brief.", models=())
RESCUE = "Another model says hello."
PLENTY_S, LATE_S = 20.0, 0.5
every = pytest.mark.parametrize("spoken", SPOKEN.values(), ids=SPOKEN)


@pytest.fixture(scope="module", autouse=True)
def sdks() -> None:
    """Imported before a deadline of half a second begins."""
    for name in ("anthropic", "cohere", "google.genai", "httpx2", "openai"):
        import_module(name)


class Listener:
    """Somebody who wants every call streamed, and hears it."""

    def __init__(self) -> None:
        self.heard: dict[str, str] = {}

    def speak(self, entry: Entry, call: str, attempt: int) -> Speaking:
        self.heard[call] = ""
        return _Speaking(self, call)


class _Speaking:
    def __init__(self, listener: Listener, call: str) -> None:
        self._listener = listener
        self._call = call

    def hear(self, delta: Delta, /) -> None:
        self._listener.heard[self._call] += delta.text

    def end(self) -> None:
        pass


async def turn(
    spoken: Spoken, *answers: Answer, listener: Listener | None = None, timeout_s: float = PLENTY_S
) -> Rest:
    """One question to a provider with these answers; behind it stands a model that works."""
    async with serving(*answers) as server:
        model = spoken.make(server.url, timeout_s)
        models = {spoken.provider: model, "scripted": ScriptedModel([Reply(text=RESCUE)])}
        arrangement = Arrangement(models=models)
        arrangement.workers = {
            **arrangement.workers,
            "reason.requested": Reason(Asker(models, tokens=listener), {}),
        }
        arrangement.restart()
        candidates = (Candidate(spoken.name), Candidate("scripted"))
        await arrangement.appoint(Routes((Route("converse", candidates),)))
        await arrangement.start(DESK)
        await arrangement.say("Hello?")
        await arrangement.run_to_rest()
        await model.close()  # type: ignore[attr-defined]
        return await arrangement.rest()


def of(rest: Rest, kind: type) -> list[Any]:
    return [entry.event for entry in rest.entries if isinstance(entry.event, kind)]


def troubles(spoken: Spoken) -> Iterator[tuple[str, Answer, str]]:
    """(what happens, how the server does it, the reason that is recorded)."""
    body = json(spoken.whole(SAID)).body
    html = b"<html>Bad gateway</html>"
    slow = {"retry-after": "2"}
    yield "429", json({"message": "slow down"}, status=429, headers=slow), "rate_limit"
    yield "529", json({"message": "overloaded"}, status=529), "overloaded"
    yield "503 HTML", Answer(503, html, content_type="text/html"), "unavailable"
    yield "200 HTML", Answer(200, html, content_type="text/html"), "malformed"
    yield "wrong JSON", Answer(200, b'{"id": "resp_1", "outp'), "malformed"
    yield "another JSON", json({"hello": "world"}), "malformed"
    yield "cut", Answer(200, body[:40], ending="abrupt"), "cut"
    yield "401", json({"message": "no such key"}, status=401), "authentication"
    yield "no money", spoken.no_money, "no_money"


CASES = [
    pytest.param(spoken, answer, reason, id=f"{name}, {what}")
    for name, spoken in SPOKEN.items()
    for what, answer, reason in troubles(spoken)
]


@pytest.mark.parametrize(("spoken", "answer", "reason"), CASES)
async def test_a_failure_is_recorded_and_another_model_answers(
    spoken: Spoken, answer: Answer, reason: str
) -> None:
    rest = await turn(spoken, answer)

    (failed,) = of(rest, ReasonFailed)
    assert (failed.reason, failed.model) == (reason, spoken.name)
    assert failed.provider == spoken.provider
    assert rest.answer == RESCUE


def cuts(spoken: Spoken) -> Iterator[tuple[str, Answer, str, bool]]:
    """(what happens, how the server does it, the reason recorded, had anything been said)."""
    pieces = spoken.pieces()
    some = pieces[: spoken.told_after()]
    half = [*some, pieces[len(some)][:15]]
    yield "before the first word", stream(": wait\n\n"), "cut", False
    yield "after some words", stream(*some), "cut", True
    yield "inside JSON", stream(*half), "cut", True
    yield "abruptly", stream(*some, ending="abrupt"), "cut", True
    yield "an error", stream(*some, spoken.broken), "", True
    yield "a stall", stream(*some, ending="stall"), "timeout", True


STREAMS = [
    pytest.param(spoken, answer, reason, said, id=f"{name}, {what}")
    for name, spoken in SPOKEN.items()
    for what, answer, reason, said in cuts(spoken)
]


@pytest.mark.parametrize(("spoken", "answer", "reason", "said"), STREAMS)
async def test_a_stream_that_breaks_is_taken_back_and_another_model_answers(
    spoken: Spoken, answer: Answer, reason: str, said: bool
) -> None:
    listener = Listener()
    late = LATE_S if reason == "timeout" else PLENTY_S

    rest = await turn(spoken, answer, listener=listener, timeout_s=late)

    (failed,) = of(rest, ReasonFailed)
    heard = listener.heard[failed.call]
    assert failed.reason in ((reason,) if reason else ("unavailable", "overloaded"))
    assert (bool(heard), failed.streamed) == (said, len(heard))
    assert SAID.startswith(heard)
    assert rest.answer == RESCUE


@every
async def test_a_stream_that_ends_well_is_the_answer(spoken: Spoken) -> None:
    listener = Listener()

    rest = await turn(spoken, stream(*spoken.pieces()), listener=listener)

    (reasoned,) = of(rest, Reasoned)
    assert listener.heard == {reasoned.call: SAID}
    assert reasoned.parts == (Text(SAID),)
    assert rest.answer == SAID


@every
async def test_a_stall_longer_than_the_deadline_is_a_timeout(spoken: Spoken) -> None:
    rest = await turn(spoken, Answer(ending="silent"), timeout_s=LATE_S)

    (failed,) = of(rest, ReasonFailed)
    assert failed.reason == "timeout"
    assert rest.answer == RESCUE


@every
async def test_a_prompt_that_is_too_long_is_asked_once_more_and_shorter(spoken: Spoken) -> None:
    rest = await turn(spoken, spoken.overflow, json(spoken.whole(SAID)))

    (failed,) = of(rest, ReasonFailed)
    first, second = of(rest, ReasonRequested)
    assert failed.reason == "context_overflow"
    assert (first.model, second.model) == (spoken.name, spoken.name)
    assert first.compact == 0
    assert second.compact > 0
    assert rest.answer == SAID


@every
async def test_a_refusal_is_an_answer_and_not_a_failure(spoken: Spoken) -> None:
    if spoken.refusal is None:
        pytest.skip("its API has no word for it")

    rest = await turn(spoken, json(spoken.refusal))

    (reasoned,) = of(rest, Reasoned)
    assert reasoned.finish in ("refusal", "content_filter")
    assert of(rest, ReasonFailed) == []


@every
async def test_an_empty_answer_is_a_failure_that_was_paid_for(spoken: Spoken) -> None:
    rest = await turn(spoken, json(spoken.empty))

    (failed,) = of(rest, ReasonFailed)
    assert (failed.reason, failed.retryable) == ("empty", True)
    assert failed.usage.output == (9 if spoken.provider == "cohere" else 5)
    assert [given.text for given in of(rest, ResponseGiven)] == [RESCUE]

"""One request, worked on once here, within its time, as long as it is wanted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from stepfold.events.envelope import Entry, first, record
from stepfold.events.event import (
    Event,
    GenerationFailed,
    GenerationRequested,
    Reasoned,
    ReasonFailed,
    ReasonRequested,
    RetrievalFailed,
    RetrievalRequested,
    ToolFailed,
    ToolRequested,
    ToolUnknown,
    TurnCancelled,
)
from stepfold.handlers.asking import Asker
from stepfold.handlers.generate import Generate
from stepfold.handlers.reason import Reason
from stepfold.handlers.retrieve import Retrieve
from stepfold.handlers.states import Known
from stepfold.handlers.tool import RunTool
from stepfold.handlers.work import DELIVERIES_MAX, Desk, Later, is_over
from stepfold.policy.agent import Agent, Limits
from stepfold.projections.conversation import replay
from stepfold.providers.model import Model, Prompt, Reply
from stepfold.providers.scripted import ScriptedModel
from stepfold.streams.log import LogUnavailable
from stepfold.testing import (
    AGENT,
    ASKED,
    HELLO,
    LOOK_UP,
    LOOKED_UP,
    RETRIEVAL,
    STARTED,
    Clock,
    Passages,
)
from stepfold.tools.tool import FunctionTool, ToolSpec

THINKING = Known(replay([STARTED, HELLO, ASKED]), 3)
WAITING = Known(replay([STARTED, HELLO, ASKED, LOOKED_UP, LOOK_UP]), 5)
OVER = Known(replay([STARTED, HELLO, ASKED, TurnCancelled(1, "asked to")]), 4)
QUICK = replace(AGENT, limits=Limits(call_s=0.02))


class Stuck:
    """A model that never answers; `asked` is set once it is asked."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def reply(self, prompt: Prompt, /) -> Reply:
        self.asked.set()
        await asyncio.get_running_loop().create_future()
        raise AssertionError


def entry(event: Event) -> Entry:
    draft = first("acme", "c1", event, by="agent", key="x")
    return record(draft, position=4, at=Clock().at, after=3)


def stuck_tool(asked: asyncio.Event | None = None) -> RunTool:
    async def wait(arguments: dict[str, Any], call: str) -> None:
        await asyncio.get_running_loop().create_future()

    return RunTool({"look_up": FunctionTool(ToolSpec("look_up"), wait)})


def now(known: Known) -> Callable[[], Awaitable[Known]]:
    async def refresh() -> Known:
        return known

    return refresh


def test_what_one_process_has_in_hand_it_does_not_take_twice() -> None:
    desk = Desk(Clock())
    desk.take(entry(ASKED), ASKED)

    with pytest.raises(Later, match="call r1 is running here"):
        desk.take(entry(ASKED), ASKED)

    desk.leave(entry(ASKED), ASKED, recorded=False)
    desk.take(entry(ASKED), ASKED)


async def test_an_outcome_stays_at_the_desk_until_it_is_recorded() -> None:
    desk, worker = Desk(Clock()), Reason(Asker({}))
    made = await desk.run(worker, entry(ASKED), ASKED, THINKING, AGENT, now(THINKING))

    assert desk.outcome(worker, entry(ASKED), ASKED, THINKING, AGENT, 2) is made
    desk.leave(entry(ASKED), ASKED, recorded=False)
    assert desk.outcome(worker, entry(ASKED), ASKED, OVER, AGENT, 99) is made
    desk.leave(entry(ASKED), ASKED, recorded=True)
    assert desk.outcome(worker, entry(ASKED), ASKED, THINKING, AGENT, 3) is None


def test_a_request_that_is_wanted_and_due_is_to_run() -> None:
    desk = Desk(Clock())

    assert (
        desk.outcome(Reason(Asker({})), entry(ASKED), ASKED, THINKING, AGENT, DELIVERIES_MAX)
        is None
    )


def test_a_request_whose_turn_is_over_does_not_run() -> None:
    outcome = Desk(Clock()).outcome(Reason(Asker({})), entry(ASKED), ASKED, OVER, AGENT, 1)

    assert isinstance(outcome, ReasonFailed)
    assert (outcome.reason, outcome.detail) == ("over", "its turn was over before it began")
    assert not outcome.retryable


def test_a_request_waits_exactly_until_it_is_due() -> None:
    clock = Clock()
    later = replace(ASKED, delay_s=10)
    recorded = record(first("a", "c", later, by="x", key="x"), position=3, at=clock.at, after=2)
    desk = Desk(clock)

    with pytest.raises(Later) as raised:
        desk.outcome(Reason(Asker({})), recorded, later, THINKING, AGENT, 1)
    clock.wait_until(recorded.at + timedelta(seconds=10))

    assert 9.9 < raised.value.delay_s < 12.01
    assert desk.outcome(Reason(Asker({})), recorded, later, THINKING, AGENT, 2) is None


@pytest.mark.parametrize("request_of", [ASKED, LOOK_UP, RETRIEVAL])
def test_a_request_is_over_when_its_turn_is_not_the_running_one(
    request_of: ReasonRequested | ToolRequested | RetrievalRequested,
) -> None:
    assert not is_over(WAITING, request_of)
    assert is_over(WAITING, replace(request_of, turn=2))
    assert is_over(OVER, request_of)


def test_a_generation_is_never_over_because_it_has_no_turn() -> None:
    assert not is_over(OVER, GenerationRequested("g1", "sort", "x", {}, "m"))


async def test_a_model_that_nobody_waits_for_any_more_is_not_waited_for() -> None:
    model = Stuck()
    desk = Desk(Clock(), watch_s=0.001)

    outcome = await desk.run(
        Reason(Asker({"scripted": model})), entry(ASKED), ASKED, THINKING, AGENT, now(OVER)
    )

    assert isinstance(outcome, ReasonFailed)
    assert (outcome.reason, outcome.detail) == ("cancelled", "its turn ended while it ran")
    assert model.asked.is_set()


async def test_the_watch_goes_on_while_the_log_is_away() -> None:
    looks: Iterator[Known | Exception] = iter([LogUnavailable("away"), THINKING, OVER])

    async def refresh() -> Known:
        look = next(looks)
        if isinstance(look, Exception):
            raise look
        return look

    worker = Reason(Asker({"scripted": Stuck()}))
    outcome = await Desk(Clock(), watch_s=0.001).run(
        worker, entry(ASKED), ASKED, THINKING, AGENT, refresh
    )

    assert getattr(outcome, "reason", "") == "cancelled"


async def test_a_tool_that_has_started_is_not_interrupted_by_a_cancel() -> None:
    desk = Desk(Clock(), watch_s=0.001)

    outcome = await desk.run(stuck_tool(), entry(LOOK_UP), LOOK_UP, WAITING, QUICK, now(OVER))

    assert outcome == ToolUnknown("r1.1", 1, "no outcome within 0.02 s")


async def test_work_that_takes_too_long_may_be_tried_again() -> None:
    outcome = await Desk(Clock()).run(
        Reason(Asker({"scripted": Stuck()})), entry(ASKED), ASKED, THINKING, QUICK, now(THINKING)
    )

    assert isinstance(outcome, ReasonFailed)
    assert (outcome.reason, outcome.retryable) == ("timeout", True)


async def test_a_model_that_is_not_set_up_here_is_named_with_those_that_are() -> None:
    worker = Reason(Asker({"small": Stuck(), "large": Stuck()}))

    outcome = await worker.run(entry(ASKED), THINKING.state, AGENT)

    assert isinstance(outcome, ReasonFailed)
    assert outcome.reason == "model_unknown"
    assert outcome.detail == ("model 'scripted' is not set up in this worker (known: large, small)")
    assert outcome.retryable


async def test_a_model_of_newer_routes_is_found_by_looking_at_them() -> None:
    models: dict[str, Model] = {}

    async def look() -> None:
        models["scripted"] = ScriptedModel([Reply("At 9.")])

    outcome = await Reason(Asker(models, look=look)).run(entry(ASKED), THINKING.state, AGENT)

    assert isinstance(outcome, Reasoned)


async def test_how_a_model_is_set_up_is_said_and_a_log_that_is_away_is_borne() -> None:
    async def look() -> None:
        raise LogUnavailable("away")

    asker = Asker({}, look=look, hint=lambda name: f"set KEY_OF_{name}")
    outcome = await Reason(asker).run(entry(ASKED), THINKING.state, AGENT)

    assert isinstance(outcome, ReasonFailed)
    assert outcome.detail.endswith("(known: none); set KEY_OF_scripted")


async def test_a_generation_by_a_model_that_is_not_set_up_here_says_so() -> None:
    request = GenerationRequested("g1", "sort", "x", {}, "ghost")

    outcome = await Generate(Asker({})).run(entry(request), THINKING.state, AGENT)

    assert isinstance(outcome, GenerationFailed)
    assert (outcome.reason, outcome.model) == ("model_unknown", "ghost")
    assert outcome.detail == "model 'ghost' is not set up in this worker (known: none)"


async def test_a_search_in_an_unknown_collection_has_failed() -> None:
    worker = Retrieve(Passages(collections=("faq",)))

    outcome = await worker.run(entry(RETRIEVAL), THINKING.state, AGENT)

    assert isinstance(outcome, RetrievalFailed)
    assert outcome.reason == "collection 'handbook': unknown (known: faq)"


@pytest.mark.parametrize("reason", ["timeout", "cancelled", "lost"])
def test_a_tool_that_started_and_was_not_seen_to_end_is_unknown(reason: str) -> None:
    outcome = RunTool({}).failed(LOOK_UP, reason, "why", retryable=False)

    assert outcome == ToolUnknown("r1.1", 1, "why")


def test_a_tool_that_never_ran_has_failed() -> None:
    assert RunTool({}).failed(LOOK_UP, "over", "why", retryable=False) == ToolFailed(
        "r1.1", 1, "why"
    )


def test_a_tool_with_a_wrong_schema_is_refused_with_the_schemas_fault() -> None:
    tool = FunctionTool(ToolSpec("look_up", parameters={"type": "nonsense"}), _nothing)

    refused = RunTool({"look_up": tool}).forbid(entry(LOOK_UP), WAITING.state, AGENT)

    assert "the schema itself is wrong" in getattr(refused, "reason", "")


def test_a_tool_of_another_agent_is_refused_whatever_was_requested() -> None:
    tool = FunctionTool(ToolSpec("look_up"), _nothing)

    refused = RunTool({"look_up": tool}).forbid(entry(LOOK_UP), WAITING.state, Agent(name="other"))

    assert getattr(refused, "reason", "") == "tool 'look_up' is not allowed for agent 'other'"


async def _nothing(arguments: dict[str, Any], call: str) -> None:
    return None

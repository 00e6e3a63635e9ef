"""The loop around the core: each request once, whatever dies, comes twice or cannot be read."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from stepfold.events.envelope import Draft, Entry, first
from stepfold.events.event import (
    ConversationStarted,
    ConversationStopped,
    Event,
    GenerationFailed,
    GenerationRequested,
    MessageReceived,
    Reasoned,
    ReasonFailed,
    ReasonRequested,
    ToolFailed,
    ToolRefused,
    ToolReturned,
    ToolUnknown,
    TurnAbandoned,
    TurnExpired,
)
from stepfold.events.transcript import Result
from stepfold.events.wire import decode, encode, subject
from stepfold.handlers.shell import POISON_MAX
from stepfold.handlers.work import DELIVERIES_MAX
from stepfold.policy.agent import Agent, Limits
from stepfold.providers.model import Call, ModelBusy, Prompt, Reply
from stepfold.streams.log import LogUnavailable
from stepfold.streams.memory import MemoryAgents, MemoryLog
from stepfold.testing import AGENT, Arrangement, Clock
from stepfold.tools.tool import FunctionTool, ToolError, ToolSpec
from tests.waiting import eventually

LOOK_UP = Reply(calls=(Call("look_up", {"key": "hours"}),))
ANSWER = Reply("At 9.")
KEY = ToolSpec(
    "look_up",
    parameters={
        "type": "object",
        "properties": {"key": {"type": "string"}},
        "required": ["key"],
    },
)


class Counter:
    """A tool that counts its runs, and may die or fail in one."""

    def __init__(self, *outcomes: Any) -> None:
        self.calls: list[str] = []
        self._outcomes = list(outcomes)

    async def __call__(self, arguments: dict[str, Any], call: str) -> Any:
        self.calls.append(call)
        outcome = self._outcomes.pop(0) if self._outcomes else "9 to 5"
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome


class Dies(BaseException):
    """The process that did this is no more."""


async def arranged(
    *replies: Reply | Exception, tool: Counter | None = None, agent: Agent = AGENT, **more: Any
) -> Arrangement:
    tools = [FunctionTool(KEY, tool or Counter())]
    arrangement = Arrangement(replies=replies, tools=tools, **more)
    await arrangement.start(agent)
    return arrangement


async def said(
    *replies: Reply | Exception, tool: Counter | None = None, agent: Agent = AGENT
) -> Arrangement:
    """A conversation in which something was said; nothing is handled yet."""
    arrangement = await arranged(*replies, tool=tool, agent=agent)
    await arrangement.say("When?")
    return arrangement


def entry_of(arrangement: Arrangement, kind: type) -> Entry:
    for stored in reversed(arrangement.log.steps):
        entry = decode(stored.subject, stored.payload, position=stored.position, at=stored.at)
        if isinstance(entry.event, kind):
            return entry
    raise AssertionError(f"no {kind.__name__} is in the log")


async def events(arrangement: Arrangement, conversation: str = "c1") -> tuple[Event, ...]:
    return (await arrangement.rest(conversation)).events


async def kinds(arrangement: Arrangement, conversation: str = "c1") -> list[str]:
    return [type(event).__name__ for event in await events(arrangement, conversation)]


# -- the way of a step --------------------------------------------------------------------------


async def test_a_message_is_answered() -> None:
    arrangement = await said(ANSWER)

    await arrangement.run_to_rest()

    assert await kinds(arrangement) == [
        "ConversationStarted",
        "MessageReceived",
        "ReasonRequested",
        "Reasoned",
        "ResponseGiven",
    ]


async def test_a_step_that_is_delivered_again_changes_nothing() -> None:
    arrangement = await said(LOOK_UP, ANSWER)
    await arrangement.run_to_rest()
    before = len(arrangement.log.steps)

    for stored in list(arrangement.log.steps):
        entry = decode(stored.subject, stored.payload, position=stored.position, at=stored.at)
        assert await arrangement.shell.take(entry, deliveries=2) is None

    assert len(arrangement.log.steps) == before
    assert len(arrangement.model.prompts) == 2


async def test_a_worker_that_knows_nothing_goes_on_where_another_died() -> None:
    arrangement = await said(LOOK_UP, ANSWER)
    message = entry_of(arrangement, MessageReceived)
    await arrangement.shell.take(message)
    arrangement.restart()

    await arrangement.run_to_rest()

    assert (await arrangement.rest()).answer == "At 9."
    assert len(arrangement.model.prompts) == 2


async def test_two_workers_that_decide_the_same_record_it_once() -> None:
    arrangement = await said(ANSWER)
    message = entry_of(arrangement, MessageReceived)
    await arrangement.shell.take(message)
    await arrangement.restart().take(message)

    assert (await kinds(arrangement)).count("ReasonRequested") == 1


async def test_a_recorded_answer_is_not_asked_for_again_by_a_worker_with_an_old_cache() -> None:
    arrangement = await said(ANSWER)
    old = arrangement.shell
    await old.take(entry_of(arrangement, MessageReceived))
    request = entry_of(arrangement, ReasonRequested)
    await arrangement.restart().take(request)

    assert await old.take(request, deliveries=2) is None

    assert len(arrangement.model.prompts) == 1


class SlowAgents(MemoryAgents):
    """Gives an agent out only when told to."""

    def __init__(self, *agents: Agent) -> None:
        super().__init__(*agents)
        self.waiting: list[asyncio.Future[None]] = []

    async def get(self, digest: str) -> Agent:
        self.waiting.append(asyncio.get_running_loop().create_future())
        await self.waiting[-1]
        return await super().get(digest)


async def test_of_two_deliveries_to_one_worker_the_slower_one_sees_what_the_other_recorded() -> (
    None
):
    arrangement = await said(ANSWER)
    await arrangement.shell.take(entry_of(arrangement, MessageReceived))
    request = entry_of(arrangement, ReasonRequested)
    pinned = await arrangement.agents.get((await arrangement.rest()).state.digest)
    arrangement.agents = agents = SlowAgents(pinned)
    shell = arrangement.restart()
    faster = asyncio.create_task(shell.take(request, deliveries=2))
    slower = asyncio.create_task(shell.take(request, deliveries=3))
    await eventually(lambda: len(agents.waiting) == 2)

    agents.waiting[0].set_result(None)
    await faster
    agents.waiting[1].set_result(None)
    await slower

    assert len(arrangement.model.prompts) == 1


async def test_a_conversation_without_a_start_waits_for_nobody() -> None:
    arrangement = await arranged()
    await arrangement.append("c9", MessageReceived("Hello?"))

    await arrangement.run_to_rest()

    assert await kinds(arrangement, "c9") == ["MessageReceived"]


async def test_an_imported_conversation_is_left_as_it_was() -> None:
    arrangement = await arranged(ANSWER)
    await arrangement.append("c9", ConversationStarted("a", "d", origin="openai-chat"))
    await arrangement.say("Hello?", "c9")

    await arrangement.run_to_rest()

    assert await kinds(arrangement, "c9") == ["ConversationStarted", "MessageReceived"]


async def test_an_agent_that_was_never_kept_stops_only_its_own_conversation() -> None:
    arrangement = await said(ANSWER)
    await arrangement.append("c9", ConversationStarted("lost", "sha256:lost"))
    await arrangement.say("Hello?", "c9")

    await arrangement.run_to_rest()

    stopped = (await events(arrangement, "c9"))[-1]
    assert isinstance(stopped, ConversationStopped)
    assert "no agent with digest sha256:lost was ever kept" in stopped.reason
    assert (await arrangement.rest()).answer == "At 9."


# -- tools --------------------------------------------------------------------------------------


async def test_a_tool_is_started_in_the_log_before_it_runs() -> None:
    seen: list[str] = []

    async def look(arguments: dict[str, Any], call: str) -> str:
        seen.extend(await kinds(arrangement))
        return "x"

    arrangement = Arrangement(replies=[LOOK_UP, ANSWER], tools=[FunctionTool(KEY, look)])
    await arrangement.start(AGENT)
    await arrangement.say("When?")
    await arrangement.run_to_rest()

    assert seen[-1] == "ToolStarted"


async def test_a_call_has_a_key_that_is_the_same_whenever_it_is_tried() -> None:
    tool = Counter()
    arrangement = await said(LOOK_UP, ANSWER, tool=tool)

    await arrangement.run_to_rest()

    assert tool.calls == ["acme/c1/r1.1"]


@pytest.mark.parametrize("arguments", [{}, {"key": 7}])
async def test_arguments_that_do_not_fit_are_refused_before_anything_starts(
    arguments: dict[str, Any],
) -> None:
    tool = Counter()
    wrong = Reply(calls=(Call("look_up", arguments),))
    arrangement = await said(wrong, ANSWER, tool=tool)

    await arrangement.run_to_rest()

    assert tool.calls == []
    assert "ToolStarted" not in await kinds(arrangement)
    refused = next(e for e in await events(arrangement) if isinstance(e, ToolRefused))
    assert "key" in refused.reason or "7 is not of type 'string'" in refused.reason


async def test_a_tool_that_is_not_set_up_here_is_refused_with_those_that_are() -> None:
    agent = replace(AGENT, tools=("look_up", "ghost"))
    arrangement = await said(Reply(calls=(Call("ghost", {}),)), ANSWER, agent=agent)

    await arrangement.run_to_rest()

    refused = next(e for e in await events(arrangement) if isinstance(e, ToolRefused))
    assert refused.reason == "tool 'ghost' is not set up in this worker (known: look_up)"


async def test_a_tool_that_says_no_has_failed_and_the_model_is_told() -> None:
    arrangement = await said(LOOK_UP, ANSWER, tool=Counter(ToolError("no such key")))

    await arrangement.run_to_rest()

    assert arrangement.model.prompts[1].results[0].text == "failed: no such key"
    assert any(isinstance(event, ToolFailed) for event in await events(arrangement))


async def test_what_a_tool_with_a_bug_did_is_unknown_and_the_bug_is_named() -> None:
    arrangement = await said(LOOK_UP, ANSWER, tool=Counter(ZeroDivisionError("by zero")))

    await arrangement.run_to_rest()

    unknown = next(e for e in await events(arrangement) if isinstance(e, ToolUnknown))
    assert unknown.reason == "ZeroDivisionError: by zero"
    assert (await arrangement.rest()).answer == "At 9."


async def test_a_tool_whose_worker_died_is_unknown_and_never_runs_again() -> None:
    tool = Counter(Dies())
    arrangement = await said(LOOK_UP, ANSWER, tool=tool)
    with pytest.raises(Dies):
        await arrangement.run_to_rest()

    arrangement.restart()
    await arrangement.run_to_rest()

    assert tool.calls == ["acme/c1/r1.1"]
    unknown = next(e for e in await events(arrangement) if isinstance(e, ToolUnknown))
    assert unknown.reason == (
        "it had started when its worker died; whether it took effect is not known"
    )
    assert (await arrangement.rest()).answer == "At 9."


async def test_a_call_of_a_cancelled_turn_that_has_not_begun_does_not_run() -> None:
    tool = Counter()
    arrangement = await said(LOOK_UP, ANSWER, tool=tool)
    await arrangement.shell.take(entry_of(arrangement, MessageReceived))
    await arrangement.shell.take(entry_of(arrangement, ReasonRequested))
    await arrangement.cancel()

    await arrangement.run_to_rest()

    assert tool.calls == []
    assert isinstance((await events(arrangement))[-1], ToolFailed)


async def test_a_tool_that_a_cancel_interrupts_finishes_and_its_outcome_is_recorded() -> None:
    async def look(arguments: dict[str, Any], call: str) -> str:
        await arrangement.cancel()
        return "late"

    arrangement = Arrangement(replies=[LOOK_UP, ANSWER], tools=[FunctionTool(KEY, look)])
    await arrangement.start(AGENT)
    await arrangement.say("When?")
    await arrangement.run_to_rest()

    assert await kinds(arrangement) == [
        "ConversationStarted",
        "MessageReceived",
        "ReasonRequested",
        "Reasoned",
        "ToolRequested",
        "ToolStarted",
        "TurnCancelled",
        "ToolReturned",
    ]


# -- time ---------------------------------------------------------------------------------------


async def test_another_attempt_waits_until_it_is_due() -> None:
    arrangement = await said(ModelBusy("429", delay_s=20), ANSWER)
    begin = arrangement.clock.at

    await arrangement.run_to_rest()

    waited = entry_of(arrangement, Reasoned).at - begin
    assert timedelta(seconds=20) <= waited <= timedelta(seconds=25)


async def test_a_step_that_is_not_due_is_given_back_until_it_is() -> None:
    arrangement = await said(ModelBusy("429", delay_s=20), ANSWER)
    await arrangement.shell.take(entry_of(arrangement, MessageReceived))
    await arrangement.shell.take(entry_of(arrangement, ReasonRequested))

    again_s = await arrangement.shell.take(entry_of(arrangement, ReasonRequested))

    assert again_s is not None
    assert 19 < again_s <= 24.1
    assert len(arrangement.model.prompts) == 1


async def test_a_model_that_takes_too_long_has_failed_and_may_be_asked_again() -> None:
    slow = replace(AGENT, limits=Limits(call_s=0.01, backoff_s=0))
    arrangement = await said(ANSWER, ANSWER, ANSWER, agent=slow)
    arrangement.model.delay_s = 0.5

    await arrangement.run_to_rest()

    failed = [e for e in await events(arrangement) if isinstance(e, ReasonFailed)]
    assert [(f.reason, f.retryable, f.detail) for f in failed] == [
        ("timeout", True, "no outcome within 0.01 s")
    ] * 3
    assert isinstance((await events(arrangement))[-1], TurnAbandoned)


async def test_a_turn_that_has_used_its_time_is_abandoned_by_its_timer() -> None:
    quick = replace(AGENT, limits=Limits(turn_s=5, backoff_s=30))
    arrangement = await said(ModelBusy("429"), ANSWER, agent=quick)

    await arrangement.run_to_rest()

    abandoned = next(e for e in await events(arrangement) if isinstance(e, TurnAbandoned))
    assert (abandoned.reason, abandoned.detail) == ("time", "the turn took longer than 5 s")
    assert len(arrangement.model.prompts) == 1


async def test_a_timer_that_fires_after_its_turn_changes_nothing() -> None:
    arrangement = await said(ANSWER)
    await arrangement.run_to_rest()
    before = len(arrangement.log.steps)

    await arrangement.shell.expire("acme", "c1", 1)
    await arrangement.shell.expire("acme", "nobody", 1)

    assert len(arrangement.log.steps) == before


async def test_a_timer_that_cannot_be_handled_stops_its_conversation_after_some_tries() -> None:
    arrangement = await said(ANSWER)
    await arrangement.shell.take(entry_of(arrangement, MessageReceived))
    arrangement.agents = MemoryAgents()
    shell = arrangement.restart()

    waits = [await shell.fire("acme", "c1", 1, deliveries=n) for n in range(1, POISON_MAX + 1)]

    assert waits[-1] is None
    assert None not in waits[:-1]
    assert (await kinds(arrangement))[-1] == "ConversationStopped"


async def test_a_timer_that_fires_twice_expires_its_turn_once() -> None:
    arrangement = await said(ANSWER)
    await arrangement.shell.take(entry_of(arrangement, MessageReceived))
    arrangement.clock.wait_until(arrangement.timers.due["acme", "c1", 1])

    await arrangement.shell.expire("acme", "c1", 1)
    await arrangement.restart().expire("acme", "c1", 1)

    assert (await kinds(arrangement))[-2:] == ["TurnExpired", "TurnAbandoned"]


async def test_a_timer_finishes_what_a_worker_that_died_in_it_had_begun() -> None:
    arrangement = await said(ANSWER)
    await arrangement.shell.take(entry_of(arrangement, MessageReceived))
    await arrangement.append("c1", TurnExpired(1))

    await arrangement.shell.expire("acme", "c1", 1)

    assert (await kinds(arrangement))[-2:] == ["TurnExpired", "TurnAbandoned"]


async def test_a_request_that_no_worker_came_back_from_is_given_up() -> None:
    arrangement = await said(ANSWER)
    await arrangement.shell.take(entry_of(arrangement, MessageReceived))
    request = entry_of(arrangement, ReasonRequested)

    assert await arrangement.shell.take(request, deliveries=DELIVERIES_MAX + 1) is None

    failed = next(e for e in await events(arrangement) if isinstance(e, ReasonFailed))
    assert failed.reason == "given_up"
    assert failed.detail == "given up after 13 deliveries: no worker came back from it"
    assert arrangement.model.prompts == []


async def test_the_last_delivery_still_counts() -> None:
    arrangement = await said(ANSWER)
    await arrangement.shell.take(entry_of(arrangement, MessageReceived))

    await arrangement.shell.take(entry_of(arrangement, ReasonRequested), deliveries=DELIVERIES_MAX)

    assert (await arrangement.rest()).answer == "At 9."


# -- a log that is away -------------------------------------------------------------------------


class AwayLog(MemoryLog):
    """A log that is away for the next `away` appends; with `recorded` only its words are lost."""

    def __init__(self) -> None:
        super().__init__(Clock())
        self.away = 0
        self.recorded = False

    async def append(self, drafts: Sequence[Draft], *, after: int) -> tuple[Entry, ...]:
        if not self.away:
            return await super().append(drafts, after=after)
        self.away -= 1
        if self.recorded:
            await super().append(drafts, after=after)
        raise LogUnavailable("the server is away")


@pytest.mark.parametrize("recorded", [False, True])
async def test_the_model_is_not_asked_twice_when_the_log_was_away_for_its_answer(
    recorded: bool,
) -> None:
    log = AwayLog()
    arrangement = await arranged(ANSWER, log=log)
    await arrangement.say("When?")
    await arrangement.shell.take(entry_of(arrangement, MessageReceived))
    request = entry_of(arrangement, ReasonRequested)
    log.away, log.recorded = 1, recorded

    assert await arrangement.shell.take(request) is None

    assert len(arrangement.model.prompts) == 1
    assert (await kinds(arrangement))[-2:] == ["Reasoned", "ResponseGiven"]


async def test_a_tool_does_not_run_twice_when_the_log_was_away_for_its_outcome() -> None:
    log, tool = AwayLog(), Counter()

    async def look(arguments: dict[str, Any], call: str) -> Any:
        log.away = 3
        return await tool(arguments, call)

    arrangement = Arrangement(replies=[LOOK_UP, ANSWER], tools=[FunctionTool(KEY, look)], log=log)
    await arrangement.start(AGENT)
    await arrangement.say("When?")
    await arrangement.run_to_rest()

    assert tool.calls == ["acme/c1/r1.1"]
    assert any(isinstance(event, ToolReturned) for event in await events(arrangement))
    assert (await arrangement.rest()).answer == "At 9."


async def test_a_start_whose_acknowledgement_was_lost_is_still_its_workers_own() -> None:
    log, tool = AwayLog(), Counter()
    arrangement = await arranged(LOOK_UP, ANSWER, tool=tool, log=log)
    await arrangement.say("When?")
    await arrangement.shell.take(entry_of(arrangement, MessageReceived))
    await arrangement.shell.take(entry_of(arrangement, ReasonRequested))
    log.away, log.recorded = 1, True

    await arrangement.run_to_rest()

    assert tool.calls == ["acme/c1/r1.1"]
    assert (await kinds(arrangement)).count("ToolStarted") == 1
    assert (await arrangement.rest()).answer == "At 9."


# -- poison -------------------------------------------------------------------------------------


async def stopped(arrangement: Arrangement, conversation: str = "c1") -> list[ConversationStopped]:
    found = await events(arrangement, conversation)
    return [event for event in found if isinstance(event, ConversationStopped)]


async def test_a_malformed_step_stops_its_conversation_and_nobody_elses(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.CRITICAL)
    arrangement = await said(ANSWER)
    arrangement.log.inject("steps.acme.c9.message.received", b"{junk")

    await arrangement.run_to_rest()

    (stop,) = await stopped(arrangement, "c9")
    assert stop.reason.startswith("malformed: ")
    assert stop.detail == "message.received"
    ((buried, reason),) = arrangement.log.dead
    assert (buried.position, reason) == (3, stop.reason)
    assert (await arrangement.rest()).answer == "At 9."


async def test_an_unknown_kind_stops_its_conversation_at_its_next_step() -> None:
    arrangement = await said(ANSWER)
    body = await payload(arrangement, b'{"type":"dance.danced/1"}')
    arrangement.log.inject("steps.acme.c1.dance.danced", body)

    await arrangement.run_to_rest()

    (stop,) = await stopped(arrangement)
    assert stop.reason == "kind 'dance.danced/1' is unknown to this version of stepfold"
    ((buried, _),) = arrangement.log.dead
    assert buried.position == 3
    assert stop.entry == buried.id
    assert arrangement.model.prompts == []


async def test_poison_that_arrives_while_a_tool_runs_stops_the_conversation_too() -> None:
    async def look(arguments: dict[str, Any], call: str) -> str:
        arrangement.log.inject("steps.acme.c1.message.received", b"{junk")
        return "x"

    arrangement = Arrangement(replies=[LOOK_UP, ANSWER], tools=[FunctionTool(KEY, look)])
    await arrangement.start(AGENT)
    await arrangement.say("When?")
    await arrangement.run_to_rest()

    assert len(await stopped(arrangement)) == 1
    assert any(isinstance(event, ToolReturned) for event in await events(arrangement))


async def test_a_broken_chain_stops_its_conversation() -> None:
    arrangement = await said(ANSWER)
    draft = first("acme", "c1", MessageReceived("unfenced"), by="stranger", key="x")
    arrangement.log.inject(subject(draft), encode(draft, at=arrangement.clock(), after=0))

    await arrangement.run_to_rest()

    (stop,) = await stopped(arrangement)
    assert stop.reason.startswith("broken chain: step 3 says it follows 0, but it follows 2")


async def test_a_kind_from_the_future_waits_for_a_newer_worker() -> None:
    arrangement = await said(ANSWER)
    body = await payload(arrangement, b'{"type":"message.received/2"}')
    arrangement.log.inject("steps.acme.c1.message.received", body)
    entry = entry_of(arrangement, MessageReceived)

    again_s = await arrangement.shell.take(entry, deliveries=100)

    assert again_s == 30
    assert await stopped(arrangement) == []
    assert arrangement.log.dead == []


async def test_a_conversation_is_stopped_once_however_many_see_the_poison() -> None:
    arrangement = await said(ANSWER)
    arrangement.log.inject("steps.acme.c1.message.received", b"{junk")
    message = entry_of(arrangement, MessageReceived)
    one, other = arrangement.shell, arrangement.restart()

    await one.take(message)
    await other.take(message)
    await arrangement.say("Hello?")
    await arrangement.run_to_rest()

    assert len(await stopped(arrangement)) == 1


async def test_a_timer_that_is_early_is_set_again() -> None:
    arrangement = await said(ANSWER)
    await arrangement.shell.take(entry_of(arrangement, MessageReceived))
    due = arrangement.timers.due.pop(("acme", "c1", 1))

    await arrangement.shell.expire("acme", "c1", 1)

    assert "TurnExpired" not in await kinds(arrangement)
    assert abs(arrangement.timers.due["acme", "c1", 1] - due) < timedelta(seconds=1)


async def test_a_timer_of_a_conversation_that_cannot_be_read_stops_it_as_a_step_would() -> None:
    arrangement = await said(ANSWER)
    await arrangement.shell.take(entry_of(arrangement, MessageReceived))
    arrangement.log.inject("steps.acme.c1.message.received", b"{junk")

    assert await arrangement.shell.fire("acme", "c1", 1) is None

    assert "TurnExpired" not in await kinds(arrangement)
    assert len(await stopped(arrangement)) == 1


async def test_a_step_that_the_shell_itself_fails_on_stops_its_conversation_in_the_end() -> None:
    def veto(state: object, event: Event) -> str | None:
        raise ValueError("a bug in a hook")

    arrangement = await arranged(ANSWER, vetoes=(veto,))
    await arrangement.say("When?")
    message = entry_of(arrangement, MessageReceived)

    waits = [await arrangement.shell.take(message, deliveries=n) for n in range(1, POISON_MAX)]
    assert all(wait is not None and 0 < wait <= 45 for wait in waits)
    assert await stopped(arrangement) == []
    assert await arrangement.shell.take(message, deliveries=POISON_MAX) is None

    (stop,) = await stopped(arrangement)
    assert stop == ConversationStopped(
        "ValueError: a bug in a hook", message.id, "message.received"
    )


async def test_a_stop_that_the_log_could_not_take_is_tried_again() -> None:
    def veto(state: object, event: Event) -> str | None:
        raise ValueError("a bug in a hook")

    log = AwayLog()
    arrangement = await arranged(ANSWER, vetoes=(veto,), log=log)
    await arrangement.say("When?")
    message = entry_of(arrangement, MessageReceived)
    log.away = 1

    assert await arrangement.shell.take(message, deliveries=POISON_MAX) is not None
    assert await arrangement.shell.take(message, deliveries=POISON_MAX + 1) is None

    assert len(await stopped(arrangement)) == 1


async def payload(arrangement: Arrangement, event: bytes) -> bytes:
    """A payload that follows on conversation c1, with any event in it."""
    after = (await arrangement.log.tail("acme", "c1")).position
    made = first("acme", "c1", MessageReceived("x"), by="stranger", key="y").id.encode()
    return b'{"id":"%s","at":"2026-01-01T00:00:00Z","after":%d,"event":%s}' % (made, after, event)


# -- the direct path ----------------------------------------------------------------------------

LABEL = {"type": "object", "properties": {"label": {"type": "string"}}, "required": ["label"]}


async def generated(*replies: Reply | Exception) -> tuple[Event, ...]:
    arrangement = await arranged(*replies)
    request = GenerationRequested("g1", "sort", {"mail": "Fees?"}, LABEL, "scripted")
    await arrangement.append("g", request)
    await arrangement.run_to_rest()
    return await events(arrangement, "g")


async def test_a_generation_gives_json_that_fits_its_schema() -> None:
    _, done = await generated(Reply('{"label": "fees"}'))

    assert getattr(done, "output", None) == {"label": "fees"}


@pytest.mark.parametrize(
    ("reply", "reason", "detail"),
    [
        (Reply("fees"), "malformed", "not JSON"),
        (Reply('{"label": 7}'), "malformed", "label: 7 is not of type 'string'"),
        (ModelBusy("429", reason="rate_limit"), "rate_limit", "429"),
    ],
)
async def test_a_generation_that_does_not_fit_says_why(
    reply: Reply | Exception, reason: str, detail: str
) -> None:
    _, failed, *_ = await generated(reply)

    assert isinstance(failed, GenerationFailed)
    assert failed.reason == reason
    assert detail in getattr(failed, "detail", "")


# -- what a late outcome does to the next prompt ------------------------------------------------


async def test_a_late_outcome_does_not_look_like_one_of_the_running_turn() -> None:
    async def look(arguments: dict[str, Any], call: str) -> str:
        await arrangement.cancel()
        await arrangement.say("Something else.")
        await arrangement.restart().take(entry_of(arrangement, MessageReceived))
        arrangement.restart()
        return "late"

    arrangement = Arrangement(replies=[LOOK_UP, ANSWER], tools=[FunctionTool(KEY, look)])
    await arrangement.start(AGENT)
    await arrangement.say("When?")
    await arrangement.run_to_rest()

    shown: Prompt = arrangement.model.prompts[-1]
    assert (await kinds(arrangement))[-4:-2] == ["ReasonRequested", "ToolReturned"]
    assert shown.question == "Something else."
    assert shown.results == ()
    assert "late" in [item.text for item in shown.items if isinstance(item, Result)]

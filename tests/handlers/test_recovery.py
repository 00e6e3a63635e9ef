"""What becomes of a tool call whose worker died, or that did not come back: by its own rule."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from stepfold.events.event import Event, ToolFailed, ToolReturned, ToolStarted, ToolUnknown
from stepfold.events.values import Arguments
from stepfold.handlers.tool import RunTool
from stepfold.handlers.work import DELIVERIES_MAX, RECOVERIES_MAX
from stepfold.policy.agent import Agent, Limits
from stepfold.policy.effect import Effect, Recovery
from stepfold.providers.model import Call, Reply
from stepfold.streams.log import FileRefused
from stepfold.streams.memory import MemoryFiles
from stepfold.testing import Arrangement
from stepfold.tools.tool import ToolError, ToolSpec
from stepfold.tools.unsure import Unsure

PAY = Reply(calls=(Call("pay", {"amount": 5}),))
DONE = Reply("Paid.")
UNKNOWN = "it had started when its worker died; whether it took effect is not known"


class Dies(BaseException):
    """The process that did this is no more."""


class Payments:
    """A server that keeps one effect per key, behind a tool that may die before or after it."""

    def __init__(self, *ends: Any, effect: Effect = "write", recovery: Recovery) -> None:
        self.spec = ToolSpec("pay", effect=effect, recovery=recovery, trusted=True)
        self.paid: list[str] = []
        self.runs = 0
        self.looked = 0
        self.lookup: Any = None
        self._ends = list(ends)

    async def run(self, arguments: Arguments, *, call: str) -> Any:
        self.runs += 1
        end = self._ends.pop(0) if self._ends else "after"
        if isinstance(end, BaseException):
            raise end
        self.paid.append(call)
        if end == "dies":
            raise Dies
        return "paid"


class Reconciled(Payments):
    async def reconcile(self, arguments: Arguments, *, call: str) -> Any:
        self.looked += 1
        if isinstance(self.lookup, Exception):
            raise self.lookup
        return "paid before" if call in self.paid else None


AGENT = Agent("desk", models=("scripted",), tools=("pay",), limits=Limits(call_s=20, turn_s=600))


async def crashed(tool: Payments, agent: Agent = AGENT) -> Arrangement:
    arrangement = Arrangement(replies=(PAY, DONE), tools=[tool])
    await arrangement.start(agent)
    await arrangement.say("Pay.")
    return await again(arrangement)


async def again(arrangement: Arrangement) -> Arrangement:
    """Run to rest, with a new process for each one that dies."""
    for _ in range(40):
        try:
            await arrangement.run_to_rest()
        except Dies:
            arrangement.restart()
            continue
        return arrangement
    raise AssertionError("processes die for ever")


async def outcomes(arrangement: Arrangement) -> list[Event]:
    kinds = ToolReturned | ToolFailed | ToolUnknown
    return [
        replace(event, elapsed_ms=0) if hasattr(event, "elapsed_ms") else event
        for event in (await arrangement.rest()).events
        if isinstance(event, kinds)
    ]


async def starts(arrangement: Arrangement) -> int:
    return sum(isinstance(event, ToolStarted) for event in (await arrangement.rest()).events)


async def test_what_must_never_repeat_is_unknown_after_a_crash() -> None:
    for end in ("dies", Dies()):
        tool = Payments(end, recovery="never_repeat")
        arrangement = await crashed(tool)

        assert tool.runs == 1
        assert await outcomes(arrangement) == [ToolUnknown("r1.1", 1, UNKNOWN)]
        assert (await arrangement.rest()).answer == "Paid."


async def test_what_is_idempotent_runs_again_with_the_same_key() -> None:
    for end in ("dies", Dies()):
        tool = Payments(end, recovery="idempotent")
        arrangement = await crashed(tool)

        assert tool.runs == 2
        assert set(tool.paid) == {"acme/c1/r1.1"}
        assert await starts(arrangement) == 2
        assert await outcomes(arrangement) == [ToolReturned("r1.1", 1, "paid")]


async def test_what_reconciles_runs_again_only_when_it_did_not_happen() -> None:
    happened = Reconciled("dies", recovery="reconcile")
    did_not = Reconciled(Dies(), recovery="reconcile")

    first, second = await crashed(happened), await crashed(did_not)

    assert (happened.runs, happened.looked, len(happened.paid)) == (1, 1, 1)
    assert await outcomes(first) == [ToolReturned("r1.1", 1, "paid before")]
    assert (did_not.runs, did_not.looked, len(did_not.paid)) == (2, 1, 1)
    assert await outcomes(second) == [ToolReturned("r1.1", 1, "paid")]


async def test_a_lookup_that_cannot_tell_leaves_it_unknown() -> None:
    tool = Reconciled("dies", recovery="reconcile")
    tool.lookup = ToolError("the bank is closed")

    arrangement = await crashed(tool)

    assert tool.runs == 1
    assert await outcomes(arrangement) == [
        ToolUnknown(
            "r1.1",
            1,
            "it had started, and its lookup cannot tell what became of it: the bank is closed",
        )
    ]


async def test_a_tool_that_only_reads_is_read_again() -> None:
    tool = Payments(Dies(), effect="read", recovery="never_repeat")

    arrangement = await crashed(tool)

    assert tool.runs == 2
    assert await outcomes(arrangement) == [ToolReturned("r1.1", 1, "paid")]


async def test_a_call_that_kills_every_worker_is_given_up_as_unknown() -> None:
    tool = Payments(*[Dies() for _ in range(30)], recovery="idempotent")

    arrangement = await crashed(tool)

    assert tool.runs == DELIVERIES_MAX
    assert await outcomes(arrangement) == [ToolUnknown("r1.1", 1, UNKNOWN)]


async def test_what_the_agent_was_not_granted_is_not_taken_up() -> None:
    """The tool says that it is idempotent, but not when this version of the agent was appointed."""
    tool = Payments(Dies(), recovery="never_repeat")
    arrangement = Arrangement(replies=(PAY, DONE), tools=[tool])
    await arrangement.start(AGENT)
    await arrangement.say("Pay.")
    with pytest.raises(Dies):
        await arrangement.run_to_rest()
    tool.spec = replace(tool.spec, recovery="idempotent")

    await again(arrangement)

    assert tool.runs == 1
    assert await outcomes(arrangement) == [ToolUnknown("r1.1", 1, UNKNOWN)]


async def test_a_started_tool_that_is_no_longer_set_up_is_unknown() -> None:
    tool = Payments(Dies(), recovery="idempotent")
    arrangement = Arrangement(replies=(PAY, DONE), tools=[tool])
    await arrangement.start(AGENT)
    await arrangement.say("Pay.")
    with pytest.raises(Dies):
        await arrangement.run_to_rest()
    arrangement.workers = {**arrangement.workers, "tool.requested": RunTool({})}
    arrangement.restart()

    await arrangement.run_to_rest()

    assert await outcomes(arrangement) == [ToolUnknown("r1.1", 1, UNKNOWN)]


@pytest.mark.parametrize("end", [TimeoutError("no answer"), Unsure("cut after it was sent")])
async def test_an_effect_that_is_unsure_is_looked_at_again(end: Exception) -> None:
    tool = Reconciled(end, recovery="reconcile")

    arrangement = await crashed(tool)

    assert (tool.runs, tool.looked) == (2, 1)
    assert await outcomes(arrangement) == [ToolReturned("r1.1", 1, "paid")]


async def test_but_not_for_ever() -> None:
    tool = Payments(*[Unsure("cut") for _ in range(30)], recovery="idempotent")

    arrangement = await crashed(tool)

    assert tool.runs == RECOVERIES_MAX
    assert await outcomes(arrangement) == [ToolUnknown("r1.1", 1, "cut")]


async def test_and_not_where_it_must_never_repeat() -> None:
    tool = Payments(Unsure("cut"), recovery="never_repeat")

    arrangement = await crashed(tool)

    assert tool.runs == 1
    assert await outcomes(arrangement) == [ToolUnknown("r1.1", 1, "cut")]


async def test_a_read_that_timed_out_has_failed() -> None:
    tool = Payments(TimeoutError("no answer"), effect="read", recovery="idempotent")

    arrangement = await crashed(tool)

    assert tool.runs == 1
    assert await outcomes(arrangement) == [
        ToolFailed("r1.1", 1, "the worker itself timed out: no answer")
    ]


async def test_a_tool_has_a_time_limit_of_its_own() -> None:
    tool = Says(None, timeout_s=0.02)
    tool.hangs = True

    arrangement = await crashed(tool)

    (outcome,) = await outcomes(arrangement)
    assert isinstance(outcome, ToolUnknown)
    assert outcome.reason == "the worker itself timed out: no outcome within the tool's 0.02 s"


# -- results ------------------------------------------------------------------


class Says(Payments):
    def __init__(self, said: Any, **spec: Any) -> None:
        super().__init__(recovery="never_repeat")
        self.spec = replace(self.spec, **spec)
        self._said = said
        self.hangs = False

    async def run(self, arguments: Arguments, *, call: str) -> Any:
        if self.hangs:
            await asyncio.get_running_loop().create_future()
        return self._said


@pytest.mark.parametrize(("effect", "kind"), [("read", ToolFailed), ("write", ToolUnknown)])
async def test_a_result_that_does_not_fit_its_schema_is_not_shown(
    effect: Effect, kind: type[Event]
) -> None:
    arrangement = await crashed(Says({"x": 1}, result={"type": "string"}, effect=effect))

    (outcome,) = await outcomes(arrangement)
    assert isinstance(outcome, kind)
    assert getattr(outcome, "reason", "") == (
        "it ran, but what it returned does not fit its schema: {'x': 1} is not of type 'string'"
    )


@pytest.mark.parametrize(
    ("said", "whole", "name"),
    [
        ("words " * 10, b"words " * 10, "txt"),
        ({"a": ["b"] * 10}, b'{"a":["b","b","b","b","b","b","b","b","b","b"]}', "json"),
    ],
)
async def test_of_a_long_result_the_beginning_is_shown_and_the_whole_kept(
    said: Any, whole: bytes, name: str
) -> None:
    arrangement = await crashed(Says(said, result_chars_max=20))

    (outcome,) = await outcomes(arrangement)
    assert isinstance(outcome, ToolReturned)
    assert outcome.file is not None
    assert await arrangement.files.get(outcome.file.blob) == whole
    assert outcome.file.name.endswith(name)
    assert outcome.result == (
        f"{whole[:20].decode()}\n[... 20 of {len(whole)} characters; the whole is the file"
        f" {outcome.file.name}]"
    )


async def test_where_the_whole_cannot_be_kept_that_is_said() -> None:
    class Full(MemoryFiles):
        async def put(self, data: bytes) -> str:
            raise FileRefused("too large")

    tool = Says("words " * 10, result_chars_max=20)
    for files in (Full(), None):
        arrangement = Arrangement(replies=(PAY, DONE), tools=[tool])
        arrangement.workers = {
            **arrangement.workers,
            "tool.requested": RunTool({"pay": tool}, files),
        }
        arrangement.restart()
        await arrangement.start(AGENT)
        await arrangement.say("Pay.")
        await arrangement.run_to_rest()

        (outcome,) = await outcomes(arrangement)
        assert isinstance(outcome, ToolReturned)
        assert outcome.file is None
        assert outcome.result.endswith("[... 20 of 60 characters; the rest is lost]")

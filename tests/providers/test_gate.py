"""Before a provider: how many at once, and none for a while after too many failed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from stepfold.providers.gate import FAILURES_MAX, OPEN_S, STALL_S, Gated
from stepfold.providers.model import ModelBusy, ModelFailed, Prompt, Reply
from stepfold.providers.scripted import ScriptedModel

PROMPT = Prompt(instructions="", tools=(), transcript=(), call="r1")
AWAY = ModelBusy("502", reason="unavailable")
HELLO = Reply("hello")


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def gated(replies: Sequence[Reply | Exception], clock: Clock) -> tuple[Gated, ScriptedModel]:
    model = ScriptedModel(replies)
    return Gated(model, "openai", clock=clock), model


async def failing(gate: Gated, times: int) -> list[str]:
    reasons = []
    for _ in range(times):
        with pytest.raises(ModelBusy) as raised:
            await gate.reply(PROMPT)
        reasons.append(raised.value.reason)
    return reasons


async def test_after_too_many_failures_a_provider_is_left_alone_and_not_asked() -> None:
    clock = Clock()
    gate, model = gated([AWAY] * 20, clock)

    reasons = await failing(gate, FAILURES_MAX + 2)

    assert reasons == ["unavailable"] * FAILURES_MAX + ["circuit_open"] * 2
    assert len(model.prompts) == FAILURES_MAX


async def test_then_one_call_tries_whether_it_is_back() -> None:
    clock = Clock()
    gate, model = gated([AWAY] * FAILURES_MAX + [HELLO, HELLO], clock)
    await failing(gate, FAILURES_MAX)
    clock.now += OPEN_S + 1

    assert (await gate.reply(PROMPT)).text == "hello"
    assert (await gate.reply(PROMPT)).text == "hello"
    assert len(model.prompts) == FAILURES_MAX + 2


async def test_a_trial_that_fails_shuts_it_again() -> None:
    clock = Clock()
    gate, model = gated([AWAY] * 20, clock)
    await failing(gate, FAILURES_MAX)
    clock.now += OPEN_S + 1

    assert await failing(gate, 2) == ["unavailable", "circuit_open"]
    assert len(model.prompts) == FAILURES_MAX + 1


async def test_while_one_tries_the_others_are_turned_away() -> None:
    clock = Clock()
    gate, model = gated([AWAY] * FAILURES_MAX + [HELLO], clock)
    await failing(gate, FAILURES_MAX)
    clock.now += OPEN_S + 1
    model.delay_s = 0.05

    trial = asyncio.create_task(gate.reply(PROMPT))
    await asyncio.sleep(0)

    assert await failing(gate, 1) == ["circuit_open"]
    assert (await trial).text == "hello"


async def test_what_is_not_the_providers_trouble_does_not_count() -> None:
    clock = Clock()
    busy = ModelBusy("429", reason="rate_limit", delay_s=1)
    gate, _model = gated([busy] * 10 + [ModelFailed("400")] * 10 + [HELLO], clock)

    assert await failing(gate, 10) == ["rate_limit"] * 10
    for _ in range(10):
        with pytest.raises(ModelFailed):
            await gate.reply(PROMPT)

    assert (await gate.reply(PROMPT)).text == "hello"


async def test_a_success_forgets_the_failures_before_it() -> None:
    clock = Clock()
    gate, _ = gated([AWAY] * (FAILURES_MAX - 1) + [HELLO] + [AWAY] * 3, clock)
    await failing(gate, FAILURES_MAX - 1)
    await gate.reply(PROMPT)

    assert await failing(gate, 3) == ["unavailable"] * 3


@pytest.mark.parametrize(("waited_s", "reason"), [(STALL_S + 1, "circuit_open"), (1.0, "")])
async def test_a_call_that_stalled_counts_and_one_that_was_cancelled_does_not(
    waited_s: float, reason: str
) -> None:
    clock = Clock()
    gate, model = gated([HELLO] * 20, clock)
    for _ in range(FAILURES_MAX):
        model.delay_s = 60
        call = asyncio.create_task(gate.reply(PROMPT))
        await asyncio.sleep(0)
        clock.now += waited_s
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
    model.delay_s = 0

    assert (await failing(gate, 1) if reason else [(await gate.reply(PROMPT)).text]) == [
        reason or "hello"
    ]


async def test_more_calls_than_there_is_room_for_are_turned_away() -> None:
    model = ScriptedModel([HELLO] * 3, delay_s=0.3)
    gate = Gated(model, "openai", at_once=2, wait_s=0.01)
    running = [asyncio.create_task(gate.reply(PROMPT)) for _ in range(2)]
    await asyncio.sleep(0)

    assert await failing(gate, 1) == ["at_capacity"]
    assert [reply.text for reply in await asyncio.gather(*running)] == ["hello"] * 2


async def test_how_many_at_once_may_change_while_calls_run() -> None:
    model = ScriptedModel([HELLO] * 6, delay_s=0.3)
    gate = Gated(model, "openai", at_once=1, wait_s=0.01)
    running = [asyncio.create_task(gate.reply(PROMPT))]
    await asyncio.sleep(0)
    assert await failing(gate, 1) == ["at_capacity"]

    gate.at_once = 2
    running.append(asyncio.create_task(gate.reply(PROMPT)))
    await asyncio.sleep(0)

    assert await failing(gate, 1) == ["at_capacity"]
    assert [reply.text for reply in await asyncio.gather(*running)] == ["hello"] * 2
    assert len(model.prompts) == 2


async def test_a_trial_that_is_cancelled_while_it_waits_lets_another_one_try() -> None:
    clock = Clock()
    gate, model = gated([AWAY] * FAILURES_MAX + [HELLO], clock)
    model.delay_s = 60
    slow = asyncio.create_task(gate.reply(PROMPT))
    await asyncio.sleep(0)
    model.delay_s = 0
    await failing(gate, FAILURES_MAX)
    clock.now += OPEN_S + 1
    gate.at_once = 1
    trial = asyncio.create_task(gate.reply(PROMPT))
    await asyncio.sleep(0)

    trial.cancel()
    await asyncio.gather(trial, return_exceptions=True)
    gate.at_once = 2

    assert (await gate.reply(PROMPT)).text == "hello"
    slow.cancel()
    await asyncio.gather(slow, return_exceptions=True)

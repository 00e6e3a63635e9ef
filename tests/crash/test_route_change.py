"""The routes change while two workers are busy: new asks go to the new model, and no step is lost
or repeated.
"""

from __future__ import annotations

import asyncio
import json
import logging
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
from msgspec.structs import replace

from stepfold import settings
from stepfold.app import Opened, Parts, opened, working
from stepfold.cli.why import Why, choices_of
from stepfold.evaluation.replay import replay_log
from stepfold.events.event import ReasonRequested
from stepfold.handlers.worlds import LOOK_S
from stepfold.providers.model import Prompt, Reply
from stepfold.routing import digest
from stepfold.settings import parse_routes
from tests.cli.commands import spawn
from tests.crash.stage import Stage
from tests.crash.worker import AGENT, CountingModel, Facts, Fate, Plan, WritingTool
from tests.servers import Server
from tests.waiting import eventually

OLD, NEW = "counting/old", "counting/new"
DECLARED = """
[providers.counting]
base_url = "http://127.0.0.1:9/v1"
[models]
"counting/old" = {}
"counting/new" = {}
"""
ROUTES = {model: f'[converse]\nask = ["{model}"]\n{DECLARED}' for model in (OLD, NEW)}
TABLES = {model: digest(parse_routes(toml, "routes.toml")) for model, toml in ROUTES.items()}
ROUTED = replace(AGENT, models=())
CONTACTS, EACH_SIDE = 8, 24
HELD = "held"
ACK_WAIT_S, MODEL_S, TOOL_S = 2.5, 0.02, 0.01
SOON_S = 10 * LOOK_S


class HoldingModel(CountingModel):
    """One conversation gets no answer until it is let go: it is surely in the middle."""

    def __init__(self, fate: Fate, plan: Plan) -> None:
        super().__init__(fate, plan)
        self.holds = asyncio.Event()
        self.let_go = asyncio.Event()

    async def reply(self, prompt: Prompt, /) -> Reply:
        if prompt.question == f"{HELD}/1":
            self.holds.set()
            await self.let_go.wait()
        return await super().reply(prompt)


class Contacts:
    """So many at once; each begins another conversation when it has its answer, until told."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._go_on = True
        self.begun: list[str] = []
        self.answered: list[str] = []

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[None]:
        """Those that are waiting when the block ends still get their answers."""
        async with asyncio.TaskGroup() as group:
            for _ in range(CONTACTS):
                group.create_task(self._write())
            try:
                yield
            finally:
                self._go_on = False

    async def _write(self) -> None:
        while self._go_on:
            conversation = f"c{len(self.begun)}"
            self.begun.append(conversation)
            await self._stage.say(conversation)
            await self._stage.rest([conversation])
            self.answered.append(conversation)

    async def more(self, number: int) -> None:
        """Wait for so many more answers."""
        enough = len(self.answered) + number
        await eventually(lambda: len(self.answered) >= enough, 60, what=f"{number} more answers")


class Scene:
    """What happened around the change: the conversations that had their answers `before` it, those
    that were in the middle, and those that began when both workers had the new routes.
    """

    def __init__(self, found: Opened, stage: Stage, folder: Path, said: Callable[[], str]) -> None:
        self.found = found
        self._said = said
        self.stage = stage
        self.folder = folder
        self.contacts = Contacts(stage)
        self.before: Sequence[str] = ()
        self.middle: Sequence[str] = ()
        self.after: Sequence[str] = ()
        self.lost: set[str] = set()

    @property
    def all(self) -> Sequence[str]:
        return (HELD, *self.contacts.begun)

    async def play(self, *, dies: bool) -> None:
        plan = Plan("", str(self.folder / "effects"), model_s=MODEL_S, tool_s=TOOL_S)
        fate, contacts = Fate(plan), self.contacts
        model = HoldingModel(fate, plan)
        tools = {"write": WritingTool(fate, plan)}
        parts = Parts(Facts(fate), {"counting": model}, tools=tools)
        await self.apply(OLD)
        async with AsyncExitStack() as stack:
            stack.callback(fate.close)
            for _ in range(2):
                await stack.enter_async_context(working(self.found, parts, ack_wait_s=ACK_WAIT_S))
            await self.stage.say(HELD)
            await eventually(model.holds.is_set)
            async with contacts.writing():
                await contacts.more(EACH_SIDE)
                self.before = tuple(contacts.answered)
                await (self._change_and_kill() if dies else self.apply(NEW))
                await eventually(self._taken_over, SOON_S, what="both workers have the new routes")
                begun = len(contacts.begun)
                model.let_go.set()
                await contacts.more(EACH_SIDE + CONTACTS)
            self.after = tuple(contacts.begun[begun:])
            middle = set(self.all) - set(self.before) - set(self.after)
            self.middle = tuple(each for each in self.all if each in middle)
            for conversation in (*self.before, HELD):
                await self.stage.say(conversation, 2)
            await self.stage.rest(self.all)

    async def apply(self, model: str) -> None:
        """`stepfold route apply`, as somebody types it."""
        file = self.folder / "routes.toml"
        file.write_text(ROUTES[model])
        type_it = partial(spawn, "route", "apply", file, "--json", NATS_URL=self.stage.server.url)
        ended = await asyncio.to_thread(type_it)
        assert ended.returncode == 0, ended.stderr
        assert json.loads(ended.stdout) == {"table": TABLES[model]}

    def _taken_over(self) -> bool:
        return self._said().count(TABLES[NEW]) == 2

    async def _change_and_kill(self) -> None:
        """A third worker takes part, and is killed as soon as the new routes are applied."""
        third = self.stage.worker(ack_wait_s=ACK_WAIT_S, model_s=MODEL_S, tool_s=TOOL_S)
        await self.stage.ready(third)
        await eventually(
            lambda: self.stage.by_process("asked ")[str(third.pid)] >= CONTACTS,
            30,
            what="the third worker is busy",
        )
        await self.apply(NEW)
        third.kill()
        assert await self.stage.ends(third) == -signal.SIGKILL
        self.lost = await self.stage.unrecorded()

    async def models(self, conversation: str) -> list[str]:
        """Those that were asked, in order."""
        entries = await self.stage.entries(conversation)
        return [each.event.model for each in entries if isinstance(each.event, ReasonRequested)]

    async def choices(self, conversation: str) -> tuple[Why, ...]:
        return tuple(choices_of(await self.stage.entries(conversation)))


@pytest.fixture
async def scene(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> AsyncIterator[Scene]:
    caplog.set_level(logging.INFO, "stepfold.worlds")
    here = settings.read({"NATS_URL": server.url}, folder=tmp_path)
    async with opened(here) as found:
        stage = Stage(server, tmp_path, found, await found.inbox(ROUTED))
        try:
            yield Scene(found, stage, tmp_path, lambda: caplog.text)
        finally:
            stage.clear()


async def each_step_is_there_once(scene: Scene) -> None:
    """Whole chains, in which each request has one outcome; and every decision follows again."""
    for conversation in scene.all:
        entries = await scene.stage.entries(conversation)
        assert [each.after for each in entries] == [0, *(each.position for each in entries[:-1])]
        await scene.stage.each_step_once(conversation)
        await scene.stage.every_message_is_answered(conversation)
    replayed = await replay_log(scene.found.log, scene.found.agents, scene.found.routes)
    assert replayed.conversations == len(scene.all)
    assert (replayed.differences, replayed.pending) == (0, 0), replayed.first


async def old_before_and_new_after(scene: Scene) -> None:
    """Two asks a turn; those that were before the change had another turn after it."""
    models = {name: await scene.models(name) for name in scene.all}
    assert len(scene.before) >= EACH_SIDE <= len(scene.after)
    assert all(models[name] == [OLD, OLD, NEW, NEW] for name in scene.before)
    assert models[HELD] == [OLD, NEW, NEW, NEW]
    assert all(models[name] == [NEW, NEW] for name in scene.after)
    assert all(set(models[name]) <= {OLD, NEW} for name in scene.middle)


async def test_a_route_change_under_load_loses_and_repeats_no_step(scene: Scene) -> None:
    await scene.play(dies=False)

    await each_step_is_there_once(scene)
    turns = len(scene.all) + len(scene.before) + 1
    assert len(scene.stage.asked) == 2 * turns
    assert len(scene.stage.ran) == turns
    assert set(scene.stage.asked.values()) == {1}
    assert set(scene.stage.ran.values()) == {1}


async def test_a_route_change_reaches_every_later_ask_and_why_explains_each(scene: Scene) -> None:
    await scene.play(dies=False)

    await old_before_and_new_after(scene)
    for name in scene.all:
        choices = await scene.choices(name)
        assert [each.model for each in choices] == await scene.models(name)
        for why in choices:
            assert why.choice is not None
            assert why.choice.table == TABLES[why.model]
            assert (why.choice.route, why.choice.place) == ("converse", 1)
            assert (why.why, why.outcome) == ("the first that fits", "reason.finished")


async def test_a_worker_that_dies_at_a_route_change_loses_and_repeats_nothing(scene: Scene) -> None:
    await scene.play(dies=True)

    await each_step_is_there_once(scene)
    await old_before_and_new_after(scene)
    assert {call for call, times in scene.stage.asked.items() if times > 1} <= scene.lost
    assert set(scene.stage.asked.values()) <= {1, 2}
    assert set(scene.stage.ran.values()) == {1}

"""pytest for agents: recorded conversations as cases, and a real server of one's own.

    @pytest.mark.replay("logs/*.jsonl")          each conversation of each file is a case; it fails
    def test_logs(replayed): ...                 by itself when a decision does not follow again

    async def test_mine(stepfold): ...           a nats-server of its own, on a free port

Nothing of stepfold is imported before a test asks for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from stepfold.app import Opened, Parts
    from stepfold.evaluation.replay import Report
    from stepfold.events.envelope import Entry
    from stepfold.handlers.decide import Veto
    from stepfold.knowledge.knowledge import Knowledge
    from stepfold.policy.agent import Agent
    from stepfold.projections.state import Conversation
    from stepfold.providers.model import Model, Reply
    from stepfold.settings import Settings
    from stepfold.testing import Rest
    from stepfold.tools.tool import Tool

REST_S = 30.0
LOOK_S = 0.01


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "replay(*globs, vetoes=()): each conversation of each file, relative to the test's own,"
        " is a case; it fails when a decision does not follow again from the steps before it",
    )


# -- recorded conversations ---------------------------------------------------------------------


class Case(NamedTuple):
    """One conversation of a file; `vetoes` are the hooks that were asked when it was recorded."""

    path: Path
    key: tuple[str, str]
    vetoes: Sequence[Veto]


class Replayed(NamedTuple):
    """A recorded conversation, each of its decisions derived again. `diff` shows the first that
    differs, `state` is what the whole conversation folds to.
    """

    entries: tuple[Entry, ...]
    decisions: int
    differences: int
    state: Conversation
    path: Path
    conversation: str
    diff: str = ""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    cases = [
        case
        for mark in metafunc.definition.iter_markers("replay")
        for case in _cases(Path(metafunc.definition.path).parent, mark)
    ]
    if not any(metafunc.definition.iter_markers("replay")):
        return
    if "replayed" not in metafunc.fixturenames:  # the test does not look at it: it is a case too
        metafunc.fixturenames.append("replayed")
    metafunc.parametrize("replayed", cases, ids=_name, indirect=True)


def _cases(folder: Path, mark: pytest.Mark) -> Iterator[Case]:
    from stepfold.streams.archive import entries, load

    for glob in mark.args:
        paths = sorted(folder.glob(glob))
        if not paths:
            raise pytest.UsageError(f"replay({glob!r}): no such file in {folder}")
        for path in paths:
            for key in dict.fromkeys(entry.key for entry in entries(load(path))):
                yield Case(path, key, mark.kwargs.get("vetoes", ()))


def _name(case: Case) -> str:
    return f"{case.path.name}-{'/'.join(case.key)}"


@pytest.fixture
def replayed(request: pytest.FixtureRequest) -> Replayed:
    """The recorded conversation of this case."""
    if not hasattr(request, "param"):
        raise pytest.UsageError('`replayed` needs recordings: mark the test replay("logs/*.jsonl")')
    return _replay(request.param)


def _replay(case: Case) -> Replayed:
    from stepfold.evaluation.replay import Replay
    from stepfold.streams.archive import entries, load

    archive = load(case.path)
    found = tuple(entry for entry in entries(archive) if entry.key == case.key)
    replay = Replay(archive.agents, vetoes=case.vetoes)
    replay.take(found)
    report: Report = replay.report()
    return Replayed(
        entries=found,
        decisions=report.decisions,
        differences=report.differences,
        state=replay.state(case.key),
        path=case.path,
        conversation=case.key[1],
        diff=report.first,
    )


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> None:
    case = item.callspec.params.get("replayed") if hasattr(item, "callspec") else None
    if not isinstance(case, Case):
        return
    found = getattr(item, "funcargs", {}).get("replayed") or _replay(case)
    if found.differences:
        pytest.fail(
            f"{found.path}: {found.differences} of {found.decisions} decisions of conversation"
            f" {found.conversation} do not follow again; the first:\n{found.diff}",
            pytrace=False,
        )


# -- a real server ------------------------------------------------------------------------------


class Stepfold:
    """A nats-server of one's own at `url`. `run` is `stepfold.testing.run_to_rest` on it."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.url = url

    @property
    def settings(self) -> Settings:
        from stepfold.settings import Settings

        return Settings(folder=self.folder, nats_url=self.url)

    def opened(self) -> AbstractAsyncContextManager[Opened]:
        """The log, the agents and the inbox of this server."""
        from stepfold.app import opened

        return opened(self.settings)

    @asynccontextmanager
    async def working(self, parts: Parts) -> AsyncIterator[Opened]:
        """The same with workers on it, until the block ends."""
        from stepfold.app import working

        async with self.opened() as found, working(found, parts):
            yield found

    async def run(
        self,
        agent: Agent,
        *said: str,
        replies: Iterable[Reply | Exception] = (),
        models: Mapping[str, Model] | None = None,
        tools: Iterable[Tool] = (),
        knowledge: Knowledge | None = None,
        vetoes: Sequence[Veto] = (),
        conversation: str = "c1",
    ) -> Rest:
        """A conversation in which a contact says one thing after the other, each run to rest."""
        from stepfold.app import Parts
        from stepfold.handlers.inbox import Message
        from stepfold.providers.scripted import ScriptedModel
        from stepfold.testing import CUSTOMER, Passages

        parts = Parts(
            knowledge=knowledge or Passages(collections=()),
            models={"scripted": ScriptedModel(replies), **(models or {})},
            tools={tool.spec.name: tool for tool in tools},
            vetoes=vetoes,
        )
        async with self.working(parts) as found:
            inbox = await found.inbox(agent)
            for text in said:
                message = f"m{(await found.log.tail(CUSTOMER, conversation)).position}"
                await inbox.receive(Message(CUSTOMER, conversation, text, message))
                await self._until_rest(found, conversation)
            return await self.rest(found, conversation)

    async def rest(self, found: Opened, conversation: str = "c1") -> Rest:
        """The conversation as it is now."""
        from stepfold.projections.conversation import replay
        from stepfold.testing import CUSTOMER, Rest

        entries = await found.log.read(CUSTOMER, conversation)
        return Rest(tuple(entries), replay(entry.event for entry in entries))

    async def _until_rest(self, found: Opened, conversation: str) -> None:
        async with asyncio.timeout(REST_S):
            while True:
                state = (await self.rest(found, conversation)).state
                moving = state.turn is not None or state.unheard or state.open
                if state.stopped or not moving:
                    return
                await asyncio.sleep(LOOK_S)


@pytest.fixture
def stepfold(tmp_path: Path) -> Iterator[Stepfold]:
    """A real nats-server on a free loopback port, in a folder of its own, for this test alone."""
    from stepfold.streams.server import embedded

    folder = tmp_path / "stepfold"
    loop = asyncio.new_event_loop()
    server = embedded(folder, durability="interval")
    try:
        yield Stepfold(folder, loop.run_until_complete(server.__aenter__()))
    finally:
        loop.run_until_complete(server.__aexit__(None, None, None))
        loop.close()

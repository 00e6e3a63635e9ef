"""The logs that the contract is run against: a new one is one more factory in the table."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from stepfold.app import opened
from stepfold.settings import Settings
from stepfold.streams.log import Log
from stepfold.streams.memory import MemoryLog

Factory = Callable[[Path], AbstractAsyncContextManager[Log]]


@asynccontextmanager
async def memory(folder: Path) -> AsyncIterator[Log]:
    yield MemoryLog()


@asynccontextmanager
async def jetstream(folder: Path) -> AsyncIterator[Log]:
    async with opened(Settings(folder=folder)) as found:
        yield found.log


LOGS: Mapping[str, Factory] = {"memory": memory, "jetstream": jetstream}
"""An empty log in an empty folder, by name."""


@pytest.fixture(params=LOGS)
async def log(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Log]:
    async with LOGS[request.param](tmp_path) as made:
        yield made

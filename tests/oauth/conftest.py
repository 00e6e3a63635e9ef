from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from stepfold.streams.server import embedded
from stepfold.tools.vault import MemoryStore, Store
from tests.oauth.flows import jetstream
from tests.oauth.provider import Provider, serving


@pytest.fixture
def provider() -> Iterator[Provider]:
    with serving() as found:
        yield found


@pytest.fixture(params=["memory", "jetstream"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """Both that ship; the second on a real server."""
    if request.param == "memory":
        yield MemoryStore()
        return
    async with embedded(tmp_path / "data", durability="interval") as url, jetstream(url) as found:
        yield found

"""kill -9 of a worker around calls of MCP servers and of OpenAPI connections: the same rules."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from stepfold.events.event import ToolReturned, ToolStarted, ToolUnknown
from stepfold.policy.agent import Agent, Limits
from stepfold.policy.grants import resolve
from stepfold.tools.openapi import catalogue, parse_description
from stepfold.tools.openapi.making import Wanted, keep
from tests.crash.far_side import DESCRIPTION, KEY, FarSide, far_side
from tests.crash.stage import Stage
from tests.crash.worker import tools_in
from tests.mcp_servers.begun import SHOP, shop_over_http
from tests.servers import Server
from tests.waiting import eventually

WAIT_S = 0.4
slow = pytest.mark.skipif(
    not os.environ.get("STEPFOLD_SLOW"),
    reason="it waits until the first run must have ended: STEPFOLD_SLOW=1",
)
CALL = "acme/c1/r1.1"
ORDER = {"body": {"n": 1}}
Outcome = ToolReturned | ToolUnknown


@pytest.fixture
def far() -> Iterator[FarSide]:
    with far_side() as far:
        yield far


@asynccontextmanager
async def staged(server: Server, tmp_path: Path, folder: Path, tool: str) -> AsyncIterator[Stage]:
    async with tools_in(folder) as tools:
        specs = {name: each.spec for name, each in tools.items()}
    limits = Limits(backoff_s=0.1, backoff_s_max=0.2)
    agent = Agent("worker", models=("counting",), tools=(tool,), limits=limits)
    async with Stage.on(server, tmp_path, resolve(agent, specs)) as stage:
        yield stage


async def outcome(stage: Stage) -> tuple[Outcome, int]:
    """Of the one call, and how often it started."""
    events = [entry.event for entry in await stage.entries("c1")]
    (found,) = [event for event in events if isinstance(event, Outcome)]
    return found, sum(isinstance(event, ToolStarted) for event in events)


# -- OpenAPI --------------------------------------------------------------------------------------


def connected(folder: Path, far: FarSide, key_header: str) -> Path:
    made = Wanted(
        name="far",
        catalogue=catalogue(parse_description(json.dumps(DESCRIPTION).encode())),
        writes=("AddOrder",),
        server=far.url,
        private=(far.host,),
        key_header=key_header,
    ).make()
    keep(made, folder / "connections")
    return folder


@pytest.mark.parametrize(("key_header", "kind"), [(KEY, ToolReturned), ("", ToolUnknown)])
async def test_an_operation_that_was_under_way(
    server: Server, tmp_path: Path, far: FarSide, key_header: str, kind: type[Outcome]
) -> None:
    folder = connected(tmp_path / "user", far, key_header)
    async with staged(server, tmp_path, folder, "far_AddOrder") as stage:
        plan: dict[str, Any] = {"tools": str(folder), "calls": {"far_AddOrder": ORDER}}
        await stage.say("c1")
        dying = stage.forked(**plan, ack_wait_s=WAIT_S)
        far.meet = lambda kind, call: dying.kill()
        assert await dying.ends() == -signal.SIGKILL, stage.said()
        far.meet = None
        await eventually(lambda: far.asked)

        async with stage.working(**plan, ack_wait_s=WAIT_S):
            await stage.rest(["c1"])

        found, _ = await outcome(stage)
        assert isinstance(found, kind)
        assert far.done.total() == 1
        assert far.asked.total() == (2 if key_header else 1)


# -- MCP ------------------------------------------------------------------------------------------

FILE = """[servers.shop]
{way}
tools = ["place_order", "find_order"]
timeout_s = 3
[servers.shop.tool.place_order]
effect = "write"
{rule}
[servers.shop.tool.find_order]
effect = "read"
"""
KEYED = 'recovery = "idempotent"\nkey = "key"'
FOUND = 'recovery = "reconcile"\nkey = "key"\nlookup = "find_order"\nlookup_key = "key"'


@contextmanager
def shop(way: str, ledger: Path) -> Iterator[str]:
    """How the same shop is reached: as a child of the worker, or as a website."""
    if way == "stdio":
        words = json.dumps([str(SHOP), str(ledger)])
        yield f"command = '{sys.executable}'\nargs = {words}"
        return
    with shop_over_http(ledger) as (_, port):
        yield f"url = 'http://127.0.0.1:{port}/mcp'\nprivate = ['127.0.0.0/8']"


@pytest.mark.parametrize(
    ("way", "rule", "starts", "kind"),
    [
        ("http", KEYED, 2, ToolReturned),
        ("http", "", 1, ToolUnknown),
        ("stdio", KEYED, 2, ToolReturned),
        pytest.param("stdio", FOUND, 2, ToolReturned, marks=slow),
    ],
    ids=[
        "idempotent over http",
        "never repeat over http",
        "idempotent over stdio",
        "reconcile over stdio",
    ],
)
async def test_a_tool_of_a_server_whose_answer_nobody_recorded(
    server: Server,
    tmp_path: Path,
    way: str,
    rule: str,
    starts: int,
    kind: type[Outcome],
) -> None:
    folder = tmp_path / "user"
    folder.mkdir()
    order = {"item": "tea"} if rule else {"item": "tea", "key": CALL}
    plan: dict[str, Any] = {"tools": str(folder), "calls": {"shop_place_order": order}}
    with shop(way, tmp_path / "ledger") as told:
        (folder / "mcp.toml").write_text(FILE.format(way=told, rule=rule))
        await killed_and_taken_up(server, tmp_path, plan, starts, kind)


async def killed_and_taken_up(
    server: Server, tmp_path: Path, plan: dict[str, Any], starts: int, kind: type[Outcome]
) -> None:
    async with staged(server, tmp_path, Path(plan["tools"]), "shop_place_order") as stage:
        await stage.say("c1")
        dying = stage.forked(
            **plan, ack_wait_s=WAIT_S, boundary="before append", kind="tool.returned"
        )
        assert await dying.ends() == -signal.SIGKILL, stage.said()
        assert (tmp_path / "ledger").read_text() == f"{CALL} tea\n"

        async with stage.working(**plan, ack_wait_s=WAIT_S):
            await stage.rest(["c1"])

        assert (tmp_path / "ledger").read_text() == f"{CALL} tea\n"
        found, started = await outcome(stage)
        assert isinstance(found, kind)
        assert started == starts

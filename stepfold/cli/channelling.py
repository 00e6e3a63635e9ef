"""The channels that have a file in the data folder: their doors at the gateway, and who delivers.

channels/slack.toml    Slack (docs/slack.md)
channels/teams.toml    Microsoft Teams (docs/teams.md)
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from stepfold.app import Opened
from stepfold.gateway.appointed import Appointed
from stepfold.gateway.dashboard.dashboard import PREFIX, routes
from stepfold.gateway.front import Front
from stepfold.gateway.guarding import Guard
from stepfold.settings import Settings
from stepfold.streams.config import CHANNELS
from stepfold.streams.jetstream.sealed import JetStreamSealed
from stepfold.streams.lanes import Lanes

FOLDER = "channels"
SLACK, TEAMS = "slack.toml", "teams.toml"


@asynccontextmanager
async def channelling(found: Opened, here: Settings) -> AsyncIterator[list[BaseRoute]]:
    """Deliver until the block ends; yields the routes by which the channels tell us things."""
    folder = here.folder / FOLDER
    async with AsyncExitStack() as stack:
        doors: list[BaseRoute] = []
        if (folder / SLACK).exists():
            doors += await stack.enter_async_context(_slack(found, folder / SLACK))
        if (folder / TEAMS).exists():
            doors += await stack.enter_async_context(_teams(found, folder / TEAMS))
        yield doors


def mounted(front: Front, guard: Guard, channels: Sequence[BaseRoute]) -> Sequence[BaseRoute]:
    """What looks after its own rights: the dashboard, where its cookies can be sealed, and the
    doors of the channels.
    """
    if guard.visitors is None:
        return channels
    dashboard = routes(front, guard.keys, guard.visitors.keys, guard.limits)
    return [Route(PREFIX, _dashboard, methods=["GET"]), *dashboard, *channels]


async def _dashboard(request: Request) -> Response:
    return RedirectResponse(f"{PREFIX}/")


@asynccontextmanager
async def _slack(found: Opened, path: Path) -> AsyncIterator[list[BaseRoute]]:
    from stepfold.channels.slack.config import read_slack

    config = read_slack(path, os.environ)
    from stepfold.channels.slack.app import SlackDoor
    from stepfold.channels.slack.deliver import delivering

    door = SlackDoor(
        config,
        receive=Appointed(found).receive,
        log=found.log,
        approvals=found.approvals(),
        files=found.files,
    )
    try:
        async with delivering(config, found.client):
            yield list(door.routes())
    finally:
        await door.close()


@asynccontextmanager
async def _teams(found: Opened, path: Path) -> AsyncIterator[list[BaseRoute]]:
    from stepfold.channels.teams import read_teams

    config = read_teams(path, os.environ)
    from stepfold.channels.teams.app import beginning
    from stepfold.channels.teams.channel import World, channel

    agent = await found.appointed()
    inbox = await found.inbox()
    digest = await found.agents.put(agent)
    teams = channel(
        config,
        World(
            client=found.client,
            log=found.log,
            store=JetStreamSealed(found.client, CHANNELS),
            keep=found.files.put,
            receive=Appointed(found).receive,
            begin=beginning(found.log, agent.name, digest),
            cancel=inbox.cancel,
            approvals=found.approvals(),
        ),
    )
    lanes = Lanes(found.client)
    await teams.mount(lanes)
    await lanes.start()
    try:
        yield list(teams.routes)
    finally:
        await lanes.stop()

"""The channels that have a file in the data folder: their doors at the gateway, and who delivers.

ChannelsRefused    every mistake of every file at once
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from stepfold.app import Opened
from stepfold.cli import exits
from stepfold.cli.channels import SLACK, TEAMS, file_of, present
from stepfold.gateway.appointed import Appointed
from stepfold.gateway.dashboard.dashboard import PREFIX, routes
from stepfold.gateway.front import Front
from stepfold.gateway.guarding import Guard
from stepfold.settings import Settings
from stepfold.streams.config import CHANNELS
from stepfold.streams.jetstream.sealed import JetStreamSealed
from stepfold.streams.lanes import Lanes

Channel = Callable[[Opened], AbstractAsyncContextManager[list[BaseRoute]]]
PACKAGES: Mapping[str, str] = {"slack_sdk": "slack-sdk", "microsoft_teams": "microsoft-teams-apps"}
"""The packages of the extras, by the name under which Python imports them."""


class ChannelsRefused(exits.CommandRefused):
    """Files that mean nothing, or lack their package. Each of `problems` has its way out."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@asynccontextmanager
async def channelling(found: Opened, here: Settings) -> AsyncIterator[list[BaseRoute]]:
    """Deliver until the block ends; yields the routes by which the channels tell us things.
    ChannelsRefused.
    """
    channels = _read(here.folder)
    async with AsyncExitStack() as stack:
        doors: list[BaseRoute] = []
        for channel in channels:
            doors += await stack.enter_async_context(channel(found))
        yield doors


def _read(folder: Path) -> list[Channel]:
    read: Mapping[str, Callable[[Path], Channel]] = {SLACK: _slack, TEAMS: _teams}
    channels: list[Channel] = []
    problems: list[str] = []
    for name in present(folder):
        path = file_of(name, folder)
        try:
            channels.append(read[name](path))
        except ModuleNotFoundError as error:
            problems.append(_lacking(error, path, extra=name))
        except Exception as error:
            if exits.code(error) is None:
                raise
            problems += exits.lines(error)
    if problems:
        raise ChannelsRefused(tuple(problems))
    return channels


def _lacking(error: ModuleNotFoundError, path: Path, *, extra: str) -> str:
    package = PACKAGES.get((error.name or "").partition(".")[0])
    if package is None:
        raise error
    return f"{path} needs the package {package}: pip install 'stepfold[{extra}]'"


def _slack(path: Path) -> Channel:
    from stepfold.channels.slack.config import read_slack

    config = read_slack(path, os.environ)
    from stepfold.channels.slack.app import SlackDoor
    from stepfold.channels.slack.deliver import delivering

    @asynccontextmanager
    async def channel(found: Opened) -> AsyncIterator[list[BaseRoute]]:
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

    return channel


def _teams(path: Path) -> Channel:
    from stepfold.channels.teams import read_teams

    config = read_teams(path, os.environ)
    from stepfold.channels.teams.app import beginning
    from stepfold.channels.teams.channel import World
    from stepfold.channels.teams.channel import channel as made

    @asynccontextmanager
    async def channel(found: Opened) -> AsyncIterator[list[BaseRoute]]:
        inbox, appointed = await found.inbox(), Appointed(found)

        async def begin(customer: str, conversation: str) -> None:
            agent, _ = await appointed.now()
            digest = await found.agents.put(agent)
            await beginning(found.log, agent.name, digest)(customer, conversation)

        teams = made(
            config,
            World(
                client=found.client,
                log=found.log,
                store=JetStreamSealed(found.client, CHANNELS),
                keep=found.files.put,
                receive=appointed.receive,
                begin=begin,
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

    return channel


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

"""A gateway with both channels, as a process that a test kills: folder, Slack, Teams, port."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import uvicorn
from starlette.applications import Starlette

from stepfold.app import opened
from stepfold.channels.slack.app import SlackDoor
from stepfold.channels.slack.deliver import delivering
from stepfold.channels.teams.channel import channel
from stepfold.settings import Settings
from stepfold.streams.lanes import Lanes
from tests.channels.slack_office import config_for
from tests.channels.teams_world import config_at, world

PACE_S = 0.05
ACK_WAIT_S = 2.0


async def main(folder: Path, slack: str, teams_url: str, port: int) -> None:
    config = config_for(slack)
    async with opened(Settings(folder=folder)) as found:
        agent = await found.appointed()
        inbox = await found.inbox(agent)
        door = SlackDoor(
            config,
            receive=inbox.receive,
            log=found.log,
            approvals=found.approvals(),
            files=found.files,
        )
        teams = channel(config_at(teams_url), await world(found, agent), pace_s=PACE_S)
        lanes = Lanes(found.client, pulse_s=ACK_WAIT_S / 3)
        await teams.mount(lanes, ack_wait_s=ACK_WAIT_S)
        await lanes.start()
        quick = {"pace_s": PACE_S, "away_s": 0.2, "ack_wait_s": ACK_WAIT_S}
        async with delivering(config, found.client, **quick):
            app = Starlette(routes=[*door.routes(), *teams.routes])
            server = uvicorn.Server(
                uvicorn.Config(app, port=port, log_level="error", lifespan="off", ws="none")
            )
            print("up", flush=True)
            await server.serve()


if __name__ == "__main__":
    told = sys.argv[1:]
    asyncio.run(main(Path(told[0]), told[1], told[2], int(told[3])))

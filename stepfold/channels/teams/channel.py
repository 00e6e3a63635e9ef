"""The channel put together: its route, and its two lanes on the log.

teams = channel(config, World(...))
Starlette(routes=teams.routes)                    in each gateway
await teams.mount(lanes)                          in each worker; before `lanes.start()`
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable

from msgspec import Struct
from starlette.routing import Route

from stepfold.channels.teams.app import Begin, Door, Receive, routes
from stepfold.channels.teams.attachments import Attachments, Keep
from stepfold.channels.teams.config import TeamsConfig
from stepfold.channels.teams.connector import BotToken, Connector
from stepfold.channels.teams.deliver import DELIVER, Deliver
from stepfold.channels.teams.live import LIVE, Live, Pace
from stepfold.channels.teams.places import Places
from stepfold.channels.teams.say import PACE_S
from stepfold.channels.teams.trust import Trust
from stepfold.handlers.approvals import Approvals
from stepfold.handlers.inbox import InboxRefused
from stepfold.streams.config import ACK_WAIT_S, STEPS
from stepfold.streams.jetstream import Connection, JetStreamLog, prepare_consumer
from stepfold.streams.lanes import Lanes, Take
from stepfold.streams.listening import Happening, listening
from stepfold.tools.vault import Store

Cancel = Callable[..., Awaitable[object]]
"""`Inbox.cancel`."""


class World(Struct, frozen=True):
    """What the channel stands on."""

    client: Connection
    log: JetStreamLog
    store: Store
    keep: Keep
    receive: Receive
    begin: Begin
    cancel: Cancel
    approvals: Approvals


class Teams(Struct, frozen=True):
    routes: list[Route]
    live: Live
    deliver: Deliver
    client: Connection

    async def mount(self, lanes: Lanes, *, ack_wait_s: float = ACK_WAIT_S) -> None:
        """Have the lanes hand this channel its steps."""
        mounted: tuple[tuple[str, tuple[str, ...], Take], ...] = (
            (DELIVER, Deliver.kinds, self.deliver.take),
            (LIVE, Live.kinds, self.live.take),
        )
        for name, kinds, take in mounted:
            filters = [f"steps.*.*.{kind}" for kind in kinds]
            await prepare_consumer(self.client, STEPS, name, filters, ack_wait_s=ack_wait_s)
            lanes.mount(name, take)


def channel(config: TeamsConfig, world: World, *, pace_s: float = PACE_S) -> Teams:
    token = BotToken(config)
    places = Places(world.store)
    connector = Connector(config, token)
    door = Door(
        config,
        Trust(config),
        places,
        Attachments(config, token, world.keep),
        connector,
        world.receive,
        world.begin,
        world.approvals,
        world.log,
    )

    def listen(customer: str, conversation: str, after: int) -> AsyncGenerator[Happening, None]:
        return listening(world.client, world.log, customer, conversation, after=after)

    async def stop(customer: str, conversation: str) -> None:
        try:
            await world.cancel(customer, conversation, by=DELIVER, reason="stopped in Teams")
        except InboxRefused:
            return  # it was over already

    live = Live(config, places, connector, listen=listen, stop=stop, pace=Pace(pace_s))
    return Teams(routes(door), live, Deliver(config, places, connector, world.log), world.client)

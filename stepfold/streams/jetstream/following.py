"""Steps as they come, from any position, over any number of connections."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from datetime import datetime

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext, api

from stepfold.streams.config import STEPS
from stepfold.streams.jetstream.connection import TIMEOUT_S
from stepfold.streams.jetstream.headers import AT
from stepfold.streams.jetstream.message import place
from stepfold.streams.log import Stored

LOOK_S = 0.5
"""How often a follower looks whether its connection is still the one it started on."""
log = logging.getLogger("stepfold.nats")


async def following(
    client: Client, after: int | None, where: str = "steps.>"
) -> AsyncGenerator[list[Stored], None]:
    """Steps beyond `after` as they come, in batches of what has arrived meanwhile.

    A consumer dies with its server, and nats-py may take 20 s to find out: each connection gets its
    own one.
    """
    js = client.jetstream(timeout=TIMEOUT_S)
    if after is None:
        after = (await js.stream_info(STEPS)).state.last_seq
    while True:
        try:
            async with aclosing(_follow_while_connected(client, js, after, where)) as batches:
                async for batch in batches:
                    yield batch
                    after = batch[-1].position
        except nats.errors.ConnectionClosedError:
            raise
        except nats.errors.Error as error:
            log.warning("%s cannot be followed now, trying again: %s", where, error)
            await asyncio.sleep(LOOK_S)


async def _follow_while_connected(
    client: Client, js: JetStreamContext, after: int, where: str
) -> AsyncGenerator[list[Stored], None]:
    arrived: list[Stored] = []
    wake = asyncio.Event()
    connections = client.stats["reconnects"]

    async def on_message(message: Msg) -> None:
        position, at, _ = place(message)
        if message.headers and AT in message.headers:
            at = datetime.fromisoformat(message.headers[AT])
        arrived.append(Stored(position, message.subject, message.data, at))
        wake.set()

    async def look() -> None:
        while client.stats["reconnects"] == connections:
            await asyncio.sleep(LOOK_S)
        wake.set()

    subscription = await js.subscribe(
        where,
        stream=STEPS,
        cb=on_message,
        ordered_consumer=True,
        pending_msgs_limit=-1,
        pending_bytes_limit=-1,
        config=api.ConsumerConfig(
            deliver_policy=api.DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=after + 1,
            mem_storage=True,
        ),
    )
    looking = asyncio.create_task(look())
    try:
        while not looking.done():
            await wake.wait()
            wake.clear()
            batch, arrived = arrived, []
            if batch:
                yield batch
    finally:
        looking.cancel()
        with suppress(nats.errors.ConnectionClosedError):
            await subscription.unsubscribe()

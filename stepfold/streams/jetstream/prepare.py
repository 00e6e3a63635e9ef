"""Streams and consumers as they must be: made, or checked when they are there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import nats.js.errors
from nats.aio.client import Client
from nats.js import JetStreamContext, api

from stepfold.streams.config import (
    ACK_WAIT_S,
    BLOBS,
    DUPLICATES_S,
    IN_FLIGHT_MAX,
    STREAMS,
    Durability,
    Stream,
)
from stepfold.streams.jetstream.connection import TIMEOUT_S, unavailable
from stepfold.streams.log import LogError

CHECKED = (
    "subjects",
    "storage",
    "retention",
    "discard",
    "allow_direct",
    "allow_msg_schedules",
    "max_msgs_per_subject",
    "max_msgs",
    "max_bytes",
    "max_age",
    "max_msg_size",
    "subject_transform",
    "mirror",
    "sources",
)
"""What a stream must have as we made it: else steps are lost, or fences match nothing."""


async def prepare(client: Client, *, durability: Durability) -> None:
    """Create the streams, or check that those that exist are as they must be."""
    js = client.jetstream(timeout=TIMEOUT_S)
    replicas = 3 if durability == "replicas" else 1
    with unavailable("the log cannot be prepared (is JetStream on, is there room?)"):
        for stream in STREAMS:
            await _prepare(js, stream, replicas)
        try:
            await js.object_store(BLOBS)
        except nats.js.errors.NotFoundError:
            await js.create_object_store(
                BLOBS, config=api.ObjectStoreConfig(replicas=replicas, storage=api.StorageType.FILE)
            )


async def _prepare(js: JetStreamContext, stream: Stream, replicas: int) -> None:
    wanted = _stream_config(stream, replicas)
    try:
        info = await js.stream_info(stream.name)
    except nats.js.errors.NotFoundError:
        info = await js.add_stream(wanted)
    for field in CHECKED:
        want, has = getattr(wanted, field), getattr(info.config, field)
        if _nothing(want) != _nothing(has):
            raise LogError(
                f"stream {stream.name!r} has {field}={has!r}, stepfold needs {want!r}:"
                f" `nats stream edit {stream.name}`, or use another account"
            )


def _nothing(value: Any) -> Any:
    """No limit is told as None, 0 or -1."""
    return None if value in (None, 0, -1, False) else value


def _stream_config(stream: Stream, replicas: int) -> api.StreamConfig:
    return api.StreamConfig(
        name=stream.name,
        subjects=list(stream.subjects),
        storage=api.StorageType.FILE,
        retention=api.RetentionPolicy.LIMITS,
        compression=api.StoreCompression.S2 if stream.compressed else None,
        allow_direct=True,
        allow_msg_schedules=stream.schedules or None,
        max_msgs_per_subject=1 if stream.last_only else -1,
        discard=api.DiscardPolicy.OLD,
        duplicate_window=DUPLICATES_S,
        num_replicas=replicas,
    )


async def prepare_consumer(
    client: Client,
    stream: str,
    name: str,
    filters: Sequence[str],
    *,
    ack_wait_s: float = ACK_WAIT_S,
    begin: Literal["first", "next"] = "first",
) -> None:
    """Create a durable pull consumer, or bring the one that is there up to date. A new one begins
    with the first message that there is, or with the next one that comes.
    """
    js = client.jetstream(timeout=TIMEOUT_S)
    config = api.ConsumerConfig(
        durable_name=name,
        filter_subjects=list(filters),
        ack_policy=api.AckPolicy.EXPLICIT,
        deliver_policy=api.DeliverPolicy.ALL if begin == "first" else api.DeliverPolicy.NEW,
        ack_wait=ack_wait_s,
        max_ack_pending=IN_FLIGHT_MAX,
        max_deliver=-1,
    )
    with unavailable(f"the consumer {name!r} of the stream {stream!r} cannot be made"):
        await js.add_consumer(stream, config)


async def awaited(client: Client, stream: str) -> frozenset[str]:
    """The consumers of a stream on which some process waits for messages right now."""
    js = client.jetstream(timeout=TIMEOUT_S)
    with unavailable(f"the consumers of {stream!r} cannot be listed"):
        found = await js.consumers_info(stream)
    return frozenset(each.name for each in found if each.num_waiting)

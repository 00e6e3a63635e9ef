"""How the consumers of a stream stand."""

from __future__ import annotations

from nats.aio.client import Client

from stepfold.streams.jetstream.connection import TIMEOUT_S, unavailable


async def standing(client: Client, stream: str) -> dict[str, tuple[int, int]]:
    """By durable consumer: how many messages wait for it, and how many it has handed out that are
    not done. Others come and go with whoever reads.
    """
    js = client.jetstream(timeout=TIMEOUT_S)
    with unavailable(f"the consumers of {stream!r} cannot be listed"):
        found = await js.consumers_info(stream)
    return {
        each.name: (each.num_pending or 0, each.num_ack_pending or 0)
        for each in found
        if each.config.durable_name
    }

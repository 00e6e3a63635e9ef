"""Streams and consumers, all of them, in one place: what is kept where, and who is handed what.

steps    steps.<customer>.<conversation>.<noun>.<verb>    the log
agents   agents.<digest>                                  every version of every agent
timers   timers.set.<customer>.<conversation>.<turn>      durable timers, and
         timers.due.<customer>.<conversation>.<turn>      those that have fired
shelves  shelves.<what>.<digest>, .current                every version of what is configured
accounts accounts.<scope>.<...>.<period>                 what budgets have spent and reserved
vault    vault.<kind>.<connection>.<customer>             sealed tokens of connections
keys     keys.<id>                                         hashed keys of the gateway
channels channels.<channel>.<customer>.<conversation>     where a channel posts, and what it posted
dead     dead.<customer>.<conversation>                   steps that could not be handled
blobs    (object store)                                   payloads over BLOB_BYTES, by digest
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Durability = Literal["interval", "always", "replicas"]
"""When an append is acknowledged. `interval`: after the write, synced to disk every two minutes (a
killed process loses nothing, a machine that loses power may). `always`: after the sync (the server
must be told too: `sync_interval: always`). `replicas`: after two of three servers have it.
"""

STEPS = "steps"
AGENTS = "agents"
TIMERS = "timers"
SHELVES = "shelves"
ROUTES = "shelves.routes"
BUDGETS = "shelves.budgets"
ACCOUNTS = "accounts"
VAULT = "vault"
CHANNELS = "channels"
KEYS = "keys"
DEAD = "dead"
BLOBS = "blobs"

PAYLOAD_BYTES_MAX = 1024 * 1024
BLOB_BYTES = 256 * 1024
"""A step over this size keeps its event in the object store; the step holds its digest."""
EVENT_BYTES_MAX = 32 * 1024 * 1024

DUPLICATES_S = 120.0
"""How long the server itself recognises a repeated id; the fence does so for ever."""
ACK_WAIT_S = 30.0
"""A step whose worker shows no sign of life for so long is delivered to another."""
IN_FLIGHT_MAX = 10_000


class Stream(Struct, frozen=True):
    """A stream as it must be; `schedules` lets messages wait for their time."""

    name: str
    subjects: tuple[str, ...]
    compressed: bool = False
    schedules: bool = False
    last_only: bool = False


STREAMS = (
    Stream(STEPS, ("steps.>",), compressed=True),
    Stream(AGENTS, ("agents.>",), last_only=True),
    Stream(SHELVES, ("shelves.>",), last_only=True),
    Stream(ACCOUNTS, ("accounts.>",), last_only=True),
    Stream(VAULT, ("vault.>",), last_only=True),
    Stream(KEYS, ("keys.>",), last_only=True),
    Stream(CHANNELS, ("channels.>",), last_only=True),
    Stream(TIMERS, ("timers.>",), schedules=True),
    Stream(DEAD, ("dead.>",)),
)

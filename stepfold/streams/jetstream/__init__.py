"""The log on NATS JetStream. Only this folder knows nats-py."""

from stepfold.streams.jetstream.agents import JetStreamAgents
from stepfold.streams.jetstream.balances import JetStreamBalances
from stepfold.streams.jetstream.connection import Connection, connect
from stepfold.streams.jetstream.files import JetStreamFiles
from stepfold.streams.jetstream.log import JetStreamLog
from stepfold.streams.jetstream.message import Message, Pulse, acknowledge, give_back, place
from stepfold.streams.jetstream.prepare import awaited, prepare, prepare_consumer
from stepfold.streams.jetstream.pull import Handle, Pull
from stepfold.streams.jetstream.shelf import JetStreamShelf
from stepfold.streams.jetstream.standing import standing
from stepfold.streams.jetstream.timers import JetStreamTimers

__all__ = [
    "Connection",
    "Handle",
    "JetStreamAgents",
    "JetStreamBalances",
    "JetStreamFiles",
    "JetStreamLog",
    "JetStreamShelf",
    "JetStreamTimers",
    "Message",
    "Pull",
    "Pulse",
    "acknowledge",
    "awaited",
    "connect",
    "give_back",
    "place",
    "prepare",
    "prepare_consumer",
    "standing",
]

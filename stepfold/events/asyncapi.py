"""The subjects as AsyncAPI 3.0: every channel, its messages with their headers, who sends them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from stepfold.events.event import Event
from stepfold.events.meanings import kind_of, meaning, pair
from stepfold.events.names import TOKEN_CHARS_MAX
from stepfold.events.structs import KINDS, Json, payload, structs, stub
from stepfold.events.wire import ENVELOPE_VERSION

_WORD = {"type": "string"}
_PARAMETERS: dict[str, Json] = {
    "customer": {"description": f"the company that pays; {TOKEN_CHARS_MAX} characters at most"},
    "conversation": {"description": "unique within its customer"},
    "turn": {"description": "number of the turn, from 1"},
    "digest": {"description": "`sha256-` and the hash of the agent's canonical JSON"},
}
_FENCED: Json = {
    "type": "object",
    "properties": {
        "Nats-Msg-Id": {
            **_WORD,
            "description": "the id of a step that came from outside; absent on all others",
        },
        "Nats-Expected-Last-Subject-Sequence": {
            **_WORD,
            "pattern": "^[0-9]+$",
            "description": "the position that this step was decided on: the fence",
        },
        "Nats-Expected-Last-Subject-Sequence-Subject": {
            **_WORD,
            "pattern": r"^steps\.[^.]+\.[^.]+\.>$",
            "description": "the whole conversation, always in this one spelling",
        },
    },
    "required": [
        "Nats-Expected-Last-Subject-Sequence",
        "Nats-Expected-Last-Subject-Sequence-Subject",
    ],
}
_SCHEDULED: Json = {
    "type": "object",
    "properties": {
        "Nats-Schedule": {**_WORD, "description": "`@at` and the time at which the turn expires"},
        "Nats-Schedule-Target": {**_WORD, "description": "the channel timers.due of the turn"},
    },
    "required": ["Nats-Schedule", "Nats-Schedule-Target"],
}
_BURIED: Json = {
    "type": "object",
    "properties": {
        "position": {"type": "integer", "description": "of the step in the log"},
        "kind": _WORD,
        "id": {**_WORD, "description": "of the step; empty when its payload could not be read"},
        "reason": {**_WORD, "description": "why it could not be handled"},
        "event": {"description": "the step's event; null when it is a blob's size"},
    },
    "required": ["position", "kind", "id", "reason", "event"],
}
_NUMBERED: Json = {
    "type": "object",
    "properties": {"Nats-Msg-Id": {**_WORD, "description": "`dead-` and the position of the step"}},
}
_AGENT: Json = {
    "type": "object",
    "properties": {"name": _WORD},
    "required": ["name"],
    "description": "one version of an agent: canonical JSON, whose hash is the digest",
}
_OTHERS: dict[str, Json] = {
    "agents": {"summary": "one version of an agent", "payload": _AGENT},
    "timers.set": {
        "summary": "a turn's timer, set before the turn opens",
        "headers": _SCHEDULED,
        "payload": {"const": "", "description": "empty"},
    },
    "timers.due": {
        "summary": "a turn's timer that has fired",
        "payload": {"const": "", "description": "empty"},
    },
    "dead": {
        "summary": "a step that could not be handled; its conversation is stopped",
        "headers": _NUMBERED,
        "payload": _BURIED,
    },
}
_ADDRESSES = {
    "agents": "agents.{digest}",
    "timers.set": "timers.set.{customer}.{conversation}.{turn}",
    "timers.due": "timers.due.{customer}.{conversation}.{turn}",
    "dead": "dead.{customer}.{conversation}",
}
_SENT_ONLY = frozenset({"timers.set", "dead"})
_RECEIVED_ONLY = frozenset({"timers.due"})


def asyncapi() -> Json:
    """AsyncAPI 3.0: every subject with its messages. stepfold itself sends and receives them."""
    messages = {kind_of(struct): _message(tag, struct) for tag, struct in KINDS.items()} | _OTHERS
    kinds = map(kind_of, KINDS.values())
    addresses = {kind: f"steps.{{customer}}.{{conversation}}.{kind}" for kind in kinds}
    addresses |= _ADDRESSES
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "stepfold",
            "version": str(ENVELOPE_VERSION),
            "description": "Every step of an agent is one message in a JetStream stream.",
        },
        "defaultContentType": "application/json",
        "servers": {
            "nats": {
                "host": "{host}",
                "protocol": "nats",
                "description": "NATS with JetStream: the embedded server, or the one of NATS_URL",
                "variables": {"host": {"default": "127.0.0.1:4222"}},
            }
        },
        "channels": {name: _channel(name, address) for name, address in addresses.items()},
        "operations": dict(_operations(addresses)),
        "components": {
            "messages": {name: {"name": name, **messages[name]} for name in messages},
            "schemas": structs("#/components/schemas/"),
        },
    }


def _message(tag: str, struct: type[Event]) -> Json:
    whole = {"$ref": f"#/components/schemas/{struct.__name__}"}
    envelope = {"allOf": [{"$ref": "#/components/schemas/Envelope"}]}
    return {
        "title": tag,
        "summary": meaning(struct) or pair(struct),
        "headers": _FENCED,
        "payload": payload(envelope, whole, stub({"const": tag})),
    }


def _channel(name: str, address: str) -> Json:
    return {
        "address": address,
        "messages": {name: {"$ref": f"#/components/messages/{name}"}},
        "parameters": {word: _PARAMETERS[word] for word in re.findall(r"{(\w+)}", address)},
    }


def _operations(channels: Mapping[str, str]) -> Iterator[tuple[str, Json]]:
    for name in channels:
        place = {
            "channel": {"$ref": f"#/channels/{name}"},
            "messages": [{"$ref": f"#/channels/{name}/messages/{name}"}],
        }
        if name not in _RECEIVED_ONLY:
            yield f"send.{name}", {"action": "send", **place}
        if name not in _SENT_ONLY:
            yield f"receive.{name}", {"action": "receive", **place}
